"""What somebody with a right, or with none, tries to make more of it."""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace

import httpx2
import pytest
from control_world import ControlWorld, Refused, signing_in
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwk, jwt
from robot import Robot
from sqlalchemy import delete, insert, select, text, update

from ostiary.doors.servers.agent import spool, untold
from ostiary.doors.servers.audit import reconcile
from ostiary.doors.servers.control import (
    api_projects,
    app,
    chain,
    database,
    incoming,
    inventory,
    people,
    projects,
    rules,
    sessions,
)
from ostiary.doors.servers.control.endpoint import Call
from ostiary.doors.servers.control.tables import audit, certificates, chains
from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.wire.admin import Rule, Settings
from ostiary.doors.servers.wire.host import Login
from ostiary.doors.servers.wire.message import encode
from ostiary.doors.servers.wire.person import (
    CertificateRequest,
    Issued,
    Session,
)
from ostiary.errors import StalePlan
from ostiary.model import server_access as model
from ostiary.pki import ssh_certificate, ssh_key

SRE = Rule("group:sre", login=True)


def project_of(client, name="prod"):
    return client.call("GET", f"/v1/projects/{name}", kind=admin.Project)


def put(client, now, **changed):
    wanted = admin.ProjectWanted(now.generation, now.settings, now.rules, now.machines, now.estate)
    path = f"/v1/projects/{now.name}"
    return client.call("PUT", path, replace(wanted, **changed), admin.Project)


@contextlib.contextmanager
def held(writer):
    """A writer that is busy until the end of the block."""
    gate, begun = threading.Event(), threading.Event()

    def work(connection, ledger):
        begun.set()
        assert gate.wait(10)

    writer.submit([], work)
    assert begun.wait(5)
    try:
        yield writer
    finally:
        gate.set()


def until_queued(writer, many):
    """Until so many wait for a writer that is held: who asks has judged by what was there before."""
    end = time.monotonic() + 9
    while len(writer._queue) < many:
        assert time.monotonic() < end, "nobody waits for it"
        time.sleep(0.005)


def test_a_machine_of_another_project_is_not_the_one_that_a_rule_means(world):
    """Whoever owns a project may name its machines: not like the one that another project waits for."""
    world.project("prod", [Rule("machine:deploy", login=True)])
    world.project("mine", settings=Settings(owners=("mine",)))
    world.server("web1")
    mallory = world.person("mallory@acme.example", ["mine"])
    robot = Robot("deploy", "mallory@acme.example")
    put(mallory, project_of(mallory, "mine"), machines=(robot.machine,))
    with pytest.raises(Refused) as no:
        robot.sign_in(world).certificate("web1")
    assert no.value.code == "no-server"


@pytest.mark.parametrize("claims", [{"sub": "machine:robot"}, {"sub": "a\nb"}])
def test_who_has_the_id_of_a_machine_is_no_person(tmp_path, claims):
    """Issuers that let people choose their ``sub``: it may not be that of a machine that administers."""
    world = ControlWorld(
        f"sqlite:///{tmp_path}/control.db", tmp_path, settings={"admin_machines": ("robot",)}
    )
    try:
        with pytest.raises(Refused) as no:
            world.person("mallory@acme.example", **claims)
        assert no.value.code == "bad-login"
    finally:
        world.close()


def test_an_owner_who_is_one_no_more_does_not_write_ahead(both):
    """What was judged by one reading of the project is not written over a later one."""
    both.project("prod", settings=Settings(owners=("old",)))
    by = both.admin()
    now = project_of(by)
    mallory = both.person("mallory@acme.example", ["old"])
    with both.services.database.reading() as connection:
        caller = sessions.find(connection, mallory.token, time.time())
    wanted = admin.ProjectWanted(now.generation + 1, now.settings, now.rules)
    call = Call("PUT", "", "", path={"name": "prod"}, message=wanted, caller=caller)
    found = []

    def attempt():  # its proof has been taken: that is another transaction
        try:
            found.append(api_projects.put(both.services, call))
        except StalePlan as no:
            found.append(no.code)

    def taken_away(connection, ledger):
        project = projects.by_id(connection, now.id)
        projects.put_settings(connection, ledger, project, Settings())

    with held(both.services.writer) as writer:
        writer.submit([now.id], taken_away)
        asking = threading.Thread(target=attempt)
        asking.start()
        until_queued(writer, 2)
    asking.join()
    assert found == ["generation"]
    assert project_of(by).settings == Settings()


@pytest.mark.parametrize("change", [{"until": 1e400}, {"rate": 10**30}])
def test_numbers_that_no_answer_can_hold_are_refused(world, change):
    world.project("prod", settings=Settings(owners=("mine",)))
    mallory = world.person("mallory@acme.example", ["mine"])
    now = project_of(mallory)
    machine = replace(Robot("deploy", "a@acme.example").machine, **change)
    message = admin.ProjectWanted(now.generation, now.settings, (), (machine,))
    body = encode(message).replace(b"Infinity", b"1e400")
    headers = mallory.headers("PUT", "/v1/projects/prod", body)
    status, _, _ = mallory.raw("PUT", "/v1/projects/prod", body, headers)
    assert status == 400
    assert world.admin().call("GET", "/v1/projects", kind=admin.Projects).projects


@pytest.mark.parametrize("number", [10**30, 2**64, -(10**30)])
def test_a_bound_that_no_answer_can_hold_locks_nobody_out(world, number):
    world.project("prod", settings=Settings(owners=("mine",)))
    mallory = world.person("mallory@acme.example", ["mine"])
    now = project_of(mallory)
    for wanted in (
        admin.ProjectWanted(now.generation, now.settings, (replace(SRE, max_session=number),)),
        admin.ProjectWanted(now.generation, replace(now.settings, max_age=number), ()),
    ):
        with pytest.raises(Refused) as no:
            mallory.call("PUT", "/v1/projects/prod", wanted)
        assert no.value.status == 400
    assert world.admin().call("GET", "/v1/projects", kind=admin.Projects).projects


def test_a_time_of_four_hundred_digits_is_no_defect(world):
    world.project()
    host = world.server("web1")
    body = encode_report().replace(b'"time":0', b'"time":1' + b"0" * 400)
    headers = {"Ostiary-Host": host.header("POST", "/v1/hosts/report", body)}
    assert host.client.raw("POST", "/v1/hosts/report", body, headers)[0] == 400


def encode_report():
    from ostiary.doors.servers.wire.host import HostReport  # noqa: PLC0415

    return encode(HostReport(0, (), 0))


class TestDeletedProject:
    """A project that was given up is nobody's: its tokens enrol nobody, its owners reach nothing."""

    def test_its_tokens_enroll_nobody(self, both):
        made = both.project("gone")
        token = both.token("gone", uses=5)
        both.admin().call("DELETE", f"/v1/projects/{made.name}")
        with pytest.raises(Refused) as no:
            both.host().enroll(token, "web1")
        assert no.value.code == "bad-token"

    def test_its_owners_do_not_reach_it(self, world):
        made = world.project("gone", settings=Settings(owners=("mine",)))
        mallory = world.person("mallory@acme.example", ["mine"])
        world.admin().call("DELETE", "/v1/projects/gone")
        with pytest.raises(Refused) as no:
            project_of(mallory, f"{made.id}~deleted")
        assert no.value.code == "no-project"


def test_a_bound_of_ssh_is_not_left_behind_with_x509(world):
    """A certificate for TLS can neither hold a command nor a network: who is bound by one gets none."""
    bound = Rule("group:sre", login=True, force_command="/usr/bin/uptime")
    world.project(rules=[bound])
    world.admin().call("POST", "/v1/projects/prod/authorities", admin.Rotation("x509", "begin"))
    world.server("web1")
    ada = world.person("ada@acme.example", ["sre"])
    assert ada.certificate("web1")
    with pytest.raises(Refused) as no:
        ada.certificate("web1", "x509")
    assert no.value.code == "not-entitled"


def test_an_owner_does_not_take_the_key_out_of_kms_nor_claim_accounts(world):
    world.project(settings=Settings(owners=("mine",)))
    mallory = world.person("mallory@acme.example", ["mine"])
    now = project_of(mallory)
    with pytest.raises(Refused) as no:
        put(mallory, now, settings=replace(now.settings, accounts=("111122223333",)))
    assert no.value.code == "not-permitted"


def test_an_id_token_is_good_once_however_its_signature_is_written(tmp_path):
    """ECDSA: with (r, s) also (r, n - s) is a good signature, by whoever saw the token."""
    world = ControlWorld(f"sqlite:///{tmp_path}/control.db", tmp_path)
    try:
        world.issuer.key = jwk.ECKey.generate_key("P-256", {"kid": "k1"})
        token = es256(world.issuer)
        client = world.client()
        assert client.call("POST", "/v1/sign-in", signing_in(token), Session)
        with pytest.raises(Refused) as no:
            client.call("POST", "/v1/sign-in", signing_in(other_signature(token)), Session)
        assert "used already" in no.value.refusal.why
    finally:
        world.close()


def es256(issuer):
    now = int(time.time())
    said = {"iss": issuer.url, "aud": "0oaservers", "sub": "00uada", "iat": now, "exp": now + 600}
    said |= {"preferred_username": "ada@acme.example", "auth_time": now, "groups": []}
    return jwt.encode({"alg": "ES256", "kid": "k1"}, said, issuer.key)


def other_signature(token):
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    head, _, text_ = token.rpartition(".")
    raw = base64.urlsafe_b64decode(text_ + "==")
    r, s = raw[:32], int.from_bytes(raw[32:], "big")
    made = base64.urlsafe_b64encode(r + (order - s).to_bytes(32, "big")).decode().rstrip("=")
    return f"{head}.{made}"


def test_max_age_is_not_met_by_a_token_that_does_not_say_when(world):
    world.project(rules=[SRE], settings=Settings(max_age=60))
    world.server("web1")
    assert world.person("ada@acme.example", ["sre"]).certificate("web1")
    with pytest.raises(Refused) as no:
        world.person("ada@acme.example", ["sre"], auth_time=None).certificate("web1")
    assert no.value.code == "step-up"


def test_an_email_that_nobody_verified_is_no_login(world):
    claims = {"preferred_username": None, "email": "ada@acme.example"}
    assert world.person("x", email_verified=True, **claims).session.login == "ada"
    with pytest.raises(Refused) as no:
        world.person("y", email_verified=False, **claims)
    assert no.value.code == "invalid-token"


def test_a_chain_that_was_taken_away_is_not_begun_again(both):
    """With its rows gone a chain would be one that never was; the file beside the database knows better."""
    made = both.project(rules=[SRE])
    both.server("web1")
    ada = both.person("ada@acme.example", ["sre"])
    assert ada.certificate("web1")
    with both.services.database.writing() as connection:
        connection.execute(text("delete from checkpoints"))
        for table in (audit, chains):
            connection.execute(delete(table).where(table.c.project_id == made.id))
    with pytest.raises(Refused) as no:
        ada.certificate("web1")
    assert (no.value.status, no.value.code) == (503, "older-database")


def put_out(world, ada, server):
    known = ada_of(world)
    return lambda c, ledger: people.keep(c, ledger, replace(known, active=False, read=time.time()))


def out_of_the_group(world, ada, server):
    known = ada_of(world)
    return lambda c, ledger: people.keep(c, ledger, replace(known, groups=(), read=time.time()))


def revoked(world, ada, server):
    return lambda c, _: sessions.revoke(c, ada.session.device, None)


def signed_out(world, ada, server):
    return lambda c, _: sessions.end(c, hashlib.sha256(ada.token.encode()).hexdigest())


def retired(world, ada, server):
    return lambda c, ledger: inventory.retire(c, ledger, inventory.by_id(c, server.id))


def without_rules(world, ada, server):
    return lambda c, ledger: rules.put(c, ledger, projects.by_name(c, "prod"), [])


def otherwise(world, ada, server):
    bound = model.Rule("group:sre", login=True, force_command="/usr/bin/uptime")
    return lambda c, ledger: rules.put(c, ledger, projects.by_name(c, "prod"), [bound])


def ada_of(world):
    with world.services.database.reading() as connection:
        return next(one for one in people.every(connection) if one.login == "ada@acme.example")


def asked_meanwhile(world, change):
    """A certificate, or why there is none, for who was let in before ``change`` and written down after it."""
    world.project(rules=[SRE])
    server = world.server("web1")
    ada = world.person("ada@acme.example", ["sre"])
    assert ada.certificate("web1")
    with world.services.database.reading() as connection:
        ids = [one.id for one in projects.every(connection)]
    work, found = change(world, ada, server), []

    def ask():
        try:
            found.append(ada.certificate("web1"))
        except Refused as no:
            found.append(no.code)

    with held(world.services.writer) as writer:
        writer.submit(ids, work)
        asking = threading.Thread(target=ask)
        asking.start()
        until_queued(writer, 2)
    asking.join()
    return found[0]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (put_out, "no-session"),
        (out_of_the_group, "no-server"),
        (revoked, "no-session"),
        (signed_out, "no-session"),
        (retired, "no-server"),
        (without_rules, "no-server"),
    ],
)
def test_what_was_decided_is_looked_at_again_where_it_becomes_durable(both, change, code):
    assert asked_meanwhile(both, change) == code


def test_what_may_be_signed_otherwise_by_then_is_signed_so(world, tmp_path):
    issued = asked_meanwhile(world, otherwise)
    options = ssh_certificate.parse(issued.certificate).critical_options
    assert [name for name, _ in options] == ["force-command"]


def test_what_concerns_others_keeps_nobody_waiting(world):
    """The project moves, and the certificate is as good as before."""

    def change(world, ada, server):
        bob = model.Rule("user:bob@acme.example", login=True)
        both_rules = [bob, model.Rule("group:sre", login=True)]
        return lambda c, ledger: rules.put(c, ledger, projects.by_name(c, "prod"), both_rules)

    assert asked_meanwhile(world, change).login == "ada"


def test_who_is_called_otherwise_leaves_what_the_former_name_gave(world):
    """Hosts hear of it too: the rule is for a login, and somebody else may have that tomorrow."""
    world.project(rules=[Rule("user:ada@acme.example", login=True)])
    host = world.server("web1")
    world.person("ada@acme.example", sub="00uada")
    before = host.state()
    assert [one.login for one in before.users] == ["ada"]
    world.person("eve@acme.example", sub="00uada")
    assert host.state(before.generation).users == ()


def test_a_full_folder_of_the_mark_is_no_defect(world):
    world.project(rules=[SRE])
    world.server("web1")
    ada = world.person("ada@acme.example", ["sre"])
    assert ada.certificate("web1")
    mark = world.services.writer._mark
    full, kept = os.open("/dev/full", os.O_WRONLY), os.dup(mark._file)
    os.dup2(full, mark._file)
    try:
        with pytest.raises(Refused) as no:
            ada.certificate("web1")
        assert no.value.status == 503
    finally:
        os.dup2(kept, mark._file)
        os.close(kept)
        os.close(full)
    assert ada.certificate("web1")


@pytest.mark.parametrize(
    ("method", "path", "stolen", "status"),
    [
        ("POST", "/v1/sign-in", False, 413),
        ("POST", "/v1/machines/sign-in", False, 413),
        ("PUT", "/v1/projects/prod", False, 401),
        ("PUT", "/v1/projects/prod", True, 401),
        ("POST", "/v1/hosts/enroll", False, 503),
    ],
)
def test_large_bodies_of_strangers_take_no_room_of_those_who_are_known(
    world, method, path, stolen, status
):
    """Unfinished ones, many at once: each is refused before it is large, or where only hosts' have to wait. Who has but the
    token of somebody's session is a stranger.
    """
    world.project("prod")
    by = world.admin()
    now = by.call("GET", "/v1/projects/prod", kind=admin.Project)
    host, port = world.url.removeprefix("http://").split(":")
    some, statuses = [], []
    try:
        for _ in range(18):
            one = http.client.HTTPConnection(host, int(port), timeout=10)
            one.putrequest(method, path)
            one.putheader("content-length", str(4 * 1024 * 1024))
            if stolen:
                one.putheader("authorization", f"Bearer {by.token}")
            one.endheaders()
            some.append(one)
            with contextlib.suppress(OSError):
                one.send(b" " * (4 * 1024 * 1024 - 10))
        for one in some:
            one.sock.settimeout(0.2)
            with contextlib.suppress(OSError):
                statuses.append(one.getresponse().status)
        assert set(statuses) == {status}
        rules = tuple(Rule(f"group:{n:0100}", login=True) for n in range(600))
        wanted = admin.ProjectWanted(now.generation, now.settings, rules)
        assert len(encode(wanted)) > 2 * incoming.SMALL
        made = by.call("PUT", "/v1/projects/prod", wanted, admin.Project)
        assert set(made.rules) == set(rules)
    finally:
        for one in some:
            one.close()


def test_the_durable_row_is_durable_whatever_the_database_was_told(cluster, tmp_path):
    """A PostgreSQL whose ``synchronous_commit`` is off says done before anything is on its disk."""
    from postgres_world import new_database  # noqa: PLC0415

    from ostiary.doors.servers.control.database import Database  # noqa: PLC0415

    with new_database(cluster) as url:
        database = Database(url)
        with database.engine.connect() as connection:
            name = connection.scalar(text("select current_database()"))
            connection.execute(text(f'alter database "{name}" set synchronous_commit = off'))
            connection.commit()
        database.close()
        database = Database(url)
        try:
            with database.writing() as connection:
                assert connection.scalar(text("show synchronous_commit")) == "on"
        finally:
            database.close()


def test_logins_that_a_host_could_not_write_down_are_in_the_audit(world):
    world.project()
    host = world.server("web1")
    host.report(logins=(untold.event(12, 1_800_000_000),))
    with world.services.database.reading() as connection:
        query = select(audit.c.body).where(audit.c.event == "certificate.met")
        (met,) = map(json.loads, connection.scalars(query))
    assert (met["serial"], met["outcome"], met["time"]) == ("", "untold", 1_800_000_000)
    assert met["source"] == "12 logins, or tries of them, were not written down"


def test_all_that_an_agent_sends_at_once_is_in_the_audit(world):
    """What came after the thousandth was thrown away: who tries a thousand times in vain hid what went well."""
    made = world.project()
    host = world.server("web1")
    issue(world, made.id, host.id, spool.MOST)
    logins = [Login(str(n), "ada", 1.0, "192.0.2.1", "replayed") for n in range(1, spool.MOST)]
    host.report(logins=(*logins, Login(str(spool.MOST), "ada", 1.0, "192.0.2.1", "accepted")))
    with world.services.database.reading() as connection:
        query = select(audit.c.body).where(audit.c.event == "certificate.met")
        met = [json.loads(text)["outcome"] for text in connection.scalars(query)]
    assert (len(met), met[-1]) == (spool.MOST, "accepted")
    with pytest.raises(Refused) as no:
        host.report(logins=(*logins, logins[0], logins[0]))
    assert no.value.status == 400


def issue(world, project_id, server_id, most):
    """Write down certificates 1 to ``most`` as issued for the server."""
    of = {"project_id": project_id, "server_id": server_id, "person_id": "p", "number": 1}
    rows = [{**of, "serial": n, "expires": 0.0, "met": ""} for n in range(1, most + 1)]
    with world.services.database.writing() as connection:
        connection.execute(insert(certificates), rows)
        connection.commit()


def audited(world):
    """(event, body) of every row."""
    with world.services.database.reading() as connection:
        query = select(audit.c.event, audit.c.body).order_by(audit.c.number)
        return [(event, json.loads(body)) for event, body in connection.execute(query)]


def sent_until_refused(host, most, make):
    """How many of ``most`` reports are taken in one go."""
    for number in range(most):
        try:
            host.report(**make(number))
        except Refused as no:
            if no.code != "too-many":
                raise
            return number
    return most


FLOODS = {
    "made up": lambda n: {"logins": [Login(f"{n}{m}", "", 0.0, "", "accepted") for m in range(2000)]},
    "issued": lambda n: {"logins": [Login("1", "", 0.0, "", "replayed")] * 2000},
    "few": lambda n: {"logins": [Login(f"{n}{m}", "", 0.0, "", "accepted") for m in range(10)]},
    "lines": lambda n: {"other_ways": [f"{n} {m}" for m in range(100)]},
}  # fmt: skip


@pytest.mark.parametrize("flood", FLOODS)
def test_one_host_does_not_fill_the_audit_of_all(world, flood):
    """A host that is somebody else's by now, with all that it may have at once, and after that."""
    made = world.project()
    host = world.server("web1")
    issue(world, made.id, host.id, 1)
    before = len(audited(world))
    began = time.monotonic()
    taken = sent_until_refused(host, 300 if flood == "few" else 40, FLOODS[flood])
    rows = len(audited(world)) - before
    rate, at_once = app.BY_HOST
    assert 0 < rows <= (at_once + rate * (time.monotonic() - began)) * app.ROWS
    assert rows == taken if flood == "made up" else rows > taken
    assert world.server("web2").state(), "nobody else waits for it"


def test_a_host_with_all_that_an_outage_left_is_heard(tmp_path, monkeypatch):
    """The longest report that an agent makes of a spool, again and again; the time that it waits is made short."""
    monkeypatch.setattr(app, "BY_HOST", (600.0, app.BY_HOST[1]))
    world = ControlWorld(f"sqlite:///{tmp_path}/c.db", tmp_path)
    try:
        made = world.project()
        host = world.server("web1")
        issue(world, made.id, host.id, 3 * spool.MOST)
        lines = {"problems": ["x" * 500] * 60, "other_ways": ["x" * 200] * 500}
        for first in range(1, 3 * spool.MOST, spool.MOST):
            numbers = range(first, first + spool.MOST)
            logins = [Login(str(n), "x" * 32, 1.8e9, "x" * 128, "accepted") for n in numbers]
            until = time.monotonic() + 10
            while sent_until_refused(host, 1, lambda _, its=logins: {"logins": its, **lines}) == 0:
                assert time.monotonic() < until, "refused for good"
                time.sleep(0.05)
        met = [body["serial"] for event, body in audited(world) if event == "certificate.met"]
        assert met == [str(n) for n in range(1, 3 * spool.MOST + 1)]
    finally:
        world.close()


def test_many_serials_that_were_not_issued_are_one_row_and_still_a_finding(world):
    """What was issued, and how many were not written down, keep rows of their own among them."""
    made = world.project()
    host = world.server("web1")
    issue(world, made.id, host.id, 1)
    logins = [Login(str(n), "ada", 5.0, "192.0.2.1", "replayed") for n in range(100, 130)]
    logins += [Login(str(n), "eve", 6.0, "192.0.2.9", "accepted") for n in range(200, 212)]
    logins += [Login("300", "eve", 6.0, "", "break-glass"), Login("1", "ada", 7.0, "", "replayed")]
    lost = untold.event(3, 1_800_000_000)
    host.report(logins=(*logins, lost))
    told = [(event, body) for event, body in audited(world) if event.startswith("certificate")]
    assert [(event, body.get("serial")) for event, body in told] == [
        ("certificate.met", "1"),
        ("certificate.met", ""),
        ("certificates.strange", None),
    ]
    strange = told[-1][1]
    first = strange.pop("first")
    assert strange == {
        "server": host.id,
        "number": 43,
        "let_in": {"accepted": 12, "break-glass": 1},
    }
    assert [one["serial"] for one in first] == [str(n) for n in range(200, 210)]
    books = reconcile.Books()
    with world.services.database.reading() as connection:
        for row in connection.execute(select(audit).where(audit.c.event.like("certificate%"))):
            books.take(row)
    found = books.reconciled()
    assert found.outcomes == {
        "accepted": 12,
        "break-glass": 1,
        "strange": 30,
        "replayed": 1,
        "untold": 1,
    }
    assert sorted((one.kind, one.serial) for one in found.findings) == [
        ("never-issued", ""),
        *(("never-issued", str(n)) for n in range(200, 210)),
        ("no-slip", ""),
        ("not-written", ""),
    ]
    (more,) = (one.text for one in found.findings if (one.kind, one.serial) == ("never-issued", ""))
    assert more == f"2 more on {host.id} at once, by serials that are not kept"


def test_nobody_says_where_they_come_from(world):
    world.project(rules=[SRE])
    world.server("web1")
    ada = world.person("ada@acme.example", ["sre"])
    key = ssh_key.of(Ed25519PrivateKey.generate().public_key()).text()
    asked = CertificateRequest("web1", key, "login")
    ada.call("POST", "/v1/certificates", asked, Issued, {"X-Forwarded-For": "198.51.100.7"})
    with world.services.database.reading() as connection:
        query = select(audit.c.body).where(audit.c.event == "certificate.issued")
        assert json.loads(connection.scalar(query))["source"] == "127.0.0.1"


def test_no_core_is_written_nor_piped():
    code = (
        "import ctypes; from ostiary.doors.servers.control.serve import keep_memory; keep_memory();"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
        == b"0\n"
    )


def test_history_written_anew_between_two_checkpoints_is_noticed_by_the_next_write(both):
    """Whoever can write to the database may make a chain that is whole: it is not the one that this process wrote."""
    made = both.project(rules=[SRE])
    both.server("web1")
    ada = both.person("ada@acme.example", ["sre"])
    assert ada.certificate("web1")
    with both.services.database.writing() as connection:
        query = select(audit).where(audit.c.project_id == made.id).order_by(audit.c.number)
        kept = connection.execute(query).all()
        head = chain.Head()
        for row in (*kept, kept[-1]):
            body = json.loads(row.body)
            if row.event == "certificate.issued":
                body["person_login"] = "bob@acme.example"
            written = chain.link(head, made.id, row.event, body, 1_800_000_000.0)
            head = chain.Head(written.number, written.hash)
            connection.execute(
                delete(audit).where(audit.c.project_id == made.id, audit.c.number == head.number)
            )
            connection.execute(insert(audit).values(written._asdict()))
        whole = update(chains).where(chains.c.project_id == made.id)
        connection.execute(whole.values(number=head.number, hash=head.hash))
    with pytest.raises(Refused) as no:
        ada.certificate("web1")
    assert (no.value.status, no.value.code) == (503, "older-database")


def test_who_was_put_out_unseen_administers_no_longer_than_they_would_enter(tmp_path):
    """Without a log to read, and without a refresh token, nobody hears of it: a session alone is no proof for hours."""
    now = [time.time()]
    world = ControlWorld(f"sqlite:///{tmp_path}/control.db", tmp_path, clock=lambda: now[0])
    try:
        world.project("prod", settings=Settings(owners=("mine",)))
        some = world.admin(), world.person("o@acme.example", ["mine"])
        now[0] += 301
        for who in some:
            for path in ("/v1/projects", "/v1/projects/prod"):
                with pytest.raises(Refused) as no:
                    who.call("GET", path)
                assert no.value.code == "stale"
    finally:
        world.close()


def test_what_a_host_says_at_length_counts_for_as_much(world):
    """Few large reports fill the audit, and keep the writer busy, as many small ones do."""
    world.project()
    host, other = world.server("web1"), world.server("web2")
    large = ("x" * 65_000,) * 60
    host.report(problems=large)
    with pytest.raises(Refused) as no:
        host.report(problems=large)
    assert (no.value.status, no.value.code) == (429, "too-many")
    host.report()
    other.report(problems=large)


def test_an_issuer_that_hangs_takes_no_thread_from_hosts(tmp_path):
    """Whoever sends tokens with a key that nobody knows makes us ask for keys, and all who sign in wait for the answer."""
    hanging, real = threading.Event(), httpx2.HTTPTransport()

    def answer(request):
        assert hanging.wait(20)
        return real.handle_request(request)

    world = ControlWorld(
        f"sqlite:///{tmp_path}/control.db", tmp_path, transport=httpx2.MockTransport(answer)
    )
    asking = []
    try:
        hanging.set()
        world.project(rules=[SRE])
        host = world.server("web1")
        hanging.clear()
        world.services.verifier._read_at = float("-inf")
        some = [world.client() for _ in range(app.THREADS + 8)]
        claims = json.dumps({"alg": "RS256", "kid": "nobody's"}).encode()
        head = base64.urlsafe_b64encode(claims).decode().rstrip("=")
        asked = signing_in(f"{head}.e30.AAAA")
        asking = [threading.Thread(target=refused_by, args=(one, asked)) for one in some]
        for one in asking:
            one.start()
            time.sleep(0.01)
        began = time.monotonic()
        assert host.state().server_id == host.id
        assert time.monotonic() - began < 5
    finally:
        hanging.set()
        for one in asking:
            one.join()
        world.close()
        real.close()


def refused_by(client, asked):
    with contextlib.suppress(Refused):
        client.call("POST", "/v1/sign-in", asked)


def test_whoever_locks_the_database_for_long_holds_up_nobody_who_needs_no_lock(
    tmp_path, monkeypatch
):
    """An operator with a transaction open in a shell, say. Certificates are refused meanwhile, and issued afterwards."""
    monkeypatch.setattr(database, "LOCK_SECONDS", 1)
    monkeypatch.setattr(app, "BY_SESSION", (1e6, 1e6))
    world = ControlWorld(f"sqlite:///{tmp_path}/c.db", tmp_path)
    with contextlib.ExitStack() as ending:
        ending.callback(world.close)
        world.project(rules=[SRE])
        world.server("web1")
        ann = world.person("ann@acme.example", ["sre"])
        ann.certificate("web1")
        other = ending.enter_context(contextlib.closing(sqlite3.connect(tmp_path / "c.db")))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Refused) as refused:
            ann.certificate("web1")
        assert refused.value.status == 503
        refusals = []

        def ask():
            try:
                ann.certificate("web1")
            except Refused as error:
                refusals.append(error.status)

        asking = threading.Thread(target=ask)
        asking.start()
        bob, slowest = world.client(), 0.0
        while asking.is_alive():
            began = time.monotonic()
            assert bob.raw("GET", "/healthz")[0] == 204
            slowest = max(slowest, time.monotonic() - began)
        asking.join()
        assert refusals == [503]
        other.rollback()
        assert slowest < 0.7
        assert ann.certificate("web1").login == "ann"
