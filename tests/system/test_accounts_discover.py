"""What is on a host before the agent comes, every other way into it, and closing those with a way back."""

from __future__ import annotations

import json
import time

import pytest
from accounts_world import apply, exists, in_host, python
from hosts import Fleet

from ostiary.doors.servers.wire.host import HostUser

pytestmark = pytest.mark.root

DISCOVER = """
import argparse, sys
from ostiary.doors.servers.agent import discover_command
from ostiary.doors.servers.agent.files import Paths
parser = argparse.ArgumentParser()
discover_command.add(parser.add_subparsers(required=True))
given = parser.parse_args()
sys.exit(given.work(given, Paths()))
"""
APPLY = """
import json, sys
from ostiary.doors.servers.agent import other_ways_close
from ostiary.doors.servers.agent.files import Paths
print(json.dumps(other_ways_close.apply(Paths(), sys.argv[1])))
"""
CLOUD = """
ssh_pwauth: true
system_info:
  default_user:
    name: admin
    lock_passwd: true
"""
USER_DATA = """#cloud-config
users:
  - name: deploy
    ssh-authorized-keys:
      - ssh-ed25519 AAAA deploy@laptop
"""


@pytest.fixture
def host():
    """A brownfield host: people, keys, passwords, a cloud's default user, a foreign authority's file, a serial console."""
    with Fleet(["old1"]) as fleet:
        host = fleet["old1"]
        host.run(["useradd", "-m", "-u", "1500", "-s", "/bin/bash", "dave"])
        host.run(["useradd", "-m", "-u", "60010", "-s", "/bin/bash", "erin"])
        host.run(["groupadd", "-g", "63005", "ops"])
        host.run(["chpasswd"], stdin="dave:correct horse\n")
        host.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/key", "-C", "dave@laptop"]
        )
        host.public = host.read("/root/key.pub")
        for home, owner in (("/root", "root"), ("/home/dave", "dave")):
            host.run(["install", "-d", "-m", "700", "-o", owner, f"{home}/.ssh"])
            options = 'from="10.0.0.0/8",no-pty ' if owner == "dave" else ""
            host.write(f"{home}/.ssh/authorized_keys", f"# a note\n{options}{host.public}", 0o600)
            host.run(["chown", owner, f"{home}/.ssh/authorized_keys"])
        host.write("/etc/sudoers.d/90-cloud-init-users", "dave ALL=(ALL) NOPASSWD:ALL\n", 0o440)
        host.write("/etc/cloud/cloud.cfg", CLOUD)
        yield host


def discovered(host, *arguments):
    return json.loads(python(host, DISCOVER, "discover", "--json", *arguments).stdout)


def ways(host, mode):
    lines, problems = json.loads(python(host, APPLY, mode).stdout)
    return lines, problems


def fingerprint(host):
    return host.run(["ssh-keygen", "-lf", "/root/key.pub"]).stdout.split()[1]


def ssh(host, *more):
    argv = [
        "ssh",
        "-i",
        "/root/key",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "BatchMode=yes",
        *more,
    ]
    return host.run([*argv, "true"], check=False).returncode


def test_accounts_with_their_numbers_keys_passwords_and_rights_are_found(host):
    before = {name: host.read(f"/etc/{name}") for name in ("passwd", "shadow", "group")}
    found = discovered(host)
    dave = next(one for one in found["accounts"] if one["name"] == "dave")
    assert (dave["uid"], dave["shell"], dave["source"], dave["password"]) == (
        1500,
        "/bin/bash",
        "files",
        True,
    )
    assert dave["keys"] == [f"ssh-ed25519 {fingerprint(host)} dave@laptop"]
    assert dave["sudo"] == ["(ALL) NOPASSWD: ALL"]
    assert found["groups"]["ops"] == 63005
    assert {name: host.read(f"/etc/{name}") for name in before} == before
    assert not exists(host, "/var/lib/ostiary")


def test_what_would_collide_with_the_project_is_a_conflict(host):
    found = discovered(
        host, "--login", "dave", "--login", "a;b", "--group", "ops", "--group", "docker"
    )
    assert found["conflicts"] == [
        "dave is an account already, with UID 1500: see ostiary agent takeover",
        "'a;b' is no name of at most 32 of a-z 0-9 _ -, a letter or _ first",
        "ops is a group already, with GID 63005",
        "docker is a name of the system",
        "UID 60010 of erin is above the project's start 60001",
        "GID 63005 of group ops is above the project's start 63001",
    ]
    assert any("systemd-homed" in one for one in found["warnings"])
    assert any("DynamicUser" in one for one in found["warnings"])
    calm = discovered(host, "--uid-start", "70000", "--gid-start", "80000")
    assert calm["conflicts"] == []
    assert not [one for one in calm["warnings"] if "systemd" in one]


def test_every_other_way_in_is_listed(host):
    host.write(
        "/etc/ssh/sshd_config.d/10-cloud.conf",
        "AuthorizedKeysCommand /opt/aws/bin/eic_run_authorized_keys %u %f\n"
        "AuthorizedKeysCommandUser nobody\nTrustedUserCAKeys /etc/ssh/other-ca.pub\nHostbasedAuthentication yes\n",
    )
    host.write("/etc/ssh/other-ca.pub", host.public)
    host.write("/etc/hosts.equiv", "trusted.example\n")
    host.write("/etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service", "")
    service = "/etc/systemd/system/multi-user.target.wants/amazon-ssm-agent.service"
    host.write(service, "")
    host.write("/var/lib/cloud/instance/user-data.txt", USER_DATA, 0o600)
    lines = discovered(host)["other_ways"]
    print_of = fingerprint(host)
    for expected in (
        f"key  root  /root/.ssh/authorized_keys  {print_of} dave@laptop",
        f"key  dave  /home/dave/.ssh/authorized_keys  {print_of} dave@laptop",
        "password  dave  sshd  has a password, and sshd asks for it",
        "keys-command  anybody  /opt/aws/bin/eic_run_authorized_keys %u %f  EC2 Instance Connect",
        f"authority  anybody  /etc/ssh/other-ca.pub  TrustedUserCAKeys {print_of} dave@laptop",
        "host-based  anybody  /etc/hosts.equiv  HostbasedAuthentication",
        f"session-manager  ssm-user  {service}  a shell by ssm:StartSession: IAM decides who",
        "cloud-init  admin  /etc/cloud/cloud.cfg  default user: gets the instance's key at its first boot",
        "cloud-init  anybody  /etc/cloud/cloud.cfg  ssh_pwauth: turns passwords on at the first boot of an instance",
        "cloud-init  deploy  /var/lib/cloud/instance/user-data.txt  ssh_authorized_keys: written at the first boot of an instance",
        "serial-console  anybody  serial-getty@ttyS0.service  asks for a password (dave)",
    ):
        assert expected in lines


def test_people_read_it_too(host):
    said = python(host, DISCOVER, "discover").stdout
    assert "  dave  UID 1500  GID 1500  /bin/bash  password\n" in said
    assert "    sudo (ALL) NOPASSWD: ALL\n" in said
    told = python(host, DISCOVER, "ways").stdout
    assert "  put aside /home/dave/.ssh/authorized_keys\n" in told
    assert "  tell sshd: PasswordAuthentication no\n" in told


def test_nothing_is_closed_before_a_certificate_let_somebody_in(host):
    lines, problems = ways(host, "close")
    assert problems == ["other ways stay open until somebody has entered by certificate"]
    assert exists(host, "/root/.ssh/authorized_keys")
    assert any(line.startswith("key  root") for line in lines)


def test_ways_are_closed_by_a_real_sshd_and_opened_again(host):
    host.start_sshd()
    assert ssh(host, "root@127.0.0.1") == 0
    host.run(["mkdir", "-p", "/var/lib/ostiary/ledger"])
    host.write("/var/lib/ostiary/ledger/4611686018427387904", "1\n")
    keys = host.read("/home/dave/.ssh/authorized_keys")
    lines, problems = ways(host, "close")
    assert problems == []
    assert [line for line in lines if line.startswith(("key", "password"))] == []
    assert ssh(host, "root@127.0.0.1") == 255
    effective = host.run(["sshd", "-T", "-C", "user=dave,host=x,addr=1.2.3.4"]).stdout
    assert "passwordauthentication no" in effective
    host.run(["rm", "/var/lib/ostiary/ledger/4611686018427387904"])
    host.write("/root/.ssh/authorized_keys", host.public, 0o600)
    assert ways(host, "close")[1] == []
    assert ssh(host, "root@127.0.0.1") == 255
    assert host.read("/etc/shadow").count("dave:$") == 1
    lines, problems = ways(host, "report")
    assert problems == []
    assert ssh(host, "root@127.0.0.1") == 0
    assert host.read("/home/dave/.ssh/authorized_keys") == keys
    assert in_host(host, "/home/dave/.ssh/authorized_keys").stat().st_uid == 1500
    assert not exists(host, "/etc/ssh/sshd_config.d/01-ostiary-other-ways.conf")
    assert any(line.startswith("password  dave") for line in lines)


@pytest.mark.parametrize(
    "lost", ["rm -r /var/lib/ostiary", "truncate -s 9 /var/lib/ostiary/closed-ways.json"]
)
def test_what_was_closed_is_opened_again_where_the_list_of_it_is_lost(host, lost):
    """With all that the agent keeps: nobody else would know why their key opens nothing any more."""
    host.start_sshd()
    host.run(["mkdir", "-p", "/var/lib/ostiary/ledger"])
    host.write("/var/lib/ostiary/ledger/7", "1\n")
    keys = host.read("/home/dave/.ssh/authorized_keys")
    assert ways(host, "close")[1] == []
    assert ssh(host, "root@127.0.0.1") == 255
    host.run(["sh", "-c", lost])
    assert ways(host, "report")[1] == []
    assert ssh(host, "root@127.0.0.1") == 0
    assert host.read("/home/dave/.ssh/authorized_keys") == keys
    assert not exists(host, "/etc/ssh/sshd_config.d/01-ostiary-other-ways.conf")
    assert "passwordauthentication yes" in host.run(["sshd", "-T"]).stdout


def test_keys_and_passwords_of_accounts_without_a_shell_forward_ports(host):
    """sshd lets them in: nologin only ends the session that nobody asks for."""
    host.run(["useradd", "-m", "-s", "/usr/sbin/nologin", "svc"])
    host.run(["install", "-d", "-m", "700", "-o", "svc", "/home/svc/.ssh"])
    host.write("/home/svc/.ssh/authorized_keys", host.public, 0o600)
    host.run(["chown", "svc", "/home/svc/.ssh/authorized_keys"])
    host.start_sshd()
    argv = ["-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes", "-W", "127.0.0.1:22"]
    passed = ["sh", "-c", f"timeout 5 ssh -i /root/key {' '.join(argv)} svc@127.0.0.1 </dev/null"]
    assert "SSH-2.0" in host.run(passed, check=False).stdout
    where = "key  svc  /home/svc/.ssh/authorized_keys"
    note = "dave@laptop (no shell: forwarding, sftp)"
    assert f"{where}  {fingerprint(host)} {note}" in discovered(host)["other_ways"]
    host.run(["mkdir", "-p", "/var/lib/ostiary/ledger"])
    host.write("/var/lib/ostiary/ledger/7", "1\n")
    lines, problems = ways(host, "close")
    assert (problems, [line for line in lines if " svc " in line]) == ([], [])
    assert "SSH-2.0" not in host.run(passed, check=False).stdout


def test_a_password_in_passwd_and_one_of_extrausers_are_found(host):
    passwd = host.read("/etc/passwd").replace("erin:x:", "erin::")
    host.write("/etc/passwd", passwd)
    host.write("/var/lib/extrausers/shadow", "frank:$6$x$y:::::::\n", 0o640)
    script = (
        "from ostiary.doors.servers.agent import other_ways_beside as o; print(o.with_password())"
    )
    assert python(host, script).stdout == "('dave', 'erin', 'frank')\n"


def test_an_sshd_that_was_told_otherwise_on_its_command_line_is_listed(host):
    host.start_sshd("-o", "PasswordAuthentication yes", "-p", "2222")
    told = "sshd -o PasswordAuthentication yes -p 2222"
    line = f"unknown  anybody  {told}  an sshd with options of its own is not looked into"
    assert line in discovered(host)["other_ways"]


def test_what_a_match_block_opens_for_somebody_is_found_and_closed(host):
    block = "Match User dave\n    PasswordAuthentication yes\n    AuthorizedKeysFile /etc/keys/%u\n"
    host.write("/etc/ssh/sshd_config.d/50-dave.conf", f"PasswordAuthentication no\n{block}")
    host.write(
        "/etc/ssh/sshd_config.d/60-net.conf", "Match Address 10.0.0.0/8\n    X11Forwarding no\n"
    )
    host.write("/etc/keys/dave", host.public)
    host.run(["mkdir", "-p", "/var/lib/ostiary/ledger"])
    host.write("/var/lib/ostiary/ledger/7", "1\n")
    host.start_sshd()
    lines = discovered(host)["other_ways"]
    assert any(line.startswith("password  dave") for line in lines)
    assert any(line.startswith("key  dave  /etc/keys/dave") for line in lines)
    assert not any("/home/dave/.ssh" in line for line in lines)
    assert (
        "unknown  anybody  /etc/ssh/sshd_config.d/60-net.conf  a Match by address is not looked into"
        in lines
    )
    lines, problems = ways(host, "close")
    assert problems == []
    assert not any(line.startswith(("password", "key")) for line in lines)
    assert not exists(host, "/etc/keys/dave")
    lines, _ = ways(host, "report")
    assert any(line.startswith("key  dave  /etc/keys/dave") for line in lines)


def test_a_root_who_may_not_log_in_has_no_way(host):
    host.write("/etc/ssh/sshd_config.d/10-root.conf", "PermitRootLogin no\n")
    assert not any("  root  " in line for line in discovered(host)["other_ways"])


def test_a_way_that_sshd_will_not_have_closed_leaves_sshd_as_it_was(host):
    """The drop-in is taken back when the whole would not start; port 22 answers throughout."""
    host.start_sshd()
    host.run(["mkdir", "-p", "/var/lib/ostiary/ledger"])
    host.write("/var/lib/ostiary/ledger/7", "1\n")
    broken = "from ostiary.doors.servers.agent import other_ways_close as o\nfrom ostiary.doors.servers.agent.files import Paths\n"
    said = python(
        host,
        broken + 'print(o.close(Paths(), o.Plan((), ("PasswordAuthentication perhaps",), ())))',
    ).stdout
    assert "sshd refuses to close other ways" in said
    assert not exists(host, "/etc/ssh/sshd_config.d/01-ostiary-other-ways.conf")
    assert ssh(host, "root@127.0.0.1") == 0


def test_links_in_a_users_home_are_not_followed_when_keys_are_put_aside(host):
    host.run(["mkdir", "-p", "/var/lib/ostiary/ledger"])
    host.write("/var/lib/ostiary/ledger/7", "1\n")
    host.run(
        [
            "sh",
            "-c",
            "rm -r /home/dave/.ssh; mkdir /etc/keys; cp /root/key.pub /etc/keys/authorized_keys",
        ]
    )
    host.run(["ln", "-s", "/etc/keys", "/home/dave/.ssh"])
    _, problems = ways(host, "close")
    assert any("/home/dave/.ssh" in one for one in problems)
    assert exists(host, "/etc/keys/authorized_keys")


def test_accounts_of_ours_are_no_other_way(host):
    assert apply(host, [HostUser("alice", 60001, 63001, "")]) == (["alice"], [])
    host.run(["install", "-d", "-m", "700", "-o", "alice", "/home/alice/.ssh"])
    host.write("/home/alice/.ssh/authorized_keys", host.public, 0o600)
    assert not [line for line in discovered(host)["other_ways"] if "alice" in line]
    found = {one["name"]: one for one in discovered(host)["accounts"]}
    assert found["alice"]["ours"]
    assert not found["dave"]["ours"]


def test_discovery_of_many_accounts_is_quick(host):
    lines = "".join(
        f"u{n}:x:{5000 + n}:{5000 + n}::/home/u{n}:/usr/sbin/nologin\n" for n in range(2000)
    )
    host.write("/etc/passwd", host.read("/etc/passwd") + lines)
    began = time.monotonic()
    assert len(discovered(host)["accounts"]) > 2000
    assert time.monotonic() - began < 5
