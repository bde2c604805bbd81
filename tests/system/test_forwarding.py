"""Agent and X11 forwarding in real sessions: only where a rule gives it, by certificate and principals line both."""

from __future__ import annotations

import re
import secrets
import subprocess
import threading

import pytest
from door_world import Door, Site, until
from hosts_net import listening

pytestmark = pytest.mark.root
PORT, DISPLAY = 6077, "127.0.0.1:77"
COOKIE = secrets.token_hex(16)  # of the person's own X server
GIVEN = {"login": True, "agent_forwarding": True, "x11": True}
BOTH = {"subject": "group:platform-engineering", **GIVEN}
NOT_GIVEN = {"subject": "group:data-engineering", "login": True}
SITE = Site({"web1": "prod"}, {}, {"prod": [BOTH, NOT_GIVEN]}, ("edgar",))
LIST = ("ssh-add", "-l")
SHOWN = "echo display=$DISPLAY"

# An X client as far as its first message (X Window System Protocol, 8: connection setup), with the cookie that sshd had
# xauth write, or another; it says the reason that the X server refuses it for.
X_CLIENT = """
import os, socket, subprocess, sys
host, _, number = os.environ["DISPLAY"].partition(":")
listed = subprocess.run(["xauth", "list", os.environ["DISPLAY"]], capture_output=True, text=True).stdout.split()
cookie = bytes.fromhex(sys.argv[1] if len(sys.argv) > 1 else listed[2])
name = b"MIT-MAGIC-COOKIE-1"
setup = b"l\\0\\x0b\\0\\0\\0" + len(name).to_bytes(2, "little") + len(cookie).to_bytes(2, "little") + b"\\0\\0"
server = socket.create_connection((host, 6000 + int(float(number))), timeout=10)
server.sendall(setup + name + b"\\0\\0" + cookie)
print(server.recv(255)[8:].decode().strip())
"""


class XServer:
    """On the client's network. It writes down the cookie that it is shown, and lets nobody in, with a reason."""

    def __init__(self, pid):
        self.shown = []
        self._listener = listening(pid, "127.0.0.1", PORT)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with near:
                near.settimeout(10)
                said = b""
                while len(said) < 48 and (
                    more := near.recv(255)
                ):  # 12 and the name, padded, and 16
                    said += more
                if not said:  # ssh has come, and was not shown what it takes for the cookie
                    continue
                self.shown.append(said[-16:].hex())
                reason = b"reached "
                near.sendall(bytes((0, len(reason), 11, 0, 0, 0, len(reason) // 4, 0)) + reason)

    def close(self):
        self._listener.shutdown(2)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    with Door(tmp_path_factory.mktemp("door"), SITE) as door:
        door.fill()
        for name in ("ada", "edgar"):
            has_own_agent(door.people[name])
            door.people[name].until_in("web1")
        yield door
        for name in ("ada", "edgar"):
            door.people[name].own_agent.terminate()
            door.people[name].own_agent.wait(10)


def has_own_agent(person):
    """The ssh-agent that somebody has anyway, with a key of theirs, and an X server with a cookie."""
    sock, key = person.home / "own.sock", person.home / "own-key"
    person.own_agent = person.popen("ssh-agent", "-D", "-a", sock, stdout=subprocess.DEVNULL)
    until(sock.exists)
    person.env |= {"SSH_AUTH_SOCK": str(sock), "DISPLAY": DISPLAY}
    person.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "mine", "-f", key)
    person.run("ssh-add", "-q", key)
    person.run("xauth", "-q", "add", DISPLAY, ".", COOKIE)


@pytest.fixture
def ada(door):
    return door.people["ada"]


@pytest.fixture
def edgar(door):
    return door.people["edgar"]


@pytest.fixture
def x_server(door):
    server = XServer(door.fleet.client.pid)
    yield server
    server.close()


def test_the_persons_own_agent_is_there_where_a_rule_gives_it(ada):
    assert " mine (ED25519)" in ada.ssh("-A", "web1", *LIST).stdout
    assert ada.ssh("web1", "echo agent=$SSH_AUTH_SOCK").stdout == "agent=\n", "it was not asked for"


def test_it_is_refused_where_no_rule_does_though_it_is_asked_for(edgar):
    done = edgar.ssh("-A", "web1", "echo agent=$SSH_AUTH_SOCK; ssh-add -l", check=False)
    assert (done.returncode, done.stdout) == (2, "agent=\n")
    named = ("-o", f"ForwardAgent={edgar.env['SSH_AUTH_SOCK']}")
    assert edgar.ssh(*named, "web1", *LIST, check=False).returncode == 2


def test_a_window_of_the_host_reaches_the_persons_x_server_where_a_rule_gives_it(
    door, ada, x_server
):
    door["web1"].write("/tmp/x-client.py", X_CLIENT)
    done = ada.ssh("-Y", "web1", f"{SHOWN}; python3 /tmp/x-client.py")
    display, said = done.stdout.splitlines()
    assert display.startswith("display=localhost:1")
    assert (said, x_server.shown) == ("reached", [COOKIE])
    assert ada.ssh("web1", SHOWN).stdout == "display=\n", "it was not asked for"


def test_whoever_on_the_host_has_not_the_cookie_does_not_reach_it(door, ada, x_server):
    door["web1"].write("/tmp/x-client.py", X_CLIENT)
    done = ada.ssh("-Y", "web1", f"python3 /tmp/x-client.py {secrets.token_hex(16)}", check=False)
    assert "reached" not in done.stdout
    assert x_server.shown == []


def test_x11_is_refused_where_no_rule_gives_it(edgar, x_server):
    done = edgar.ssh("-Y", "web1", SHOWN)
    assert done.stdout == "display=\n"
    assert "X11 forwarding request failed" in done.stderr
    assert x_server.shown == []


def test_what_the_hosts_sshd_says_no_to_no_rule_gives(door, ada):
    try:
        door["web1"].start_sshd("-o", "X11Forwarding=no", "-o", "AllowAgentForwarding=no")
        assert asked(ada) == ([], {"cert", "principals"})
    finally:
        door["web1"].start_sshd()


def asked(person):
    """Somebody asks for both: what they have of it on the host, and which of certificate and line permit it, says sshd."""
    words = "echo ${SSH_AUTH_SOCK:+agent} ${DISPLAY:+x11}"
    found = person.ssh("-v", "-A", "-Y", "web1", words)
    said = re.findall(r"Remote: (cert|principals): key options: (.*)", found.stderr)
    permit = {
        kind
        for kind, options in said
        if {"agent-forwarding", "x11-forwarding"} <= {*options.split()}
    }
    return found.stdout.split(), permit


def test_certificate_or_line_alone_gives_nothing(door, edgar):
    """The agent is away while the rule changes, so the two are of different rules; with it, they are of one again."""
    with door.without_agent("web1"):
        door.set_rules("prod", [BOTH, NOT_GIVEN | GIVEN])
        assert asked(edgar) == ([], {"cert"})
    until(lambda: asked(edgar) == (["agent", "x11"], {"cert", "principals"}), 60)
    with door.without_agent("web1"):
        door.set_rules("prod")
        assert asked(edgar) == ([], {"principals"})
    until(lambda: asked(edgar) == ([], set()), 60)
