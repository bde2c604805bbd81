"""How the agent changes sshd and PAM: judged, compared, proven, swapped; or nothing at all. G10 and negative 23 of the promises."""

from __future__ import annotations

import re

import pytest
from host_control import Peer, Person, admin, user
from hosts import PYTHON, TOP, Fleet

pytestmark = pytest.mark.root
DROP_IN, PAM = "/etc/ssh/sshd_config.d/00-ostiary.conf", "/etc/pam.d/sshd"
MAIN = "/etc/ssh/sshd_config"
PRINCIPALS = "/etc/ssh/ostiary/principals"


class World:
    """A host that is enrolled anew for each test, and as it was before, for as long as the test wants."""

    def __init__(self, fleet, peer, folder) -> None:
        self.fleet, self.host, self.peer = fleet, fleet["web1"], peer
        self.person = Person(fleet, folder)
        self.main, self.pam = self.host.read(MAIN), self.host.read(PAM)
        self.host.run(["useradd", "-m", "-s", "/bin/bash", "bob"])
        self.host.start_sshd()
        self.id = ""

    def enroll(self):
        self.id = self.peer.enroll(self.host, "--break-glass-account", "root")
        self.peer.state(self.id, admin(server_id=self.id))

    def once(self):
        return self.host.agent("once", check=False)

    def files(self):
        return {name: self.held(name) for name in (DROP_IN, PAM, MAIN)}

    def held(self, name):
        path = self.host.root / name[1:]
        return path.read_text() if path.exists() else None

    def enters(self, login="alice", signer=None):
        made = self.person.certificate(signer or self.peer.user, f"{login}@{self.id}")
        return self.person.ssh(self.host, made, "true", login=login).returncode == 0

    def answers(self):
        said = self.fleet.client.run(["ssh-keyscan", self.host.address], check=False)
        return "ssh-ed25519" in said.stdout

    def effective(self, user):
        where = f"user={user},host=x,addr=10.0.0.1"
        return self.host.run(["/usr/sbin/sshd", "-T", "-C", where]).stdout

    def before(self):
        """As it was: not enrolled, sshd's files as installed."""
        self.host.agent("remove", "--offline", check=False)
        for name in ("identity.json", "state.json"):
            (self.host.root / "var/lib/ostiary" / name).unlink(missing_ok=True)
        (self.host.root / DROP_IN[1:]).unlink(missing_ok=True)
        self.host.write(MAIN, self.main)
        self.host.write(PAM, self.pam)
        self.host.start_sshd()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    with Fleet(["web1"]) as fleet, Peer(fleet, folder) as peer:
        yield World(fleet, peer, folder)


@pytest.fixture
def world(built):
    built.enroll()
    yield built
    built.before()


def test_it_comes_and_goes_without_a_trace(world):
    before = world.files()
    effective = {user: world.effective(user) for user in ("root", "bob")}
    assert world.once().returncode == 0
    assert world.enters()
    changed = {
        line
        for user, text in effective.items()
        for line in set(world.effective(user).splitlines()) ^ set(text.splitlines())
    }
    assert {line.split()[0] for line in changed} == {
        "trustedusercakeys", "authorizedprincipalsfile", "hostcertificate", "loglevel"
    }  # fmt: skip
    assert "authorizedkeysfile none" in world.effective("alice")
    assert world.host.agent("remove").returncode == 0
    assert world.files() == before
    assert world.effective("bob") == effective["bob"]
    assert not (world.host.root / "etc/ssh/ostiary").exists()
    assert world.id not in world.peer.enrolled
    assert not world.enters()
    assert world.answers()
    assert world.host.run(["getent", "passwd", "alice"]).stdout.endswith(":/usr/sbin/nologin\n")


def test_a_second_run_touches_nothing_but_what_others_undid(world):
    world.once()
    stamp = world.host.run(["stat", "-c", "%i %Y", DROP_IN, PAM, "/etc/ssh/ostiary/session"]).stdout
    world.peer.state(world.id, admin(server_id=world.id))
    assert world.once().returncode == 0
    again = world.host.run(["stat", "-c", "%i %Y", DROP_IN, PAM, "/etc/ssh/ostiary/session"]).stdout
    assert again == stamp
    held = world.files()
    world.host.write(PAM, world.pam)
    world.host.write(DROP_IN, "# nothing\n")
    assert world.once().returncode == 0
    assert world.files() == held
    assert world.enters()


@pytest.mark.parametrize("where", [MAIN, "/etc/ssh/sshd_config.d/50-other.conf"])
def test_g10_a_configuration_that_is_broken_already_is_left_alone(world, where):
    world.host.write(where, world.held(where) or "")
    text = world.held(where)
    world.host.write(where, text + "\nNoSuchKeyword yes\n")
    before = world.files()
    try:
        done = world.once()
        assert done.returncode == 1
        assert "NoSuchKeyword" in done.stderr
        assert world.files() == before
        assert world.answers()
        assert not world.enters()
    finally:
        (world.host.root / where[1:]).unlink() if "50-" in where else world.host.write(where, text)


def test_g10_what_sshd_refuses_of_ours_is_never_installed(world):
    """A later Match that sshd cannot parse together with ours: here a host without the keyword, as an old sshd is."""
    fake = "/usr/local/sbin/sshd"
    script = (
        "#!/bin/sh\n"
        'for one in "$@"; do case $one in -f) next=1 ;; *)'
        ' [ "$next" ] && grep -qs \'Match Group\' "$one" "${one%/*}"/00-* && {'
        " echo 'line 7: Directive is not allowed' >&2; exit 255; }; next= ;; esac; done\n"
        'exec /usr/sbin/sshd "$@"\n'
    )
    before = world.files()
    world.host.write(fake, script, 0o755)
    try:
        done = world.once()
    finally:
        (world.host.root / fake[1:]).unlink()
    assert "sshd refuses what we would add" in done.stderr
    assert world.files() == before
    assert world.answers()


def test_g10_nobody_enters_where_logins_cannot_be_proven(world):
    """AllowUsers of the host leaves our people out: the private sshd shows it before anything is changed."""
    other = "/etc/ssh/sshd_config.d/50-allow.conf"
    world.host.write(other, "AllowUsers root bob\n")
    before = world.files()
    done = world.once()
    assert "a managed user could not enter" in done.stderr
    assert "AllowUsers" in done.stderr
    assert world.files() == before
    (world.host.root / other[1:]).unlink()
    assert world.once().returncode == 0
    assert world.enters()


def test_g10_a_command_that_the_host_forces_is_a_login_too(world):
    other = "/etc/ssh/sshd_config.d/50-menu.conf"
    world.host.write(other, "ForceCommand /bin/echo menu\n")
    world.host.start_sshd()
    said = world.once().stderr
    made = world.person.certificate(world.peer.user, f"alice@{world.id}")
    done = [world.person.ssh(world.host, made, "id") for _ in range(2)]
    (world.host.root / other[1:]).unlink()
    assert said == ""
    assert [(one.returncode, one.stdout) for one in done] == [(0, "menu\n"), (254, "")]


def test_g10_a_pam_stack_that_refuses_is_found_before_it_counts(world):
    world.host.write(PAM, world.pam + "session required pam_deny.so\n")
    before = world.files()
    done = world.once()
    assert "a managed user could not enter" in done.stderr
    assert world.files() == before


@pytest.mark.parametrize("stands_in_the_way", ["bashrc", "limit"])
def test_g10_no_user_decides_whether_a_login_is_proven(world, stands_in_the_way):
    """The first user's own shell files, and a limit that this user alone has reached, keep nobody else out."""
    assert world.once().returncode == 0
    carol = user("carol", 60002, server_id=world.id)
    world.peer.state(world.id, admin(server_id=world.id), carol)
    world.host.write("/home/alice/.bashrc", "exit 7\n")
    limits = "/etc/security/limits.d/alice.conf"
    if stands_in_the_way == "limit":
        world.host.write(limits, "alice hard maxlogins 0\n")
    world.host.write(PAM, world.pam)
    try:
        assert world.once().stderr == ""
        assert world.enters("carol")
    finally:
        world.host.run(["rm", "-f", "/home/alice/.bashrc", limits])


def test_g10_an_sshd_that_does_not_come_back_gets_its_old_files_and_is_started(world):
    """The listening sshd executes its own path again at the signal; there something else lies by now."""
    world.host.run(["cp", "/usr/sbin/sshd", "/usr/local/sbin/sshd"])
    world.host.run(["mount", "--bind", "/bin/false", "/usr/sbin/sshd"])
    before = world.files()
    try:
        done = world.once()
    finally:
        world.host.run(["umount", "/usr/sbin/sshd"])
    assert "did not answer after the change, so it was undone" in done.stderr
    assert "does not answer now" not in done.stderr
    assert world.files() == before
    assert world.answers()
    world.host.run(["sh", "-c", "kill $(cat /run/sshd.pid)"])
    (world.host.root / "usr/local/sbin/sshd").unlink()


def test_where_nothing_is_included_marked_blocks_are_written(world):
    main = world.main.replace("Include /etc/ssh/sshd_config.d/*.conf\n", "")
    assert main != world.main
    main += "Match User bob\n    PermitTTY no\n"
    world.host.write(MAIN, main)
    assert world.once().returncode == 0
    assert world.held(DROP_IN) is None
    assert world.enters()
    assert world.enters("root", world.peer.glass)
    assert "permittty no" in world.effective("bob")
    assert "permittty yes" in world.effective("alice")
    assert world.host.agent("remove", "--offline").returncode == 0
    assert world.held(MAIN) == main


def test_an_authority_of_somebody_else_goes_on_being_trusted(world):
    other = "/etc/ssh/sshd_config.d/50-theirs.conf"
    theirs = world.peer.host  # any key that is not ours
    world.host.write("/etc/ssh/theirs.pub", theirs.public_key.text() + "\n")
    world.host.write(other, "TrustedUserCAKeys /etc/ssh/theirs.pub\n")
    world.host.start_sshd()
    made = world.person.certificate(theirs, "bob")
    assert world.person.ssh(world.host, made, "true", login="bob").returncode == 0
    said = world.once().stderr
    assert "sshd would not let it into root: TrustedUserCAKeys /etc/ssh/theirs.pub\n" in said
    assert world.person.ssh(world.host, made, "true", login="bob").returncode == 0
    assert world.enters()
    assert world.enters("alice", world.peer.glass)
    assert not world.enters("root", world.peer.glass)  # the price, and reported
    alice = world.person.certificate(theirs, f"alice@{world.id}")
    assert world.person.ssh(world.host, alice, "true").returncode == 255
    (world.host.root / other[1:]).unlink()


BARRED = ("PermitRootLogin no", "PubkeyAuthentication no", "DenyUsers r*", "AllowUsers alice bob")


@pytest.mark.parametrize("line", BARRED)
def test_a_break_glass_that_would_not_enter_is_told_before_it_is_needed(world, line):
    assert world.once().stderr == ""
    other = "/etc/ssh/sshd_config.d/50-strict.conf"
    world.host.write(other, f"{line}\n")
    world.host.start_sshd()
    said, entered = world.once().stderr, world.enters("root", world.peer.glass)
    (world.host.root / other[1:]).unlink()
    assert not entered
    shown = line if line.endswith("no") else line.split()[0]
    assert f"break-glass: sshd would not let it into root: {shown}\n" in said


def test_a_kill_before_sshd_is_told_is_made_good(world):
    """The drop-in is there and sshd has not read it: what is complete on the disk is not what holds."""
    world.once()
    text = world.held(DROP_IN)
    world.host.write(DROP_IN, "")
    world.host.start_sshd()
    argv = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=kill:signal=KILL", PYTHON]
    argv += ["-m", "ostiary.doors.servers.agent", "once"]
    env = {"PYTHONPATH": str(TOP / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    assert world.host.run(argv, env=env, check=False).returncode
    assert world.held(DROP_IN) == text
    assert not world.enters()
    assert world.once().returncode == 0
    assert world.enters()


def test_without_pam_nothing_is_trusted(world):
    other = "/etc/ssh/sshd_config.d/50-pam.conf"
    world.host.write(other, "UsePAM no\n")
    done = world.once()
    assert "UsePAM is no" in done.stderr
    assert not world.enters()
    assert not (world.host.root / PRINCIPALS[1:] / "alice").exists()
    (world.host.root / other[1:]).unlink()


@pytest.mark.parametrize("how", ["before ours", "in front of the include"])
def test_who_turns_pam_off_later_turns_our_certificates_off(world, how):
    """Nobody would count them: each would open as many connections as somebody likes, for as long as it is valid."""
    world.once()
    other = "/etc/ssh/sshd_config.d/00-aaa.conf"
    if how == "before ours":
        world.host.write(other, "UsePAM no\n")
    else:
        world.host.write(MAIN, f"UsePAM no\n{world.main}")
    world.host.start_sshd()
    assert "UsePAM is no" in world.once().stderr
    assert not world.enters()
    assert world.enters("root", world.peer.glass)
    (world.host.root / other[1:]).unlink(missing_ok=True)
    world.host.write(MAIN, world.main)
    world.host.start_sshd()
    assert world.once().returncode == 0
    assert world.enters()


def test_what_others_say_for_managed_users_before_we_do_is_told(world):
    world.once()
    other = "/etc/ssh/sshd_config.d/00-aaa.conf"
    world.host.write(other, "Match User alice\n    AuthorizedKeysFile .ssh/authorized_keys\n")
    said = world.once().stderr
    (world.host.root / other[1:]).unlink()
    assert "authorizedkeysfile of alice is .ssh/authorized_keys, not none" in said


def test_negative_23_a_file_that_was_cut_is_made_whole_and_locks_out_nobody_else(world):
    world.once()
    for name in ("trusted-authorities", "principals/alice", "session", "one-time-authorities"):
        path = world.host.root / "etc/ssh/ostiary" / name
        whole = path.read_text()
        path.write_text(whole[: len(whole) // 2])
        assert world.enters("root", world.peer.glass), name
        assert world.once().returncode == 0
        assert path.read_text() == whole
        assert world.enters(), name


def test_rotation_trusts_both_and_then_the_new_one(world):
    world.once()
    old, new = world.peer.user, world.peer.host
    keys = (old.public_key.text(), new.public_key.text())
    world.peer.state(world.id, admin(server_id=world.id), authorities=keys)
    assert world.once().returncode == 0
    assert set(world.peer.reports[-1][1].trusted) >= {new.public_key.fingerprint}
    made = world.person.certificate(new, f"alice@{world.id}")
    codes = [world.person.ssh(world.host, made, "true").returncode for _ in range(2)]
    assert codes == [0, 254]
    assert world.enters(signer=old)
    world.peer.state(world.id, admin(server_id=world.id), authorities=keys[1:])
    assert world.once().returncode == 0
    assert not world.enters(signer=old)
    assert world.enters(signer=new)


def test_a_login_is_proven_on_a_private_sshd_that_opens_no_port(world):
    done = world.host.agent(
        "once",
        check=False,
        env={"PYTHONWARNINGS": "error"},
    )
    assert done.returncode == 0
    assert not (world.host.root / "etc/ssh/ostiary/candidate").exists()
    assert not (world.host.root / "etc/pam.d/ostiary-proof").exists()
    assert re.search(r"Received SIGHUP", world.host.sshd_log)


def test_a_renewed_host_certificate_is_served(world):
    world.once()
    known = world.person.folder / "known"
    known.write_text(f"@cert-authority * {world.peer.glass.public_key.text()}\n")

    def known_by_new_authority():
        made = world.person.certificate(world.peer.user, f"alice@{world.id}")
        strict = ["-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes"]
        first, *options = world.person.options(made)
        name = ["-o", f"HostKeyAlias={world.id}", f"alice@{world.host.address}", "true"]
        done = world.fleet.client.run([first, *strict, *options, *name], check=False)
        return done.returncode == 0

    assert not known_by_new_authority()
    signs, world.peer.host = world.peer.host, world.peer.glass
    try:
        world.peer.state(world.id, admin(server_id=world.id))
    finally:
        world.peer.host = signs
    assert world.once().returncode == 0
    assert known_by_new_authority()
