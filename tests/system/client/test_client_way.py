"""The whole way: ssh, its configuration, entry files, resident agent, a control plane that speaks the wire, real sshds."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import socket
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from client_world import LOGIN, PROOF_KEY, TOKEN
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ostiary.doors.servers.client import resident
from ostiary.doors.servers.client.control_api import Control
from ostiary.doors.servers.wire.message import encode
from ostiary.doors.servers.wire.person import Refusal, ServerEntry, Session
from ostiary.pki import ssh_key
from ostiary.pki.ssh_option import valued


@pytest.fixture
def web1(peer, host, person):
    """A server that the person, who is signed in, may enter."""
    one = host("web1", "srv_1")
    peer.servers = [one.entry("web1")]
    person.sign_in(peer)
    return one


def test_ssh_enters_with_a_certificate_made_for_it(peer, person, web1):
    done = person.ssh("web1", "echo in")
    assert (done.returncode, done.stdout, done.stderr) == (0, "in\n", ""), web1.log
    ((request, headers),) = peer.asked
    assert (request.server, request.purpose, request.project) == ("srv_1", "login", "prod")
    assert headers["Authorization"] == f"Bearer {TOKEN}"


UNKNOWN = "of-a-later-day@acme.example"


def test_an_option_that_nobody_knows_comes_to_sshd_as_it_was_signed(peer, person, web1):
    """Negative 8: whatever of ours a certificate goes through takes nothing out of it, so that sshd refuses."""
    peer.critical = (valued(UNKNOWN, "yes"),)
    assert person.ssh("web1").returncode == 255
    assert f'critical option "{UNKNOWN}" is not supported' in web1.log
    peer.critical = ()
    assert person.ssh("web1").returncode == 0, web1.log


def test_a_bastion_is_shown_such_an_option_too_and_passes_nothing_on(peer, person, host):
    """Negative 8."""
    bastion, web1 = host("bastion", "srv_b"), host("web1", "srv_1")
    peer.servers = [bastion.entry("bastion"), web1.entry("web1", bastion="bastion")]
    person.sign_in(peer)
    peer.critical = (valued(UNKNOWN, "yes"),)
    assert person.ssh("web1").returncode == 255
    assert f'critical option "{UNKNOWN}" is not supported' in bastion.log
    assert web1.log.count("Connection from") == 1, "by who looked whether it listens"


def test_each_request_is_proven_by_the_key_of_the_session(peer, person, web1):
    person.ssh("web1")
    person.ssh("srv_1")
    for request, headers in peer.asked:
        at, nonce, digest, told = headers["ostiary-proof"].split(" ")
        assert digest == hashlib.sha256(encode(request)).hexdigest()
        text = f"ostiary-request@v1\nPOST\n/v1/certificates\n{at} {nonce} {digest}"
        assert told == hmac.new(PROOF_KEY.encode(), text.encode(), "sha256").hexdigest()
        assert abs(int(at) - time.time()) < 60


def test_a_server_that_is_listed_is_known_to_ssh(peer, person, web1, host):
    """It came a moment ago, when ssh had just looked and not found it."""
    person.environ["OSTIARY_CONTROL"] = peer.url
    assert person.ssh("web1", "echo in").stdout == "in\n"
    assert "web2" in person.ssh("web2", "true").stderr
    peer.servers = [*peer.servers, host("web2", "srv_2").entry("web2")]
    shown = json.loads(person.ostiary("servers", "list", "--json").stdout)["servers"]
    assert [one["name"] for one in shown] == ["web1", "web2"]
    assert person.ssh("web2", "echo in").stdout == "in\n"


def test_each_connection_has_a_certificate_of_its_own(peer, person, web1):
    running = [
        subprocess.Popen(
            person.command("web1", "sleep 0.2; echo in"),
            env=person.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    assert [one.communicate(timeout=30)[0] for one in running] == ["in\n"] * 4, web1.log
    keys = {request.public_key for request, _ in peer.asked}
    assert len(keys) == len(peer.asked) == 4
    assert peer.connections <= 6


def test_nothing_is_left_in_the_agent_and_nobody_else_sees_a_pass(peer, person, web1):
    seen = person.ssh("web1", f"SSH_AUTH_SOCK={person.folder}/agent.sock ssh-add -L")
    assert "no identities" in seen.stdout
    assert person.python(ASK_WHO).stdout.strip() == "0"


ASK_WHO = (
    "from ostiary.doors.servers.client import place, talk;"
    "print(talk.ask(place.run_folder(), 'who')['passes'])"
)


@pytest.fixture
def own_agent(person, tmp_path):
    """The person's own ssh-agent, with a key; its socket."""
    sock = tmp_path / "own"
    words = ["ssh-agent", "-D", "-a", sock]
    running = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    for _ in range(100):
        if sock.exists():
            break
        time.sleep(0.02)
    key = tmp_path / "own-key"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "mine", "-f", key], check=True
    )
    person.environ["SSH_AUTH_SOCK"] = str(sock)
    subprocess.run(["ssh-add", "-q", key], env=person.environ, check=True)
    yield sock
    running.terminate()
    running.wait(10)


def test_what_is_forwarded_is_the_persons_own_agent_and_never_the_resident_one(
    person, web1, own_agent
):
    for asked in (("-A",), ("-o", f"ForwardAgent={own_agent}")):
        assert " mine (ED25519)" in person.ssh(*asked, "web1", "ssh-add -l").stdout
    assert "mine" not in person.ssh("web1", "ssh-add -l").stdout, "it was not asked for"
    for other in ("", "/nowhere", str(person.folder / "agent.sock")):
        person.environ["SSH_AUTH_SOCK"] = other
        none = person.ssh("-A", "web1", "ssh-add -l")
        assert none.stdout == ""
        assert "agent refused operation" in none.stderr


def test_a_bastion_in_between_is_not_noticed(peer, person, host):
    bastion, web1 = host("bastion", "srv_b"), host("web1", "srv_1")
    peer.servers = [bastion.entry("bastion"), web1.entry("web1", bastion="bastion")]
    person.sign_in(peer)
    done = person.ssh("web1", "echo in")
    assert (done.returncode, done.stdout, done.stderr) == (0, "in\n", ""), bastion.log + web1.log
    asked = {request.server: request for request, _ in peer.asked}
    assert (asked["srv_1"].purpose, asked["srv_1"].forward_to) == ("login", "")
    assert (asked["srv_b"].purpose, asked["srv_b"].forward_to) == ("hop", "srv_1")


def test_a_bastion_that_is_gone_is_said_so(peer, person, web1):
    peer.servers = [web1.entry("web2", bastion="bastion")]
    person.sign_out()
    person.sign_in(peer)
    done = person.ssh("web2", "true")
    assert "why: the way there is through bastion, which is not there" in done.stderr


@pytest.mark.parametrize("bastion", ["web1", "there"])
def test_a_way_in_a_circle_is_not_gone(peer, person, web1, bastion):
    """Each hop would be one more ssh, for ever."""
    there = replace(web1.entry("there", bastion="web1"), server_id="srv_t")
    peer.servers = [web1.entry("web1", bastion=bastion), there]
    person.sign_out()
    person.sign_in(peer)
    done = person.ssh("web1", "true")
    assert done.returncode == 255
    assert "why: the way there leads in a circle: web1 through" in done.stderr
    assert peer.asked == []


def test_two_bastions_in_a_row(peer, person, host):
    names = {"outer": "srv_o", "inner": "srv_i", "web1": "srv_1"}
    hosts = {name: host(name, server_id) for name, server_id in names.items()}
    behind = {"outer": "", "inner": "outer", "web1": "inner"}
    peer.servers = [one.entry(name, bastion=behind[name]) for name, one in hosts.items()]
    person.sign_in(peer)
    done = person.ssh("web1", "echo in")
    assert (done.returncode, done.stdout, done.stderr) == (0, "in\n", "")
    hops = {(r.server, r.forward_to) for r, _ in peer.asked if r.purpose == "hop"}
    assert hops == {("srv_i", "srv_1"), ("srv_o", "srv_i")}


def test_a_server_behind_a_bastion_that_does_not_listen_for_a_moment_is_entered(peer, person, host):
    """As while its sshd reads its files again; the bastion says that it was refused, and another hop is made."""
    bastion, web1 = host("bastion", "srv_b"), host("web1", "srv_1")
    peer.servers = [bastion.entry("bastion"), web1.entry("web1", bastion="bastion")]
    person.sign_in(peer)
    web1.stop()

    def again():
        end = time.monotonic() + 20
        while f"port {web1.port}: failed" not in bastion.log and time.monotonic() < end:
            time.sleep(0.01)
        web1.start()

    starting = threading.Thread(target=again)
    starting.start()
    done = person.ssh("web1", "echo in")
    starting.join()
    assert (done.returncode, done.stdout, done.stderr) == (0, "in\n", ""), bastion.log
    purposes = [request.purpose for request, _ in peer.asked]
    assert purposes.count("login") == 1
    assert 2 <= purposes.count("hop") <= 4


def test_a_server_behind_a_bastion_that_is_down_is_said_so(peer, person, host):
    bastion, web1 = host("bastion", "srv_b"), host("web1", "srv_1")
    peer.servers = [bastion.entry("bastion"), web1.entry("web1", bastion="bastion")]
    person.sign_in(peer)
    web1.stop()
    try:
        done = person.ssh("web1", "echo in")
    finally:
        web1.start()
    assert done.returncode == 255
    assert done.stderr.splitlines()[:3] == [
        f"ostiary: error: cannot reach web1 at 127.0.0.1 port {web1.port}",
        "  why: the server through which one comes there does not reach it",
        "  fix: see that the server runs and that this network leads there",
    ]
    assert [request.purpose for request, _ in peer.asked].count("hop") == 4


def test_nothing_is_left_running_when_ssh_is_killed_on_the_way(peer, person, host):
    """While what is behind the bastion has not spoken yet."""
    bastion = host("bastion", "srv_b")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        web1 = replace(bastion.entry("web1", bastion="bastion"), server_id="srv_1", port=port)
        peer.servers = [bastion.entry("bastion"), web1]
        person.sign_in(peer)
        options = {"env": person.environ, "stdin": subprocess.DEVNULL}
        running = subprocess.Popen(person.command("web1", "true"), **options)
        connection, _ = silent.accept()
        with connection:
            running.kill()
            running.wait(10)
            for _ in range(100):
                if not hops(person):
                    return
                time.sleep(0.05)
    pytest.fail("the way through the bastion is still there")


def test_nothing_is_left_running_when_ssh_is_killed(peer, person, host):
    bastion, web1 = host("bastion", "srv_b"), host("web1", "srv_1")
    peer.servers = [bastion.entry("bastion"), web1.entry("web1", bastion="bastion")]
    person.sign_in(peer)
    options = {"env": person.environ, "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
    running = subprocess.Popen(person.command("web1", "echo in; sleep 60"), **options)
    assert running.stdout.read(3) == b"in\n"
    assert hops(person) != []
    running.kill()
    running.communicate(timeout=10)
    for _ in range(100):
        if not hops(person):
            return
        time.sleep(0.05)
    pytest.fail("the way through the bastion is still there")


def hops(person):
    """Processes of ``ssh -W`` through the person's resident agent."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = file.read_bytes()
            if b"\0-W\0" in words and str(person.folder).encode() in words:
                found.append(int(file.parent.name))
    return found


def test_a_refusal_is_said_in_three_lines(peer, person, web1):
    peer.refuse = (403, Refusal("not-entitled", "no rule of prod lets you in", "ask sre for it"))
    done = person.ssh("web1", "true")
    assert done.returncode == 255
    assert done.stderr.splitlines()[:3] == [
        "ostiary: error: cannot enter web1",
        "  why: no rule of prod lets you in",
        "  fix: ask sre for it",
    ]


@pytest.mark.parametrize("address", ["127.0.0.1", "192.0.2.1"], ids=["silent", "no route"])
def test_a_refusal_does_not_wait_for_a_server_that_is_away(peer, person, address):
    with silent() as port:
        away = ServerEntry("srv_2", "away", "prod", address, port, "", {}, 0.0, ("login",))
        peer.servers = [away]
        person.sign_in(peer)
        peer.slow, peer.refuse = 0.1, (403, Refusal("step-up", "a stronger sign-in is asked for"))
        began = time.monotonic()
        done = person.ssh("away")
    assert time.monotonic() - began < 5
    assert "fix: run: ostiary login --step-up" in done.stderr


@contextlib.contextmanager
def silent():
    """A port whose queue is full: who connects hears nothing."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = listening.getsockname()[1]
        for _ in range(3):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        yield port


def test_a_server_that_does_not_listen_is_said_to_be_away(peer, person):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    peer.servers = [ServerEntry("srv_2", "away", "prod", "127.0.0.1", port, "", {}, 0.0, ())]
    person.sign_in(peer)
    peer.slow = 0.05
    done = person.ssh("away")
    assert f"cannot reach away at 127.0.0.1 port {port}" in done.stderr
    assert "why: connection refused" in done.stderr


def test_a_server_that_no_way_leads_to_is_said_to_be_away(peer, person):
    peer.servers = [ServerEntry("srv_2", "away", "prod", "255.255.255.255", 22, "", {}, 0.0, ())]
    person.sign_in(peer)
    done = person.ssh("away")
    assert "cannot reach away at 255.255.255.255 port 22" in done.stderr
    assert "why: network is unreachable" in done.stderr or "permission denied" in done.stderr


def test_a_server_that_reads_its_files_again_just_then_is_entered(person, web1):
    """sshd does not listen for a moment when it is told to: SIGHUP."""
    person.config()
    web1.stop()
    back = threading.Timer(0.6, web1.start)
    back.start()
    done = person.ssh("web1", "echo in")
    back.join()
    assert done.stdout == "in\n", done.stderr


def vars_of(message):
    return {name: getattr(message, name) for name in message.__dataclass_fields__}


def test_another_login_is_refused_before_a_certificate_is_made(peer, person, web1):
    done = person.ssh("mallory@web1")
    assert "cannot enter web1 as mallory" in done.stderr
    assert f"fix: run: ssh {LOGIN}@web1" in done.stderr
    assert peer.asked == []


def test_who_is_not_signed_in_is_told_so(peer, person, web1):
    assert person.ssh("web1", "true").returncode == 0
    person.sign_out()
    done = person.ssh("web1")
    assert done.returncode == 255
    assert "ostiary: error: cannot enter web1: nobody is signed in here" in done.stderr
    assert "fix: run: ostiary login" in done.stderr


def test_a_control_plane_that_is_away_is_said_to_be_so(peer, person, web1):
    assert person.ssh("web1", "true").returncode == 0
    peer.stop()
    peer.close_connections()
    done = person.ssh("web1")
    assert "cannot reach the control plane" in done.stderr
    assert "sessions that are open go on" in done.stderr


def test_names_of_two_projects_are_told_apart_by_id(peer, person, host):
    first, second = host("first", "srv_1"), host("second", "srv_2")
    peer.servers = [first.entry("web1"), second.entry("web1", project="test")]
    person.sign_in(peer)
    done = person.ssh("web1")
    assert "it is the name of srv_1 (prod) or srv_2 (test)" in done.stderr
    assert person.ssh("srv_2", "echo in").stdout == "in\n"


@pytest.mark.parametrize(
    "name", ["unknown.invalid", "a'b", "$(touch owned)", "a;touch owned", "-x"]
)
def test_other_hosts_go_on_as_they_were(peer, person, web1, name, tmp_path):
    done = subprocess.run(
        person.command("-G", "--", name),
        env=person.environ,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert "identityagent" not in done.stdout.lower()
    assert not (tmp_path / "owned").exists()


def test_a_user_with_a_quote_never_reaches_the_shell(person, web1, tmp_path):
    done = subprocess.run(
        person.command("-G", "-l", "x';touch owned;'", "web1"),
        env=person.environ,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert "ostiary" not in done.stdout
    assert not (tmp_path / "owned").exists()


def test_a_host_that_is_another_gets_no_signature(peer, person, web1, host):
    """The address leads to another host of the same authority: ssh itself refuses, and so does the agent."""
    web2 = host("web2", "srv_2")
    peer.servers = [type(entry := web1.entry("web1"))(**{**vars_of(entry), "port": web2.port})]
    person.sign_out()
    person.sign_in(peer)
    strict = person.ssh("web1", "true")
    assert strict.returncode == 255
    assert "Host key verification failed" in strict.stderr
    careless = person.ssh("-o", "StrictHostKeyChecking=no", "web1", "true")
    assert careless.returncode == 255
    assert "Permission denied" in careless.stderr
    assert person.python(ASK_REFUSALS).stdout.strip().endswith("the host is not web1")


ASK_REFUSALS = (
    "from ostiary.doors.servers.client import place, talk;"
    "print(talk.ask(place.run_folder(), 'who')['refusals'][-1])"
)


def test_the_authority_of_another_project_does_not_speak_for_a_host(peer, person, web1):
    other = ssh_key.of(Ed25519PrivateKey.generate().public_key()).text()
    peer.change = {"host_authorities": (other,)}
    done = person.ssh("web1", "true")
    assert "Host key verification failed" in done.stderr
    done = person.ssh("-o", "StrictHostKeyChecking=no", "web1", "true")
    assert "Permission denied" in done.stderr
    assert "no authority of the project" in person.python(ASK_REFUSALS).stdout


def test_sockets_are_for_their_user_only(person, web1):
    assert person.folder.stat().st_mode & 0o777 == 0o700
    for name in ("talk.sock", "agent.sock"):
        assert (person.folder / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("how", ["link", "open"])
def test_a_folder_of_others_is_refused(peer, person, tmp_path, how):
    if how == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        person.folder.symlink_to(tmp_path / "elsewhere")
    else:
        person.folder.mkdir()
        person.folder.chmod(0o755)
    with pytest.raises(AssertionError, match=r"it is no folder|others may enter it"):
        person.sign_in(peer)
    assert person.resident.wait(10) == 6


@pytest.mark.parametrize("how", ["open", "another", "link"])
def test_a_resident_agent_of_somebody_else_is_not_believed(person, tmp_path, how):
    """Below /tmp anybody can make the folder first, with sockets and a file of host keys in it."""
    folder = person.folder
    if how == "link":
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir(mode=0o755)
    if how == "open":
        folder.chmod(0o777)
    elif how == "another" and os.geteuid() != 0:
        text = "not run: needs root to make another user's folder"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(text)
    elif how == "another":
        os.chown(folder, 60_999, 60_999)
    asked = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "talk.sock"))
        listening.listen()
        threading.Thread(target=_says_yes, args=(listening, asked), daemon=True).start()
        shown = person.ssh("-G", "bank.example")
        names = person.home / ".config/ostiary/servers"
        names.parent.mkdir(parents=True)
        names.write_text("web1\n")
        entered = person.ssh("web1", "true")
        told = person.ostiary("servers", "list", "--control", "http://127.0.0.1:1")
        listening.shutdown(socket.SHUT_RDWR)
    assert "ostiary" not in shown.stdout
    assert (entered.returncode, asked) == (255, [])
    assert "not a folder of yours" in entered.stderr
    assert told.returncode


def _says_yes(listening, asked):
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listening.accept()
            asked.append(connection.recv(1000))
            connection.sendall(b"ours\tyes\n")
            connection.close()


HOSTILE = {
    "server_id": "srv_2' -- x y; touch owned; '",
    "name": "bank.example\nweb1",
    "address": "$(touch owned)",
}


@pytest.mark.parametrize("field", HOSTILE)
def test_a_hostile_control_plane_reaches_no_shell_and_no_file(peer, person, host, field):
    """What it says of a server that a shell or a file could read as more than a name makes the server none of ours."""
    bastion, web1 = host("bastion", "srv_2"), host("web1", "srv_1")
    wrong = vars_of(bastion.entry("bastion")) | {field: HOSTILE[field]}
    right = web1.entry("web1", bastion=wrong["name"])
    peer.servers = [right, type(right)(**wrong)]
    person.sign_in(peer)
    done = person.ssh("web1", "true")
    assert done.returncode == 255
    assert not list(Path(person.home).rglob("owned")), done.stderr
    assert not Path("owned").exists()
    names = person.home / ".config/ostiary/servers"
    assert not names.exists() or "bank.example" not in names.read_text().split()


def test_words_of_the_control_plane_do_nothing_to_the_terminal(peer, person, web1):
    peer.refuse = (403, Refusal("not-entitled", "\x1b]0;owned\x07no", "ask \x9b31m"))
    done = person.ssh("web1", "true")
    assert "why: ?]0;owned?no" in done.stderr
    assert "\x1b" not in done.stderr


def test_the_resident_agent_leaves_when_the_session_ends(peer, person):
    person.sign_in(peer, seconds=0.2)
    assert person.resident.wait(10) == 0
    assert not (person.folder / "talk.sock").exists()


def test_it_leaves_when_nobody_asks_anything(peer, tmp_path, monkeypatch):
    monkeypatch.setattr(resident, "IDLE_SECONDS", 0.3)
    session = Session(TOKEN, time.time() + 600, LOGIN, "alice@acme.example")
    with Control(peer.url) as control:
        one = resident.Resident(tmp_path, control, session, tmp_path / "names")
        running = threading.Thread(target=one.run, args=(lambda: None,))
        running.start()
        running.join(10)
        assert not running.is_alive()
    assert not (tmp_path / "agent.sock").exists()


def test_a_full_disk_is_said_so(peer, person, web1):
    """Where the folder of known hosts takes nothing any more."""
    (person.folder / "known_hosts").unlink()
    (person.folder / "known_hosts").mkdir()
    done = person.ssh("web1", "true")
    assert done.returncode == 255
    assert "ostiary: error: the resident agent cannot write" in done.stderr


def test_the_memory_of_the_resident_agent_is_closed(person, web1):
    limits = Path(f"/proc/{person.resident.pid}/limits").read_text(encoding="ascii").splitlines()
    (core,) = [line.split() for line in limits if line.startswith("Max core file size")]
    assert core[4:6] == ["0", "0"]
    dumpable = person.python(
        "import ctypes; from ostiary.doors.servers.client import closed;"
        "get = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0);"
        "before = get(); closed.close_to_others(); print(before, get())"
    )
    assert dumpable.stdout == "1 0\n"
