"""The pass and the agent protocol: whoever asks for a signature that is not the one login gets none."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ostiary.doors.servers.client import agent_protocol, forwarded, one_time, place, resident
from ostiary.doors.servers.client.agent_protocol import FAILURE, SUCCESS, Conversation
from ostiary.doors.servers.client.control_api import Control
from ostiary.doors.servers.client.passes import peer
from ostiary.doors.servers.wire.person import Issued, ServerEntry
from ostiary.doors.servers.wire.person import Session as SignedIn
from ostiary.errors import Denied
from ostiary.pki import ssh_certificate, ssh_key, ssh_signature
from ostiary.pki.signer import LocalSigner
from ostiary.pki.ssh_certificate import HOST, Certificate
from ostiary.pki.ssh_wire import Reader, string, u32

SERVER = ServerEntry("srv_1", "web1", "prod", "10.0.0.1", 22, "", {}, 0.0, ("login",))
USERS, HOSTS = (LocalSigner(Ed25519PrivateKey.generate()) for _ in range(2))
SESSION = b"s" * 32
LIST = b"\x0b"


def issued(key, **fields) -> Issued:
    unsigned = Certificate(ssh_key.of(key.public_key()), "id", ("alice@srv_1",), serial=7, **fields)
    text = ssh_certificate.to_text(ssh_certificate.sign(unsigned, USERS))
    return Issued(text, "alice", SERVER, (HOSTS.public_key.text(),), "7")


class Host:
    """The server's side of a connection: its certificate and what it signs."""

    def __init__(
        self, names=("srv_1", "web1"), authority=HOSTS, kind=HOST, life=(-60, 3600)
    ) -> None:
        self.key = LocalSigner(Ed25519PrivateKey.generate())
        now = int(time.time())
        unsigned = Certificate(
            self.key.public_key, "host", names, kind, 1, now + life[0], now + life[1]
        )
        self.certificate = ssh_certificate.encode(ssh_certificate.sign(unsigned, authority))

    def bind(self, session=SESSION, forwarded=0, signed=None) -> bytes:
        signature = self.key.sign(signed or session)
        parts = string(self.certificate) + string(session) + string(signature)
        return bytes([27]) + string(b"session-bind@openssh.com") + parts + bytes([forwarded])


class Talk:
    """A conversation of one process that has a pass."""

    def __init__(self, has_pass=True) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.one = one_time.made(issued(self.key), self.key)
        self.held = self.one if has_pass else None
        self.said: list[str] = []
        self.uses = 0
        self.conversation = Conversation(lambda: self.held, self.used, self.said.append)

    def used(self) -> None:
        self.uses += 1

    def __call__(self, message: bytes) -> bytes:
        return self.conversation.answer(message)

    def request(self, method=b"publickey", **changes) -> bytes:
        """A request to sign, as ssh makes it; ``changes`` replace its parts."""
        parts = {
            "session": string(SESSION),
            "kind": bytes([50]),
            "login": string(b"alice"),
            "service": string(b"ssh-connection"),
            "method": string(method),
            "has_signature": b"\1",
            "type": string(b"ssh-ed25519-cert-v01@openssh.com"),
            "key": string(self.one.blob),
            "host": b"",
            "more": b"",
        }
        parts |= changes
        blob = parts.pop("blob", self.one.blob)
        return bytes([13]) + string(blob) + string(b"".join(parts.values())) + u32(0)


def test_one_login_is_signed_and_no_second():
    talk, host = Talk(), Host()
    assert talk(host.bind()) == SUCCESS
    answer = Reader(talk(talk.request()))
    assert answer.byte() == 14
    data = Reader(talk.request()[1:])
    data.string()
    ssh_signature.verify(ssh_key.of(talk.key.public_key()), answer.string(), data.string())
    assert talk.uses == 1
    assert talk(talk.request()) == FAILURE
    assert talk.uses == 1


def test_the_host_of_the_request_is_the_bound_one():
    method = b"publickey-hostbound-v00@openssh.com"
    talk, host = Talk(), Host()
    assert talk(host.bind()) == SUCCESS
    assert talk(talk.request(method, host=string(Host().certificate))) == FAILURE
    assert talk(talk.request(method)) == FAILURE
    assert talk(talk.request(method, host=string(host.certificate)))[0] == 14


def test_the_list_is_the_one_certificate_until_it_is_used():
    talk, host = Talk(), Host()
    assert talk(b"\x0b")[:5] == b"\x0c" + u32(1)
    assert talk.one.blob in talk(b"\x0b")
    talk(host.bind())
    talk(talk.request())
    assert talk(b"\x0b") == b"\x0c" + u32(0)


def test_nothing_is_signed_before_the_host_is_known():
    talk = Talk()
    assert talk(talk.request()) == FAILURE
    assert talk.uses == 0


def test_a_process_without_pass_has_nothing():
    talk, host = Talk(has_pass=False), Host()
    assert talk(b"\x0b") == b"\x0c" + u32(0)
    assert talk(host.bind()) == FAILURE
    assert talk(talk.request()) == FAILURE


@pytest.mark.parametrize(
    ("host", "bind", "why"),
    [
        ({"names": ("srv_2", "web2")}, {}, "the host is not web1"),
        ({"names": ("web1",)}, {}, "the host is not web1"),
        ({"authority": USERS}, {}, "no authority of the project"),
        ({"kind": ssh_certificate.USER}, {}, "the host is not web1"),
        ({"life": (-3600, -1)}, {}, "not valid now"),
        ({"life": (60, 3600)}, {}, "not valid now"),
        ({}, {"forwarded": 1}, "forwarded"),
        ({}, {"signed": b"another session"}, "not of the key"),
    ],
)
def test_hosts_that_get_no_signature(host, bind, why):
    talk = Talk()
    assert talk(Host(**host).bind(**bind)) == FAILURE
    assert why in talk.said[-1]
    assert talk(talk.request()) == FAILURE


def test_a_plain_host_key_is_not_enough():
    talk, host = Talk(), Host()
    host.certificate = host.key.public_key.blob
    assert talk(host.bind()) == FAILURE


def test_a_tampered_host_certificate_is_refused():
    talk, host = Talk(), Host()
    host.certificate = host.certificate.replace(b"srv_1", b"srv_2")
    assert talk(host.bind()) == FAILURE
    assert "signature" in talk.said[-1]


def test_a_connection_is_bound_once():
    talk, host = Talk(), Host()
    assert talk(host.bind()) == SUCCESS
    assert talk(host.bind(b"t" * 32)) == FAILURE
    assert talk(talk.request(session=string(b"t" * 32))) == FAILURE


@pytest.mark.parametrize(
    "changes",
    [
        {"session": string(b"t" * 32)},
        {"kind": bytes([51])},
        {"login": string(b"root")},
        {"service": string(b"ssh-userauth")},
        {"method": string(b"hostbased")},
        {"has_signature": b"\0"},
        {"type": string(b"ssh-ed25519")},
        {"key": string(b"another")},
        {"more": b"x"},
        {"blob": b"another"},
        {"session": b""},
    ],
    ids=str,
)
def test_requests_that_are_not_the_login(changes):
    talk, host = Talk(), Host()
    assert talk(host.bind()) == SUCCESS
    assert talk(talk.request(**changes)) == FAILURE
    assert talk.uses == 0
    assert talk(talk.request())[0] == 14, "the pass is still there"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x0d",
        b"\x0d\xff\xff\xff\xff",
        b"\x1b",
        b"\x1b\0\0\0\5other",
        b"\x11\0\0",
        b"\xff" * 40,
    ],
)
def test_broken_and_other_messages_fail(message):
    assert Talk()(message) == FAILURE


def test_the_extension_query_of_ssh_add_fails_quietly():
    assert Talk()(bytes([27]) + string(b"query")) == FAILURE
    assert agent_protocol.MOST_BYTES >= 65536


def test_a_certificate_for_another_key_is_refused():
    key = Ed25519PrivateKey.generate()
    with pytest.raises(Denied, match="not for the key"):
        one_time.made(issued(Ed25519PrivateKey.generate()), key)
    with pytest.raises(Denied, match="not for the key"):
        one_time.made(issued(key, kind=HOST), key)


def test_keys_and_certificates_are_not_shown():
    talk = Talk()
    assert "cert-v01" not in repr(talk.one.key)
    assert "AAAA" not in repr(talk.one)


def me():
    here, there = socket.socketpair()
    with here, there:
        return peer(here, os.getuid())


@pytest.fixture
def asks(tmp_path, monkeypatch):
    """Ways to ask a resident agent that holds a pass for this process, which has no agent of its own."""
    monkeypatch.setattr(forwarded, "_VARIABLE", b"WHATEVER_NOBODY_SETS=")
    session = SignedIn("token", time.time() + 600, "alice", "alice@acme.example")
    opened, ready = [], threading.Event()
    with Control("http://127.0.0.1:9") as control:
        one = resident.Resident(tmp_path, control, session, tmp_path / "names")
        one._passes.put(me(), Talk().one)
        running = threading.Thread(target=one.run, args=(ready.set,))
        running.start()
        assert ready.wait(10)

        def ask():
            to = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            opened.append(to)
            to.settimeout(10)
            to.connect(str(tmp_path / place.AGENT))
            stream = to.makefile("rb")
            opened.append(stream)

            def answer(message):
                to.sendall(len(message).to_bytes(4, "big") + message)
                return stream.read(int.from_bytes(stream.read(4), "big"))

            return answer

        yield ask
        for each in reversed(opened):
            each.close()
        one.end()
        running.join(10)


def test_a_host_sees_and_uses_no_key_of_ours_though_the_person_has_no_other_agent(asks):
    """Not even when it says afterwards that nobody forwards: it has the host key to say so with."""
    host, ask = Host(), asks()
    assert ask(host.bind(forwarded=1)) == FAILURE
    assert ask(LIST) == FAILURE
    assert ask(host.bind(session=b"t" * 32)) == FAILURE
    here = asks()
    assert here(host.bind()) == SUCCESS
    assert here(LIST)[:5] == b"\x0c\0\0\0\1"


def test_a_host_that_opens_connections_and_leaves_them_open_takes_no_seat_of_the_person(asks):
    host = Host()
    for _ in range(resident.MOST_FORWARDED):
        assert asks()(host.bind(forwarded=1)) == FAILURE
    for _ in range(resident.MOST_AT_ONCE):
        assert asks()(host.bind(forwarded=1)) == b"", "it is shown out"
    assert asks()(LIST)[:5] == b"\x0c\0\0\0\1"
