"""A person signs in at Okta and types ``ssh web1``: the whole door, through its commands and OpenSSH's alone."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from subprocess import PIPE

import pytest
from door_proofs import Kept, rows
from door_world import OSTIARY, Client, Door
from hosts import TOP
from written import Written, forms, strace

pytestmark = pytest.mark.root
ENTERED = {
    "ada": ("bastion", "web1", "web2"),
    "grace": ("web1", "web2", "lab1"),
    "edgar": ("web1",),
    "ken": ("lab1",),
}


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    """Everybody has been everywhere once: their accounts are there, as the agents made them."""
    with Door(tmp_path_factory.mktemp("door")) as door:
        door.fill()
        for name, hosts in ENTERED.items():
            for host in hosts:
                door.people[name].until_in(host)
        yield door


@pytest.fixture
def ada(door):
    return door.people["ada"]


@pytest.fixture
def grace(door):
    return door.people["grace"]


def test_a_person_enters_as_their_own_local_user(door, grace):
    done = grace.ssh("web1", "id -un; id -u; echo $SSH_AUTH_SOCK; hostname")
    assert done.stdout.split() == ["grace", done.stdout.split()[1], "web1"]
    assert int(done.stdout.split()[1]) >= 60001
    assert done.stderr == ""
    assert "grace" not in Path("/etc/passwd").read_text()


def test_who_is_renamed_at_okta_is_the_same_local_user(door):
    ken = door.people["ken"]
    before = ken.ssh("lab1", "id").stdout
    (user,) = door.okta("GET", "/api/v1/users?q=ken")
    ken.name, ken.at_okta.login = "kenneth", "kenneth@acme.example"
    door.okta("POST", f"/api/v1/users/{user['id']}", profile={"login": ken.at_okta.login})
    ken.ostiary("logout")
    ken.sign_in()
    ken.until_in("lab1")
    assert ken.ssh("lab1", "id").stdout == before
    assert "(ken)" in before
    logins = ("ken@acme.example", "kenneth@acme.example")
    told = [{one["person"] for one in rows(door, person_login=login)} for login in logins]
    assert told == [{user["id"]}] * 2


def test_the_server_is_reached_through_the_bastion_only(door, grace):
    direct = grace.run("ssh-keyscan", "-T", "2", door["web1"].address, check=False)
    assert direct.stdout == ""
    before = rows(door)
    assert grace.ssh("web1", "echo in").stdout == "in\n"
    new = [one for one in rows(door) if one not in before]
    login, hop = sorted(new, key=lambda one: one["purpose"], reverse=True)
    assert (login["purpose"], login["server"]) == ("login", door.ids["web1"])
    assert (hop["purpose"], hop["server"]) == ("hop", door.ids["bastion"])
    assert {login["person_login"], hop["person_login"]} == {"grace@acme.example"}


def test_every_login_that_a_host_accepted_is_in_the_audit(door, grace):
    grace.ssh("web1", "true")
    for name in ("web1", "bastion"):
        accepted = set(re.findall(r"Accepted publickey .*\(serial (\d+)\)", door[name].sshd_log))
        issued = {one["serial"] for one in rows(door, server=door.ids[name])}
        assert accepted
        assert accepted <= issued


def test_sudo_is_what_the_rules_say(door, ada):
    edgar = door.people["edgar"]
    assert ada.ssh("web1", "sudo -n cat /etc/hostname").stdout == "web1\n"
    assert edgar.ssh("web1", "sudo -n /usr/bin/id").stdout.startswith("uid=0(root)")
    refused = edgar.ssh("web1", "sudo -n cat /etc/hostname", check=False)
    assert refused.returncode != 0
    assert refused.stdout == ""


def test_files_go_by_scp_sftp_and_rsync(door, grace):
    data = os.urandom(300_000)
    (grace.home / "there").write_bytes(data)
    config = grace.home / ".ssh/config"
    grace.run("scp", "-q", "-F", config, "there", "web1:by-scp")
    grace.run("sftp", "-q", "-F", config, "-b", "-", "web1", stdin="put there by-sftp\n")
    grace.run("rsync", "-e", f"ssh -F {config}", "there", "web1:by-rsync")
    done = grace.ssh("web1", "sha256sum by-scp by-sftp by-rsync")
    digest = hashlib.sha256(data).hexdigest()
    assert [line.split()[0] for line in done.stdout.splitlines()] == [digest] * 3
    grace.run("scp", "-q", "-F", config, "web1:by-rsync", "back")
    assert (grace.home / "back").read_bytes() == data


def test_a_terminal_is_given(door, grace):
    config = grace.home / ".ssh/config"
    done = grace.run("script", "-qec", f"ssh -tt -F {config} web1 tty", "/dev/null")
    assert "/dev/pts/" in done.stdout


def test_many_at_once_have_a_certificate_each(door, grace):
    config = str(grace.home / ".ssh/config")
    words = ("ssh", "-F", config, "web1", "sleep 0.5; echo in")
    running = [grace.popen(*words, stdout=PIPE) for _ in range(5)]
    assert [one.communicate(timeout=60)[0] for one in running] == ["in\n"] * 5


@pytest.mark.parametrize("other", ["web2", "bastion", "lab1"])
@pytest.mark.parametrize("used", [False, True])
def test_a_certificate_is_good_on_its_own_server_only(door, ada, tmp_path, used, other):
    """Another server of the project, its bastion, and a server of another project; tried from where all can be reached."""
    kept = Kept(ada, tmp_path / "key", "web1")
    if used:
        assert kept.ssh(door["web1"], "true").returncode == 0
    refused = kept.ssh(door[other], "true")
    assert refused.returncode == 255
    assert "Permission denied" in refused.stderr


def test_a_hop_gives_no_shell(door, grace, tmp_path):
    kept = Kept(grace, tmp_path / "key", "bastion", "hop", "web1")
    done = kept.ssh(door["bastion"], "echo in")
    assert "in" not in done.stdout.split()
    assert done.returncode != 0


def test_forwarding_is_to_permitted_targets_only(door, grace, ada):
    assert grace.ssh("-W", "127.0.0.1:22", "lab1").stdout.startswith("SSH-2.0-")
    refused = grace.ssh("-W", "127.0.0.1:25", "lab1", check=False)
    assert refused.returncode != 0
    assert "prohibited" in refused.stderr
    refused = grace.ssh("-W", "127.0.0.1:22", "web1", check=False)
    assert refused.returncode != 0
    assert refused.stdout == ""


def test_multiplexing_as_ansible_asks_for_it_still_enters(door, grace, tmp_path):
    """Ansible's own options win over ours; what shares the connection enters by its certificate."""
    shared = [
        "-o",
        "ControlMaster=auto",
        "-o",
        "ControlPersist=5s",
        "-o",
        f"ControlPath={tmp_path}/c",
    ]
    done = [grace.ssh(*shared, "lab1", "echo in") for _ in range(3)]
    assert [one.stdout for one in done] == ["in\n"] * 3
    grace.ssh(*shared, "-O", "exit", "lab1", check=False)


def test_who_may_not_enter_is_told_what_to_ask_for(door, grace):
    linus = door.people["linus"]
    assert "no server of yours is like web1" in linus.ostiary("ssh", "web1", check=False).stderr
    assert json.loads(linus.ostiary("servers", "list", "--json").stdout) == {"servers": []}
    edgar = door.people["edgar"]
    for done in (edgar.ssh("bastion", check=False), edgar.ostiary("ssh", "bastion", check=False)):
        assert "cannot enter bastion\n" in done.stderr
        assert "edgar@acme.example may pass through bastion, not enter it" in done.stderr
        assert "\n  fix: run: ostiary ssh web1\n" in done.stderr
    refused = grace.ssh("root@web1", check=False)
    assert "why: there you are grace, and nobody else" in refused.stderr


def test_a_few_letters_name_a_server(door, grace):
    named = json.loads(grace.ostiary("servers", "list", "lab", "--json").stdout)["servers"]
    assert [one["name"] for one in named][:1] == ["lab1"]
    assert grace.ostiary("ssh", "lb1", "echo in").stdout == "in\n"
    several = grace.ostiary("ssh", "web", check=False)
    assert several.returncode == 6
    assert "it is like 2 of them: web1, web2" in several.stderr


def test_a_stronger_sign_in_is_asked_for_where_a_project_wants_it(door, grace):
    door.fleet.relay(door.fleet.client, 8259)  # the browser comes back to the person's own machine
    door.set_rules("lab", acr_values="urn:okta:loa:2fa:any")
    try:
        refused = grace.ssh("lab1", "true", check=False)
        assert refused.returncode == 255
        assert "fix: run: ostiary login --step-up" in refused.stderr
        assert grace.ssh("web1", "echo in").stdout == "in\n", "prod asks for nothing"
        assert "Go back to the terminal" in grace.sign_in_by_browser("--step-up")
        assert grace.ssh("lab1", "echo in").stdout == "in\n"
    finally:
        door.set_rules("lab")


def test_without_a_control_plane_what_is_open_stays_and_the_rest_is_said(door, ada, tmp_path):
    """It ends in good order, comes again, and the audit over all of it is whole; without one row it is not."""
    inside = ada.popen(
        "ssh", "-F", ada.home / ".ssh/config", "web1", "cat", stdin=PIPE, stdout=PIPE
    )
    inside.stdin.write("before\n")
    inside.stdin.flush()
    assert inside.stdout.readline() == "before\n"
    door.stop_serve(30)
    try:
        refused = ada.ssh("web1", "true", check=False)
        assert refused.returncode == 255
        assert "cannot reach the control plane" in refused.stderr
        assert "sessions that are open go on" in refused.stderr
        assert inside.communicate("after\n", timeout=10)[0] == "after\n"
    finally:
        door.come_back()
    assert ada.ssh("web1", "echo in").stdout == "in\n"
    told = tmp_path / "prod.jsonl"
    ada.ostiary("audit", "export", "--project", "prod", "--to", told)
    assert ada.ostiary("audit", "verify", told).returncode == 0
    lines = told.read_text().splitlines(keepends=True)
    number = next(n for n, line in enumerate(lines) if "certificate.issued" in line)
    told.write_text("".join(lines[:number] + lines[number + 1 :]))
    assert ada.ostiary("audit", "verify", told, check=False).returncode != 0


PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - copy: {content: "by ansible on {{ inventory_hostname }}", dest: /root/by-ansible, mode: "0600"}
      become: true
    - command: id -un
      register: who
    - assert: {that: "who.stdout == 'machine-deploy'"}
"""


def test_ansible_works_unattended_as_a_machine(door):
    """Ansible as it is, with its own idea of multiplexing; the machine signs in with a key of its own."""
    ansible = TOP / ".envs/ansible/bin/ansible-playbook"
    if not ansible.exists():
        pytest.fail(f"no {ansible}: make test installs it")
    machine = Client(door, "deploy")
    signing_in = ("--control", door.url, "--ca", door.ca_file, "--machine", "deploy")
    said = machine.ostiary("login", *signing_in, "--key-file", door.machine_key).stdout
    assert "machine:deploy is signed in" in said
    machine.configure()
    (machine.home / "play.yaml").write_text(PLAYBOOK)
    inventory = "web1,web2,bastion"
    for host in inventory.split(","):
        machine.until_in(host)
    before = len(rows(door, person_login="machine:deploy"))
    env = {
        "ANSIBLE_SSH_ARGS": f"-F {machine.home}/.ssh/config -o ControlMaster=auto -o ControlPersist=5s",
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
        "ANSIBLE_HOME": str(machine.home / "ansible"),
        "LC_ALL": "C.UTF-8",
    }
    done = machine.run(ansible, "-i", inventory, "play.yaml", env=env)
    assert done.stdout.count("failed=0") == 3, done.stdout
    assert door["web2"].read("/root/by-ansible") == "by ansible on web2"
    after = rows(door, person_login="machine:deploy")
    assert len(after) > before
    assert len({one["serial"] for one in after}) == len(after)


def test_other_hosts_stay_as_they_were(door, grace):
    done = grace.ssh("-G", "elsewhere.example")
    assert "ostiary" not in done.stdout
    assert "identityfile ~/.ssh/id_ed25519" in done.stdout


CERTIFICATE = forms(b"-cert-v01@openssh.com")
PRIVATE = [*forms(b"openssh-key-v1\0"), *forms(b"PRIVATE KEY")]


def test_no_key_and_no_certificate_ever_touches_a_disk(door, grace, tmp_path):
    """Whatever signing in, the resident agent, entry files and ssh write into files, also into those that are gone again."""
    grace.leave()
    watched = strace(tmp_path / "trace")
    options = ("--control", door.url, "--ca", door.ca_file)
    signing_in = grace.popen(*watched, OSTIARY, "login", *options, stdout=PIPE, stderr=PIPE)
    try:
        url = re.search(r"https://\S+", signing_in.stderr.readline())[0]
        with grace.at_okta.browser() as browser:
            grace.at_okta.allow_device(browser, url)
        assert "is signed in" in signing_in.stdout.readline()
        config = grace.home / ".ssh/config"
        done = grace.run(*watched, "ssh", "-F", config, "web1", "echo in")
    finally:
        signing_in.terminate()  # strace, which lets go of the resident agent
        signing_in.communicate(timeout=10)
    assert done.stdout == "in\n"
    seen = Written(tmp_path / "trace")
    assert CERTIFICATE[0] in seen.elsewhere, "the certificate went from the resident agent to ssh"
    for file, data in seen.files.items():
        assert not [one for one in (*CERTIFICATE, *PRIVATE) if one in data], file
        assert data.isascii(), f"{file}: bytes of a key have no form to be known by"
    names = {re.sub(r"^\.|\.\d+$", "", Path(file).name) for file in seen.files}
    assert {"client.json"} <= names <= {"client.json", "servers", "known_hosts"}
    allowed = (
        str(grace.home / "run/ostiary"),
        "/dev/null",
        "/dev/tty",
        str(grace.home / ".config/ostiary"),
    )
    assert [one for one in seen.opened if not one.startswith(allowed)] == []
    for file in (path for path in grace.home.rglob("*") if path.is_file()):
        text = file.read_bytes()
        assert CERTIFICATE[0] not in text, file
        assert b"PRIVATE KEY" not in text or file.name == "device.key", file
