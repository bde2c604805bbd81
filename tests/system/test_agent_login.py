"""What a certificate opens on a real host with the agent's configuration: one connection to one server, once, and no more."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from host_control import Peer, Person, admin, user
from hosts import Fleet, wait_for

from ostiary.doors.servers.wire.host import Entry
from ostiary.pki.signer import LocalSigner
from ostiary.pki.ssh_option import valued

pytestmark = pytest.mark.root
REFUSED = 254  # sshd's own end of a session for which PAM opened none
DENIED = 255  # ssh was not let in at all
FORWARDS = ("permit-pty", "permit-port-forwarding")
ONLY_SFTP = "This service allows sftp connections only.\n"  # of sshd, which runs no shell for it; and sftp says no more


class World:
    """web1 and web2 of project shop, db1 of project books, with alice on each; ``glass`` may enter root on web1."""

    def __init__(self, folder, ending) -> None:
        self.fleet = ending.enter_context(Fleet(["web1", "web2", "db1"]))
        self.shop, self.books = (ending.enter_context(Peer(self.fleet, folder)) for _ in range(2))
        self.person = Person(self.fleet, folder)
        self.ids = {}
        for name, peer, options in (
            ("web1", self.shop, ("--break-glass-account", "root")),
            ("web2", self.shop, ()),
            ("db1", self.books, ()),
        ):
            host = self.fleet[name]
            host.run(["useradd", "-m", "-s", "/bin/bash", "bob"])
            host.start_sshd()
            self.ids[name] = peer.enroll(host, *options)
            peer.state(self.ids[name], *self.users(name))
            done = host.agent("once")
            assert not done.stderr, done.stderr

    def users(self, name):
        me = self.ids[name]
        hop = f"{self.fleet['web2'].address}:22"
        ways = (Entry(f"alice@{me}"), Entry(f"alice@{me}.hop", hop=True, forward=(hop,)))
        return (
            replace(admin(), entries=ways),
            user("carol", 60002, entries=(Entry(f"carol@{me}", forward=(f"{hop}",)),)),
            user("dave", 60003, entries=(Entry(f"dave@{me}", sftp_only=True),)),
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with contextlib.ExitStack() as ending:
        yield World(tmp_path_factory.mktemp("world"), ending)


@pytest.fixture
def web1(world):
    return world.fleet["web1"]


@pytest.fixture
def certificate(world):
    """``certificate(extensions, login, hop=, on=, by=)``: a good one for web1, unless told otherwise."""

    def certificate(extensions=("permit-pty",), login="alice", *, hop=False, on="web1", **fields):
        signer = fields.pop("by", world.shop.user)
        principal = f"{login}@{world.ids[on]}{'.hop' if hop else ''}"
        return world.person.certificate(signer, principal, extensions, **fields)

    return certificate


@pytest.fixture
def ssh(world, web1):
    def ssh(certificate, *command, on=web1, **options):
        return world.person.ssh(on, certificate, *command, **options)

    return ssh


def test_it_lets_the_person_in_as_their_own_local_user_and_sudo_is_theirs(ssh, certificate, web1):
    done = ssh(certificate(), "id -un; sudo -n id -un; id -Gn")
    assert done.stdout.split("\n")[:2] == ["alice", "root"], web1.sshd_log
    assert done.returncode == 0
    assert "ostiary-managed" in done.stdout


USES = {
    "exec": ((), ("true",), REFUSED),
    "sftp": (("-s",), ("sftp",), REFUSED),
    "-W": (("-W", "10.99.0.12:22"), (), DENIED),
    "-R": (("-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:22"), (), DENIED),
}


@pytest.mark.parametrize("use", USES)
def test_a_used_certificate_opens_nothing(ssh, certificate, use):
    """Negative 2."""
    used = certificate(FORWARDS, "carol")
    assert ssh(used, "true", login="carol").returncode == 0
    before, command, code = USES[use]
    done = ssh(used, *command, login="carol", before=before, stdin="")
    assert (done.returncode, done.stdout) == (code, ""), done.stderr


def test_a_used_certificate_forwards_nothing(world, web1, certificate):
    """Negative 2, for what asks for a channel only later."""
    used = certificate(FORWARDS, "carol")
    assert world.person.ssh(web1, used, "true", login="carol").returncode == 0
    with Forwarding(world, used, "carol", "-L", "7000:10.99.0.12:22") as there:
        assert there.greeting(7000) == ""


def test_of_eight_at_once_one_enters(world, web1, certificate):
    """Negative 2."""
    shared = certificate()
    argv = [*world.person.options(shared), f"alice@{web1.address}", "echo in"]
    racing = [world.fleet.client.popen(argv, stdout=subprocess.PIPE) for _ in range(8)]
    said = [one.communicate(timeout=60)[0] for one in racing]
    assert sorted(one.returncode for one in racing) == [0] + [REFUSED] * 7
    assert said.count("in\n") == 1


class Forwarding:
    """``ssh -N`` on the client's network with a forwarding; ``greeting`` connects to its near end there."""

    def __init__(self, world, certificate, login, *what) -> None:
        self.world = world
        host = world.fleet["web1"]
        options = [*world.person.options(certificate), "-v", "-N", *what]
        self.argv = [*options, f"{login}@{host.address}"]

    def __enter__(self):
        self.process = self.world.fleet.client.popen(self.argv, stderr=subprocess.PIPE)
        self.log = []
        for line in self.process.stderr:
            self.log.append(line)
            if "Entering interactive session" in line:
                break
        return self

    def __exit__(self, *_: object) -> None:
        """Told until it has heard: ssh before 9.5 looks whether it was told to end, and then waits for whatever else comes.

        What comes in between the two it sleeps over (clientloop.c: poll, where later ones have ppoll), here for 300 s.
        """
        said = None
        end = time.monotonic() + 20
        while said is None:
            self.process.terminate()
            try:
                _, said = self.process.communicate(timeout=0.5)
            except subprocess.TimeoutExpired:
                if time.monotonic() > end:
                    self.process.kill()
                    self.process.communicate()
                    raise
        self.log += said.splitlines()

    def greeting(self, port, ask=b"", answer=0):
        """The first line of what is behind ``port``, "" if nothing is."""
        script = (
            "import socket,sys\n"
            "s=socket.create_connection(('127.0.0.1',int(sys.argv[1])),timeout=5)\n"
            "for part in sys.argv[2:]:\n"
            "    s.sendall(bytes.fromhex(part)); s.recv(10)\n"
            "print(s.recv(255).decode().strip())"
        )
        parts = [ask[:3].hex(), ask[3:].hex()] if ask else []
        done = self.world.fleet.client.run(
            ["python3", "-c", script, str(port), *parts], check=False
        )
        return done.stdout.strip()


def test_a_forwarding_without_a_session_is_the_one_use(world, ssh, certificate):
    fresh = certificate(FORWARDS, "carol")
    with Forwarding(world, fresh, "carol", "-L", "7001:10.99.0.12:22") as there:
        assert there.greeting(7001).startswith("SSH-2.0")
        assert ssh(fresh, "true", login="carol").returncode == REFUSED


def test_forwarding_goes_where_it_is_permitted_and_nowhere_else(world, certificate):
    db1 = world.fleet["db1"].address
    socks = bytes.fromhex("050100" + "05010001")  # SOCKS 5 without authentication, CONNECT to IPv4
    to_web2, to_db1 = bytes([10, 99, 0, 12, 0, 22]), bytes([10, 99, 0, 13, 0, 22])
    what = ("-L", f"7002:{db1}:22", "-D", "7003")
    with Forwarding(world, certificate(FORWARDS, "carol"), "carol", *what) as there:
        assert there.greeting(7002) == ""
        assert there.greeting(7003, socks + to_web2).startswith("SSH-2.0")
        assert there.greeting(7003, socks + to_db1) == ""


def test_whoever_has_no_targets_forwards_nothing(world, certificate):
    """Even by a certificate that permits forwarding: both must."""
    with Forwarding(world, certificate(FORWARDS), "alice", "-L", "7004:10.99.0.12:22") as there:
        assert there.greeting(7004) == ""


NOT_PERMITTED = {
    "remote": ("-R", "0:127.0.0.1:22"),
    "remote socket": ("-R", "/tmp/there.sock:127.0.0.1:22"),
    "tunnel": ("-w", "0:0"),
}


@pytest.mark.parametrize("kind", NOT_PERMITTED)
def test_forwarding_of_other_kinds_is_refused(ssh, certificate, kind):
    before = ("-N", "-o", "ExitOnForwardFailure=yes", *NOT_PERMITTED[kind])
    done = ssh(certificate(FORWARDS, "carol"), login="carol", before=before)
    assert done.returncode == DENIED


def test_a_local_socket_is_not_forwarded_to(world, web1, certificate):
    script = (
        "import os, socket\n"
        "s = socket.create_server('/tmp/s', family=socket.AF_UNIX)\n"
        "os.chmod('/tmp/s', 0o666)\n"
        "s.accept()[0].sendall(b'reached\\n')"
    )
    with web1.popen(["python3", "-c", script]) as server:
        wait_for((web1.root / "tmp/s").exists, "the socket")
        fresh = certificate(FORWARDS, "carol")
        with Forwarding(world, fresh, "carol", "-L", "7005:/tmp/s") as there:
            assert there.greeting(7005) == ""
        web1.run(["pkill", "-f", "create_server"])
    assert server.returncode


def test_a_master_connection_is_one_connection(world, ssh, certificate):
    """Sessions of one connection are that connection's; when it has ended, the certificate opens no other."""
    control = world.person.folder / "master"
    multiplexed = ("-o", f"ControlPath={control}")
    fresh = certificate()
    assert (
        ssh(fresh, "true", before=(*multiplexed, "-M", "-o", "ControlPersist=60")).returncode == 0
    )
    assert ssh(fresh, "echo again", before=multiplexed).stdout == "again\n"
    ssh(fresh, before=(*multiplexed, "-O", "exit"))
    assert ssh(fresh, "true", before=multiplexed).returncode == REFUSED


@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
def test_a_certificate_for_web1_is_nothing_to_web2(world, ssh, certificate, used):
    for_web1 = certificate()
    if used:
        assert ssh(for_web1, "true").returncode == 0
    assert ssh(for_web1, "true", on=world.fleet["web2"]).returncode == DENIED


def test_a_certificate_of_another_project_is_nothing(world, ssh, certificate):
    """Negative 3: even where the principal is the right one."""
    books = certificate(by=world.books.user)
    assert ssh(books, "true").returncode == DENIED
    shop = certificate(on="db1")
    assert ssh(shop, "true", on=world.fleet["db1"]).returncode == DENIED
    assert (
        ssh(certificate(on="db1", by=world.books.user), "true", on=world.fleet["db1"]).returncode
        == 0
    )


@pytest.mark.parametrize(
    ("principals"), [(), ("*",), ("alice",), ("root",), ("alice@*",), ("alice@x,alice@{id}",), ("60001@{id}",)]
)  # fmt: skip
def test_a_certificate_with_another_principal_is_nothing(world, ssh, certificate, principals):
    """Negative 4, as sshd sees it: the control plane signs none of these."""
    named = tuple(one.format(id=world.ids["web1"]) for one in principals)
    assert ssh(certificate(principals=named), "true").returncode == DENIED


def test_a_certificate_signed_by_a_certified_key_is_nothing(world, ssh, certificate):
    """Negative 5."""
    own = load_ssh_private_key(world.person.key.read_bytes(), None)
    assert ssh(certificate(by=LocalSigner(own)), "true").returncode == DENIED


def test_a_host_certificate_lets_nobody_in(world, ssh, certificate):
    """Negative 6: by the host authority, or by the user authority with the kind of a host."""
    assert ssh(certificate(by=world.shop.host), "true").returncode == DENIED
    assert ssh(certificate(kind=2), "true").returncode == DENIED


def test_root_and_other_people_are_not_entered_by_our_authority(world, ssh, certificate):
    for login in ("root", "bob"):
        assert ssh(certificate(login=login), "true", login=login).returncode == DENIED


def test_a_hop_passes_to_its_server_and_is_no_shell(world, ssh, certificate):
    """Negative 22."""
    done = ssh(certificate(FORWARDS, hop=True), before=("-W", "10.99.0.12:22"), stdin="")
    assert done.stdout.startswith("SSH-2.0")
    shell = ssh(certificate(FORWARDS, hop=True), "id")
    assert (shell.returncode, shell.stdout) == (1, ONLY_SFTP)
    terminal = ssh(certificate(FORWARDS, hop=True), before=("-tt",), stdin="id\n")
    assert "PTY allocation request failed" in terminal.stderr
    assert "uid=" not in terminal.stdout
    assert ssh(certificate(FORWARDS, hop=True), "sftp", before=("-s",)).returncode == 1
    other = ssh(certificate(FORWARDS, hop=True), before=("-W", "10.99.0.13:22"), stdin="")
    assert (other.returncode, other.stdout) == (DENIED, "")


def test_an_option_that_a_host_does_not_know_is_a_refusal(world, web1, ssh, certificate):
    """Negative 8: of a hop too, which then passes nothing on. What may be left unheeded is an extension."""
    unknown = {"critical_options": (valued("of-a-later-day@acme.example", "yes"),)}
    assert ssh(certificate(**unknown), "true").returncode == DENIED
    hop = certificate(FORWARDS, hop=True, **unknown)
    done = ssh(hop, before=("-W", "10.99.0.12:22"), stdin="")
    assert (done.returncode, done.stdout) == (DENIED, "")
    assert web1.sshd_log.count('"of-a-later-day@acme.example" is not supported') == 2
    assert ssh(certificate(("permit-pty", "of-a-later-day@acme.example")), "true").returncode == 0


@pytest.mark.parametrize("how", ["exec", "sftp", "no command"])
def test_a_hop_runs_nothing_that_the_user_left_in_his_home(world, web1, ssh, certificate, how):
    """bash reads ~/.bashrc for what sshd has it run, a forced command too; sftp, or an earlier right, put it there."""
    home = "/home/alice"
    left = {
        ".bashrc": "id > /tmp/escaped\n",
        ".ssh/rc": "id > /tmp/escaped\n",
        ".ssh/environment": f"BASH_ENV={home}/.bashrc\n",
        ".pam_environment": f"BASH_ENV DEFAULT={home}/.bashrc\n",
    }
    before = web1.read(f"{home}/.bashrc")
    for name, text in left.items():
        web1.write(f"{home}/{name}", text)
    web1.run(["chown", "-R", "alice:", home])
    hop = certificate((*FORWARDS, "permit-user-rc"), hop=True)
    words = {"exec": ("id",), "sftp": ("-s", "sftp"), "no command": ()}[how]
    try:
        done = ssh(hop, *words[-1:], before=words[:-1], stdin="")
        assert (done.returncode, done.stdout) in ((1, ""), (1, ONLY_SFTP))
        assert not (web1.root / "tmp/escaped").exists()
    finally:
        web1.run(["rm", "-rf", "/tmp/escaped", *(f"{home}/{name}" for name in left)])
        web1.write(f"{home}/.bashrc", before)


def test_sftp_only_is_sftp_only(world, web1, ssh, certificate):
    sftp = certificate(login="dave")
    argv = [*world.person.options(sftp, "sftp"), "-b", "-", f"dave@{web1.address}"]
    done = world.fleet.client.run(argv, stdin="pwd\n")
    assert "/home/dave" in done.stdout
    shell = ssh(certificate(login="dave"), "id", login="dave", stdin="")
    assert "uid=" not in shell.stdout


def test_break_glass_enters_as_often_as_it_is_valid_and_nobody_is_in_its_way(
    world, ssh, certificate
):
    glass = certificate(by=world.shop.glass)
    assert [ssh(glass, "true").returncode for _ in range(2)] == [0, 0]
    as_root = certificate(by=world.shop.glass, login="root")
    assert ssh(as_root, "id -un", login="root").stdout == "root\n"
    assert (
        ssh(certificate(by=world.shop.glass, login="bob"), "true", login="bob").returncode == DENIED
    )


def test_keys_of_other_people_go_on_and_those_of_managed_users_do_not_count(
    world, web1, ssh, certificate
):
    public = world.person.key.with_name("key.pub").read_text()
    for login in ("bob", "carol"):
        web1.write(f"/home/{login}/.ssh/authorized_keys", public)
        web1.run(["chown", "-R", login, f"/home/{login}/.ssh"])
    none = certificate(login="nobody")
    assert ssh(none, "true", login="bob").returncode == 0
    assert ssh(none, "true", login="carol").returncode == DENIED
    web1.run(["rm", "-r", "/home/bob/.ssh", "/home/carol/.ssh"])


@pytest.mark.parametrize(
    ("after", "before", "code"),
    [
        (-60, 120, 0),
        (-60, -1, DENIED),  # a second too late
        (2, 120, DENIED),
        (-160, 20, 0),  # as by a host whose clock is 100 s ahead
        (40, 220, DENIED),  # 100 s behind: more than the 60 s that certificates allow for
    ],
)
def test_the_hosts_clock_decides_to_the_second(ssh, certificate, after, before, code):
    """Negative 1; sshd itself knows no grace."""
    for _ in range(10):
        now = int(time.time())
        done = ssh(certificate(valid_after=now + after, valid_before=now + before), "true")
        if after < 0 or time.time() < now + after:
            break
    else:
        pytest.fail("it was never judged before it became valid")
    assert done.returncode == code


def test_the_hosts_certificate_names_server_id_and_name(world, web1):
    known = world.person.folder / "known_hosts"
    key = world.shop.host.public_key.text()
    for name, code in ((world.ids["web1"], 0), ("web1", 0), ("web2", DENIED)):
        known.write_text(f"@cert-authority * {key}\n")
        options = ("-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes")
        made = world.person.certificate(world.shop.user, f"alice@{world.ids['web1']}")
        argv = world.person.options(made)
        argv = [*argv[:1], *options, "-o", f"HostKeyAlias={name}", *argv[1:]]
        done = world.fleet.client.run([*argv, f"alice@{web1.address}", "true"], check=False)
        assert done.returncode == code, (name, done.stderr)


def test_events_are_shipped_once_and_name_the_serial(world, web1, ssh, certificate):
    web1.agent("once")
    del world.shop.reports[:]
    fresh = certificate(serial=4711)
    ssh(fresh, "true")
    ssh(fresh, "true")
    web1.agent("once")
    web1.agent("once")
    events = [one for _, report in world.shop.reports for one in report.logins]
    assert [(one.serial, one.login, one.source, one.outcome) for one in events] == [
        ("4711", "alice", "10.99.0.2", outcome) for outcome in ("accepted", "replayed")
    ]
    assert re.search(r"\(serial 4711\)", web1.sshd_log)
