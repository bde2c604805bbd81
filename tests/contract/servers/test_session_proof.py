"""A person's requests are proven by the key of their session, and a sign-in by the key of its device."""

import hashlib
import hmac
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from control_world import ControlWorld, Refused
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select, update

from ostiary.doors.servers.control import used_once
from ostiary.doors.servers.control.endpoint import PERSON
from ostiary.doors.servers.control.tables import sessions
from ostiary.doors.servers.wire.admin import Devices, MadeToken, NewToken, Rule, Tokens
from ostiary.doors.servers.wire.message import decode, encode
from ostiary.doors.servers.wire.person import CertificateRequest, Issued, Servers, Session, SignIn
from ostiary.pki import ssh_certificate, ssh_key, sshsig
from ostiary.pki.signer import LocalSigner

CERTIFICATES = "/v1/certificates"


@pytest.fixture
def alice(world):
    world.project("prod", [Rule("group:sre", login=True)])
    world.server("web1")
    return world.person("alice@acme.example", ["sre"])


def request():
    public = ssh_key.of(Ed25519PrivateKey.generate().public_key()).text()
    return encode(CertificateRequest("web1", public, "login"))


def refused(client, headers, method="POST", path=CERTIFICATES, body=b""):
    """What a request with these headers is refused with."""
    status, _, answer = client.raw(method, path, body, headers)
    assert (status, b'"unproven"' in answer) == (401, True), answer
    return answer.decode()


def test_a_stolen_token_alone_is_of_no_use_anywhere(world, alice):
    """Nor an administrator's: nothing is read by it, and nothing changed."""
    admin = world.admin()
    for thief in (world.client(), world.client()):
        thief.token = admin.token if thief.token else alice.token
        routes = [one.endpoint.endpoint for one in world.application.others.routes]
        for one in (route for route in routes if route.who == PERSON):
            path = one.path.replace("{name}", "prod").replace("{id}", "x")
            refused(thief, thief.headers(one.method, path), one.method, path)
    assert alice.certificate("web1")


def test_a_proof_is_of_one_request_of_one_session(world, alice):
    body, bob = request(), world.person("bob@acme.example", ["sre"])
    good = alice.headers("POST", CERTIFICATES, body)
    assert alice.raw("POST", CERTIFICATES, body, good)[0] == 200
    refused(alice, good, body=request())
    refused(alice, good, body=body + b" ")
    refused(alice, good, path=f"{CERTIFICATES}?x=1", body=body)
    refused(alice, alice.headers("GET", CERTIFICATES, body), body=body)
    refused(alice, alice.headers("GET", "/v1/servers"), "GET", "/v1/devices")
    refused(alice, alice.headers("GET", "/v1/servers?after=a"), "GET", "/v1/servers?after=b")
    refused(alice, {**good, "Ostiary-Proof": bob.headers("POST", CERTIFICATES, body)["Ostiary-Proof"]}, body=body)  # fmt: skip
    refused(bob, {**good, "Authorization": f"Bearer {bob.token}"}, body=body)


def test_a_session_without_a_key_proves_nothing(world, alice):
    with world.services.database.writing() as connection:
        connection.execute(update(sessions).values(proof_key=""))
    body, key = request(), b""
    headers = alice.headers("POST", CERTIFICATES, body)
    stamp = headers["Ostiary-Proof"].rpartition(" ")[0]
    assert stamp.endswith(hashlib.sha256(body).hexdigest())
    text = f"ostiary-request@v1\nPOST\n{CERTIFICATES}\n{stamp}"
    forged = f"{stamp} {hmac.new(key, text.encode(), hashlib.sha256).hexdigest()}"
    refused(alice, {**headers, "Ostiary-Proof": forged}, body=body)


def sent(client, method, path, message):
    """A request as whoever sees all of it could send it again."""
    body = encode(message)
    headers = client.headers(method, path, body)
    return lambda: client.raw(method, path, body, headers)


def test_a_change_that_is_sent_again_is_refused(both):
    """On whatever process, so that what it makes is made once."""
    both.project("prod", [Rule("group:sre", login=True)])
    admin = both.admin()
    again = sent(admin, "POST", "/v1/projects/prod/tokens", NewToken(1, 600.0))
    assert again()[0] == 200
    for _ in range(3):
        status, _, answer = again()
        assert (status, b"was made already" in answer) == (401, True), answer
    listed = admin.call("GET", "/v1/projects/prod/tokens", kind=Tokens)
    assert len(listed.tokens) == 1
    asked = NewToken(1, 600.0)  # by themselves, twice in one second
    first, second = (
        admin.call("POST", "/v1/projects/prod/tokens", asked, MadeToken) for _ in range(2)
    )
    assert first.token != second.token


def test_a_change_that_is_sent_often_at_once_is_made_once(both):
    both.project("prod")
    admin = both.admin()
    body = encode(NewToken(1, 600.0))
    headers = admin.headers("POST", "/v1/projects/prod/tokens", body)

    def send(client):
        return client.raw("POST", "/v1/projects/prod/tokens", body, headers)[0]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(send, [both.client() for _ in range(8)]))
    assert sorted(answers) == [200] + [401] * 7


def test_a_change_cannot_be_sent_again_when_its_proof_is_forgotten(tmp_path):
    """What remembers it forgets it only when nobody takes it any more."""
    late = 0.0
    world = ControlWorld(
        f"sqlite:///{tmp_path}/control.db", tmp_path, clock=lambda: time.time() + late
    )
    try:
        world.project("prod")
        admin = world.admin()
        again = sent(admin, "POST", "/v1/projects/prod/tokens", NewToken(1, 600.0))
        assert again()[0] == 200
        for seconds in (30, 59, 61, 63, 600):
            late = float(seconds)
            world.services.writer.write([], used_once.forget)
            assert again()[0] == 401
    finally:
        world.close()


def test_what_is_read_again_is_told_again(world, alice):
    headers = alice.headers("GET", "/v1/servers")
    assert [alice.raw("GET", "/v1/servers", b"", headers)[0] for _ in range(2)] == [200, 200]


def test_a_certificate_that_is_asked_for_again_is_for_the_same_key(alice):
    body = request()
    headers = alice.headers("POST", CERTIFICATES, body)
    first, second = (
        decode(Issued, alice.raw("POST", CERTIFICATES, body, headers)[2]) for _ in range(2)
    )
    keys = {ssh_certificate.parse(one.certificate).key for one in (first, second)}
    assert keys == {ssh_key.parse(decode(CertificateRequest, body).public_key)}
    assert first.serial != second.serial


@pytest.mark.parametrize("off", [-62, 62, 3600, -(10**9)])
def test_a_clock_that_is_off_is_told_so(alice, off):
    body = request()
    headers = alice.headers("POST", CERTIFICATES, body, str(int(alice.clock()) + off))
    said = refused(alice, headers, body=body)
    assert "by the clock of who asks" in said
    assert "timedatectl" in said


@pytest.mark.parametrize("off", [-55, 55])
def test_a_minute_is_no_matter(alice, off):
    body = request()
    headers = alice.headers("POST", CERTIFICATES, body, str(int(alice.clock()) + off))
    assert alice.raw("POST", CERTIFICATES, body, headers)[0] == 200


@pytest.mark.parametrize(
    "text", ["", " ", "x", "1", "-1 00", "1e9 00", "9" * 5000 + " 00", "\xb2 00", "1 \xff", "nan 0"]
)
def test_what_is_no_proof_is_refused(alice, text):
    body = request()
    refused(alice, {**alice.headers("POST", CERTIFICATES, body), "Ostiary-Proof": text}, body=body)


@pytest.mark.parametrize(
    ("part", "text"),
    [
        *((0, text) for text in ("", "-1", "1e9", "+5", "nan", "\xb2", "9" * 5000)),
        *((1, text) for text in ("", "n" * 15, "n" * 65, "n" * 16 + " n")),
        *((2, text) for text in ("", "\xff" * 64)),
        *((3, text) for text in ("", "\xff" * 64)),
    ],
)
def test_a_proof_with_a_part_that_is_none_is_refused(alice, part, text):
    body = request()
    headers = alice.headers("POST", CERTIFICATES, body)
    parts = headers["Ostiary-Proof"].split(" ")
    parts[part] = text
    refused(alice, {**headers, "Ostiary-Proof": " ".join(parts)}, body=body)


def test_the_database_opens_no_session(world, alice):
    """Who reads it has the keys of sessions, and no token of theirs."""
    with world.services.database.reading() as connection:
        for row in connection.execute(select(sessions)):
            assert alice.token not in row._mapping.values()
    assert alice.proof_key not in repr(alice.session)
    assert alice.token not in repr(alice.session)


def test_a_device_signs_in_by_ssh_keygen(world, tmp_path):
    """Another client than ours, with the key in OpenSSH's file."""
    world.project("prod", [Rule("group:sre", login=True)])
    world.server("web1")
    token = world.issuer.token("alice@acme.example", ["sre"])
    (tmp_path / "message").write_text(message(token, device="by hand"))
    key = tmp_path / "device.key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    argv = ["ssh-keygen", "-q", "-Y", "sign", "-n", "ostiary-sign-in@v1", "-f", key]
    subprocess.run([*argv, tmp_path / "message"], check=True, capture_output=True)
    signature = (tmp_path / "message.sig").read_text()
    client = world.client()
    client.hold(client.call("POST", "/v1/sign-in", SignIn(token, "by hand", signature), Session))
    assert client.certificate("web1")
    (device,) = client.call("GET", "/v1/devices", kind=Devices).devices
    assert (device.id, device.name) == (client.session.device, "by hand")


def test_one_key_is_one_device(world):
    key = Ed25519PrivateKey.generate()
    token = world.issuer.token
    first = world.client().sign_in(token("alice@acme.example"), key)
    again = world.client().sign_in(token("alice@acme.example"), key)
    other = world.client().sign_in(token("alice@acme.example"))
    assert first.session.device == again.session.device != other.session.device
    assert first.proof_key != again.proof_key


def message(id_token, refresh_token="", device="laptop", control="https://control.example"):
    hashed = [hashlib.sha256(one.encode()).hexdigest() for one in (id_token, refresh_token)]
    return f"{control}\n{hashed[0]}\n{hashed[1]}\n{device}"


def signed(signer, text, namespace="ostiary-sign-in@v1"):
    return sshsig.sign(signer, namespace, text.encode())


@pytest.mark.parametrize(
    "how",
    [
        "none",
        "another token",
        "another refresh token",
        "no refresh token",
        "another name",
        "the token alone",
        "another purpose",
        "changed",
        "no key",
    ],
)
def test_a_sign_in_that_no_device_signed_is_refused(world, how):
    """And does not use the ID token up."""
    token = world.issuer.token("alice@acme.example", ["sre"])
    key = LocalSigner(Ed25519PrivateKey.generate())
    good = signed(key, message(token, "refresh"))
    proof = {
        "none": "",
        "another token": signed(key, message(world.issuer.token("alice@acme.example"), "refresh")),
        "another refresh token": signed(key, message(token, "another")),
        "no refresh token": signed(key, message(token)),
        "another name": signed(key, message(token, "refresh", "desktop")),
        "the token alone": signed(key, token),
        "another purpose": signed(key, message(token, "refresh"), "ostiary-host@v1"),
        "changed": good[:-8] + ("AAAA" if good[-8:-4] != "AAAA" else "BBBB") + good[-4:],
        "no key": "U1NIU0lH",
    }[how]
    client = world.client()
    with pytest.raises(Refused) as no:
        client.call("POST", "/v1/sign-in", SignIn(token, "laptop", proof, "refresh"), Session)
    assert (no.value.status, no.value.code) == (401, "bad-device-proof")
    assert no.value.refusal.why.startswith("cannot tell which device signs in: ")
    asked = SignIn(token, "laptop", good, "refresh")
    client.hold(client.call("POST", "/v1/sign-in", asked, Session))
    assert client.call("GET", "/v1/servers", kind=Servers) == Servers(())


@pytest.mark.parametrize(
    "control",
    ["https://staging.example", "https://control.example/", "http://control.example", ""],
)
def test_a_sign_in_that_another_control_plane_was_shown_is_refused(world, control):
    """Though both have one app of the org; and whoever reaches this one by another name is told what to do."""
    key = Ed25519PrivateKey.generate()
    world.client().sign_in(world.issuer.token("alice@acme.example"), key)
    token = world.issuer.token("alice@acme.example")
    with pytest.raises(Refused) as no:
        world.client().sign_in(token, key, control=control)
    assert (no.value.status, no.value.code) == (401, "bad-device-proof")
    assert "signed this for the control plane https://control.example: " in no.value.refusal.why
    assert no.value.refusal.fix == "run: ostiary login --control https://control.example"
    assert world.client().sign_in(token, key).session


def test_a_device_has_an_ed25519_key(world):
    token = world.issuer.token("alice@acme.example")
    with pytest.raises(Refused) as no:
        world.client().sign_in(token, ec.generate_private_key(ec.SECP256R1()))
    assert no.value.status == 400
    assert "a device has an ssh-ed25519 key" in no.value.refusal.why
