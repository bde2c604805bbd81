"""Authorities through the control plane as it is served: KMS that signs, refuses or is away; rotation while people enter."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import quantiles

import pytest
from aws_world import MANAGEMENT, join, small_organization
from control_world import ControlWorld, Refused
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select, update

from ostiary import connect, connect_control
from ostiary.doors.servers.control import far_signer, rotation, tables
from ostiary.doors.servers.control.tables import audit, certificates
from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.wire.host import HOST_MARK
from ostiary.doors.servers.wire.message import encode
from ostiary.doors.servers.wire.person import CertificateRequest, Issued
from ostiary.pki import ssh_certificate, ssh_key

RULES = [admin.Rule("group:sre", login=True)]


@pytest.fixture
def site(monkeypatch):
    return small_organization(monkeypatch)


@contextmanager
def with_kms(url, folder):
    opened = connect_control.kms_signers(
        region="us-east-1", transports=connect.Transports(aws=join)
    )
    world = ControlWorld(url, folder, open_kms=opened)
    try:
        yield world
    finally:
        world.close()


@pytest.fixture
def world(tmp_path):
    with with_kms(f"sqlite:///{tmp_path}/control.db", tmp_path) as world:
        yield world


@pytest.fixture
def both(database_url, tmp_path):
    with with_kms(database_url, tmp_path) as world:
        yield world


@pytest.fixture
def kms_arn(site):
    asked = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}
    return site.aws.call("kms", "create_key", repeatable=True, **asked)["KeyMetadata"]["Arn"]


def project_in_kms(world, kms_arn):
    by = world.admin()
    asked = admin.NewProject("prod", 60001, 63001, kms_arn)
    made = by.call("POST", "/v1/projects", asked, admin.Project)
    wanted = admin.ProjectWanted(made.generation, admin.Settings(), tuple(RULES))
    return by.call("PUT", "/v1/projects/prod", wanted, admin.Project)


def authority_of(issued):
    certificate = ssh_certificate.parse(issued.certificate)
    ssh_certificate.verify(certificate)
    return certificate.authority.text()


def of(project, use):
    return [one for one in project.authorities if one.use == use]


def drained(world):
    """What the former authority signed is good no more: the steps of rotations are so much older now."""
    table = tables.authorities
    with world.services.database.writing() as connection:
        connection.execute(update(table).values(changed=table.c.changed - rotation.DRAIN - 1))


def rows(world, table):
    """In the order of their keys: PostgreSQL has an order of its own."""
    with world.services.database.reading() as connection:
        return connection.execute(select(table).order_by(*table.primary_key)).all()


def test_certificates_of_a_project_in_kms_are_signed_there(both, kms_arn):
    world = both
    made = project_in_kms(world, kms_arn)
    (user,) = of(made, "user")
    assert user.kms_key == kms_arn
    assert user.public_key.startswith("ecdsa-sha2-nistp256 ")
    web = world.server("web1")
    issued = world.person("ada@acme.example", ["sre"]).certificate("web1")
    assert authority_of(issued) == user.public_key == web.state().authorities[0]


def test_while_kms_is_away_everybody_is_told_soon_and_nothing_is_issued(
    both, site, kms_arn, monkeypatch
):
    world = both
    monkeypatch.setattr(connect_control, "SIGN_WITHIN", 0.5)
    project_in_kms(world, kms_arn)
    world.server("web1")
    ada = world.person("ada@acme.example", ["sre"])
    ada.certificate("web1")
    site.aws.call("kms", "disable_key", KeyId=kms_arn)
    took = []
    for _ in range(300):
        started = time.monotonic()
        with pytest.raises(Refused) as refused:
            ada.certificate("web1")
        took.append(time.monotonic() - started)
        assert (refused.value.status, refused.value.code) == (503, "signing-unavailable")
        assert "DisabledException" in refused.value.refusal.why
    assert quantiles(took, n=100)[-1] < 0.2
    assert len(rows(world, certificates)) == 1, "the refused left nothing behind"
    status = ada.call("GET", "/v1/status", kind=admin.Status)
    assert "DisabledException" in status.problems[0]
    headers = ada.raw("POST", "/v1/certificates", *request(ada))[1]
    assert int(headers["retry-after"]) > 0

    site.aws.call("kms", "enable_key", KeyId=kms_arn)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            ada.certificate("web1")
            break
        except Refused:
            time.sleep(0.3)
    assert ada.call("GET", "/v1/status", kind=admin.Status).problems == ()
    told = [row.event for row in rows(world, audit) if "vailable" in row.event]
    assert told == ["authority.unavailable", "authority.available"]


def throttles(site):
    site.world.switches.throttle_share = 1.0


def denies(site):
    site.world.switches.denied.add((MANAGEMENT, "kms:Sign"))


@pytest.mark.parametrize(
    ("does", "told"), [(throttles, "ThrottlingException"), (denies, "AccessDeniedException")]
)
def test_kms_that_throttles_or_denies_is_told_soon_and_nothing_is_issued(
    both, site, kms_arn, monkeypatch, does, told
):
    """C8: with a time to come again, and no other key signs in its place."""
    world = both
    monkeypatch.setattr(connect_control, "SIGN_WITHIN", 0.5)
    project_in_kms(world, kms_arn)
    world.server("web1")
    ada = world.person("ada@acme.example", ["sre"])
    ada.certificate("web1")
    does(site)
    answers = [refused_at(ada) for _ in range(6)]
    assert answers[0][1] < 3
    assert sorted(took for _, took in answers)[-3] < 0.2, (
        "all but the first, and one that tried again"
    )
    assert {(one.status, one.code) for one, _ in answers} == {(503, "signing-unavailable")}
    assert all(told in one.refusal.why for one, _ in answers), answers
    assert len(rows(world, certificates)) == 1
    headers = ada.raw("POST", "/v1/certificates", *request(ada))[1]
    assert int(headers["retry-after"]) > 0


def test_a_slow_kms_is_waited_for_by_a_few_and_holds_up_nobody_else(
    both, site, kms_arn, monkeypatch
):
    """C8: who comes while others wait is refused at once, and another project signs as ever."""
    world = both
    monkeypatch.setattr(far_signer, "MOST_AT_ONCE", 2)
    project_in_kms(world, kms_arn)
    world.project("lab", RULES)
    world.server("web1")
    world.server("lab1", "lab")
    ada = world.person("ada@acme.example", ["sre"])
    ada.certificate("web1")  # the key is opened
    site.world.switches.latency = 2.0
    waiting = [world.person(f"p{number}@acme.example", ["sre"]) for number in range(2)]
    with ThreadPoolExecutor(len(waiting)) as pool:
        asked = [pool.submit(one.certificate, "web1") for one in waiting]
        until_signing(world, len(waiting))
        refused, _ = refused_at(ada)
        assert (refused.status, refused.code) == (503, "signing-unavailable")
        assert "2 signatures are waited for already" in refused.refusal.why
        assert ada.certificate("lab1")
        assert not any(one.done() for one in asked), "they wait still"
        issued = {one.result().serial for one in asked}
    site.world.switches.latency = 0.0
    assert ada.certificate("web1"), "a busy one is no failure: nobody rests"
    held = {str(row.serial) for row in rows(world, certificates)}
    assert issued < held
    assert len(held) == 5


def until_signing(world, many):
    """Until so many wait for KMS."""
    known = world.services.authorities._open.values()
    end = time.monotonic() + 10
    while sum(one._in_flight for one in known if isinstance(one, far_signer.FarSigner)) < many:
        assert time.monotonic() < end, "they do not come to wait"
        time.sleep(0.01)


def refused_at(client):
    """The refusal, and how long it took to come."""
    started = time.monotonic()
    with pytest.raises(Refused) as refused:
        client.certificate("web1")
    return refused.value, time.monotonic() - started


def request(client):
    key = ssh_key.of(Ed25519PrivateKey.generate().public_key()).text()
    body = encode(CertificateRequest("web1", key, "login"))
    return body, client.headers("POST", "/v1/certificates", body)


def rotate(by, step, use="user", **more):
    asked = admin.Rotation(use, step, **more)
    return by.call("POST", "/v1/projects/prod/authorities", asked, admin.Project)


def report(host, *, shown=True):
    """As the agent reports: what it trusts of its last state, and who signed the certificate that it shows."""
    state = host.state()
    trusted = [ssh_key.parse(one).fingerprint for one in state.authorities]
    if shown:
        signed_by = ssh_certificate.parse(state.host_certificate).authority
        trusted.append(f"{HOST_MARK}{signed_by.fingerprint}")
    host.report(state.generation, trusted=tuple(trusted))
    return state


def test_an_authority_is_rotated_under_load_and_no_login_fails(both, kms_arn):
    """Every certificate issued meanwhile is by an authority that the host trusts at that time, and until it expires."""
    world = both
    world.project("prod", RULES)
    web = world.server("web1")
    report(web)
    by, ada = world.admin(), world.person("ada@acme.example", ["sre"])
    done, issued = threading.Event(), []

    def load():
        while not done.is_set():
            issued.append(authority_of(ada.certificate("web1")))

    loading = threading.Thread(target=load)
    loading.start()
    try:
        begun = rotate(by, "begin", kms_key=kms_arn)
        old, new = (one.public_key for one in of(begun, "user"))
        with pytest.raises(Refused) as early:
            rotate(by, "sign")
        assert early.value.status == 409
        assert "web1" in early.value.refusal.why
        assert set(issued) <= {old}
        state = report(web)
        assert set(state.authorities) == {old, new}
        rotate(by, "sign")
        seen = len(issued)
        while len(issued) < seen + 5:
            time.sleep(0.01)
        assert issued[-1] == new
        with pytest.raises(Refused) as early:
            rotate(by, "finish")
        assert "may be good for" in early.value.refusal.why
        assert set(web.state().authorities) == {old, new}
        drained(world)
        rotate(by, "finish")
        assert web.state().authorities == (new,)
    finally:
        done.set()
        loading.join()
    after = issued.index(new)
    assert set(issued[:after]) == {old}
    assert set(issued[after:]) == {new}, "the old one never signed again"
    events = [row.event for row in rows(world, audit) if row.event.startswith("authority.")]
    assert events[-4:] == [
        "authority.created",
        "authority.signing",
        "authority.trusted",
        "authority.retired",
    ]


def test_a_host_authority_is_rotated_and_clients_are_told_both_keys_meanwhile(both):
    world = both
    world.project("prod", RULES)
    web = world.server("web1")
    report(web)
    by, ada = world.admin(), world.person("ada@acme.example", ["sre"])
    rotate(by, "begin", "host")
    old, new = (one.public_key for one in of(rotate(by, "sign", "host"), "host"))
    assert set(ada.certificate("web1").host_authorities) == {old, new}
    with pytest.raises(Refused) as early:
        rotate(by, "finish", "host")
    assert "web1" in early.value.refusal.why
    report(web)  # its certificate is renewed with the next report
    state = report(web)
    assert ssh_certificate.parse(state.host_certificate).authority.text() == new
    rotate(by, "finish", "host")
    assert ada.certificate("web1").host_authorities == (new,)


def test_a_host_authority_does_not_go_into_kms(world, kms_arn):
    """It signs inside the writer's transaction: a slow KMS would hold up every certificate."""
    made = world.project("prod", RULES)
    by = world.admin()
    with pytest.raises(Refused) as refused:
        rotate(by, "begin", "host", kms_key=kms_arn)
    assert (refused.value.status, refused.value.code) == (400, "bad-request")
    assert "must not wait for KMS" in refused.value.refusal.why
    assert refused.value.refusal.fix.endswith("project rotate prod --use host --step begin")
    assert of(rotate_view(by), "host") == of(made, "host")
    assert len(of(rotate(by, "begin", "host"), "host")) == 2


def test_who_may_rotate(world):
    world.project("prod", RULES, admin.Settings(owners=("owners",)))
    ada, owner = (
        world.person("ada@acme.example", ["sre"]),
        world.person("o@acme.example", ["owners"]),
    )
    for who, status in ((ada, 404), (world.client(), 401)):
        with pytest.raises(Refused) as refused:
            rotate(who, "begin")
        assert refused.value.status == status
    rotate(owner, "begin")
    public = of(rotate_view(owner), "user")[0].public_key
    for more in ({"use": "break-glass", "public_key": public}, {"kms_key": "alias/x"}):
        with pytest.raises(Refused) as refused:
            rotate(owner, "begin", **more)
        assert refused.value.code == "not-permitted"
    assert json.loads(rows(world, audit)[-1].body)["use"] == "user"


def test_an_owner_does_not_take_the_key_out_of_kms(world, kms_arn):
    made = project_in_kms(world, kms_arn)
    by = world.admin()
    owned = admin.Settings(owners=("owners",))
    by.call("PUT", "/v1/projects/prod", admin.ProjectWanted(made.generation, owned, ()))
    owner = world.person("o@acme.example", ["owners"])
    with pytest.raises(Refused) as refused:
        rotate(owner, "begin")
    assert refused.value.code == "not-permitted"
    assert rotate(by, "begin")


def rotate_view(by):
    return by.call("GET", "/v1/projects/prod", kind=admin.Project)


def x509_certificate(by, key):
    public = ssh_key.of(key.public_key()).text()
    asked = CertificateRequest("web1", public, "x509")
    return by.call("POST", "/v1/certificates", asked, Issued)


@pytest.mark.parametrize("in_kms", [False, True])
def test_x509_clients_get_certificates_of_an_authority_of_their_own(world, site, in_kms):
    more = {}
    if in_kms:
        asked = {"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}
        made = site.aws.call("kms", "create_key", repeatable=True, **asked)
        more = {"kms_key": made["KeyMetadata"]["Arn"]}
    world.project("prod", RULES)
    web = world.server("web1")
    key = rsa.generate_private_key(65537, 2048)
    with pytest.raises(Refused) as refused:
        x509_certificate(world.person("ada@acme.example", ["sre"]), key)
    assert refused.value.code == "no-authority"
    (authority,) = of(rotate(world.admin(), "begin", "x509", **more), "x509")
    assert authority.state == "signing", "the first of its use has nobody to wait for"
    ada = world.person("ada@acme.example", ["sre"])
    issued = x509_certificate(ada, key)
    leaf, own = x509.load_pem_x509_certificates(issued.certificate.encode())
    assert own == x509.load_pem_x509_certificate(authority.public_key.encode())
    leaf.verify_directly_issued_by(own)
    assert leaf.subject.rfc4514_string() == f"CN=ada@{web.id}"
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).total_seconds() == 180
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [x509.ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert str(leaf.serial_number) == issued.serial
    (row,) = rows(world, certificates)
    assert row.serial == leaf.serial_number
    assert json.loads(rows(world, audit)[-1].body)["purpose"] == "x509"
    assert authority.public_key not in web.state().authorities, "sshd trusts no X.509"
    if in_kms:
        site.aws.call("kms", "disable_key", KeyId=more["kms_key"])
        with pytest.raises(Refused) as refused:
            x509_certificate(ada, key)
        assert (refused.value.status, refused.value.code) == (503, "signing-unavailable")


def test_keys_that_no_x509_certificate_is_for(world):
    world.project("prod", RULES)
    world.server("web1")
    rotate(world.admin(), "begin", "x509")
    ada = world.person("ada@acme.example", ["sre"])
    for key in (rsa.generate_private_key(65537, 1024), rsa.generate_private_key(3, 2048)):
        with pytest.raises(Refused) as refused:
            x509_certificate(ada, key)
        assert refused.value.status == 400
    assert x509_certificate(ada, ec.generate_private_key(ec.SECP256R1()))
    assert len(rows(world, certificates)) == 1
