"""The audit over HTTP: its rows and checkpoints for who may read them, slips of break-glass as far as they are true."""

import json
import time
from dataclasses import replace

import pytest
from control_world import ControlWorld, Refused
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, update

from ostiary.doors.servers.audit.checkpoint import signer_of
from ostiary.doors.servers.breakglass import certificate, shares, slips, submit
from ostiary.doors.servers.breakglass.certificate import Wanted
from ostiary.doors.servers.breakglass.sign import sign
from ostiary.doors.servers.client.control_api import Control
from ostiary.doors.servers.client.credentials import of_session
from ostiary.doors.servers.control.chain import Row, faults
from ostiary.doors.servers.control.checkpoints import Checkpoints
from ostiary.doors.servers.control.tables import authorities, certificates
from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.wire.admin import AuditRows, Rule, Slip
from ostiary.errors import Conflict, Partial, UsageError
from ostiary.pki import ssh_certificate, ssh_key

REASON = "everything is down"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("control")
    world = ControlWorld(f"sqlite:///{folder}/control.db", folder)
    yield world
    world.close()


@pytest.fixture(scope="module")
def by(world):
    """An administrator."""
    return world.admin()


@pytest.fixture
def prod(world):
    """A project of the test's own."""
    return world.project(f"p{time.monotonic_ns()}", [Rule("group:sre", login=True)])


@pytest.fixture
def rows(by, prod):
    def rows(after=0):
        path = f"/v1/projects/{prod.name}/audit?after={after}"
        return by.call("GET", path, kind=AuditRows).rows

    return rows


def put(world, statement):
    with world.services.database.writing() as connection:
        connection.execute(statement)


def append(world, project, *bodies):
    def work(_, ledger):
        for body in bodies:
            ledger.append(project.id, "x", body)

    world.services.writer.write([project.id], work)


def test_rows_are_read_in_order_and_only_by_who_may(world, prod, by, rows):
    append(world, prod, {"n": 1}, {"n": 2})
    found = rows()
    assert [one.number for one in found] == list(range(1, len(found) + 1))
    assert list(faults([Row(**vars(one)) for one in found])) == []
    assert rows(after=found[-2].number) == found[-1:]
    assert rows(after=10**17) == ()
    for who, status in ((world.person("ada@acme.example", ["sre"]), 404), (world.client(), 401)):
        for path in ("audit", "checkpoints"):
            with pytest.raises(Refused) as no:
                who.call("GET", f"/v1/projects/{prod.name}/{path}")
            assert no.value.status == status
    for after in ("-1", "x", "1" * 19, "%D9%A1", "1.0"):
        for path in ("audit", "checkpoints"):
            with pytest.raises(Refused) as no:
                by.call("GET", f"/v1/projects/{prod.name}/{path}?after={after}")
            assert no.value.status == 400, after


def test_an_answer_is_bounded_and_the_next_goes_on(world, prod, by):
    append(world, prod, *({"n": n} for n in range(1500)))
    append(world, prod, *({"text": "x" * 900_000} for _ in range(4)))
    numbers, answers = [], []
    while not answers or answers[-1]:
        path = f"/v1/projects/{prod.name}/audit?after={numbers[-1] if numbers else 0}"
        status, _, body = by.raw("GET", path, headers=by.headers("GET", path))
        assert (status, len(body) < 4 * 1024 * 1024) == (200, True)
        answers.append([one["number"] for one in json.loads(body)["rows"]])
        numbers += answers[-1]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 1504
    assert [len(one) for one in answers] == [1000, len(numbers) - 1002, 2, 0]


def test_checkpoints_are_read_as_they_were_signed(world, prod, by, rows):
    held = world.services
    checkpoints = Checkpoints(held.database, held.writer, held.authorities, time.time)
    checkpoints.sign()
    append(world, prod, {})
    checkpoints.sign()
    path = f"/v1/projects/{prod.name}/checkpoints"
    listed = by.call("GET", path, kind=admin.Checkpoints).checkpoints
    last = rows()[-1]
    assert (len(listed), listed[1].number, listed[1].hash) == (2, last.number, last.hash)
    host = next(one for one in prod.authorities if one.use == "host")
    assert signer_of(listed[1]) == ssh_key.parse(host.public_key)
    later = by.call("GET", f"{path}?after={listed[0].number}", kind=admin.Checkpoints)
    assert later.checkpoints == listed[1:]


@pytest.fixture(scope="module")
def made():
    return shares.make("prod", 2, 3)


@pytest.fixture
def control(world, by):
    control = Control(world.url, "", of_session(by.session))
    yield control
    control.close()


@pytest.fixture
def glass(control, prod, made):
    """The project, trusting a break-glass authority."""
    return submit.trust(control, prod.name, made[0].authority)


@pytest.fixture
def slip(glass, made, tmp_path):
    sign(made[:2], Wanted("ada", "srv_1", REASON, 300), tmp_path / "slips", int(time.time()))
    return slips.read(tmp_path / "slips")[0]


def test_hosts_hear_of_the_authority_and_the_control_plane_cannot_sign_by_it(world, glass, made):
    host = world.server("web1", glass.name)
    assert host.state().break_glass == (made[0].authority.text(),)
    kept = [one for one in glass.authorities if one.use == "break-glass"]
    assert [(one.state, one.kms_key) for one in kept] == [("trusted", "")]
    with world.services.database.reading() as connection:
        query = authorities.select().where(authorities.c.id == kept[0].id)
        assert connection.execute(query).one().private is None


def test_a_new_authority_is_trusted_beside_the_old_until_that_is_retired(world, control, glass):
    new = shares.make("prod", 2, 2)[0].authority
    old = next(one for one in glass.authorities if one.use == "break-glass").public_key
    submit.trust(control, glass.name, new)
    host = world.server("web1", glass.name)
    assert host.state().break_glass == (old, new.text())
    with pytest.raises(Conflict):
        submit.retire(control, glass.name)  # the host has not said yet that it believes the new one
    assert host.state().break_glass == (old, new.text())


def test_a_slip_is_in_the_audit_as_its_certificate_says(control, glass, slip, rows):
    submit.bring(control, glass.name, slip)
    row = rows()[-1]
    made = ssh_certificate.parse(slip.certificates[0])
    body = json.loads(row.body)
    assert row.event == "break-glass.signed"
    assert (body["serial"], body["key"]) == (str(made.serial), made.key.fingerprint)
    assert (body["principal"], body["server"]) == ("ada@srv_1", "srv_1")
    assert (body["reason"], body["submitted_by"]) == (REASON, "admin@acme.example")
    assert body["valid_before"] - body["valid_after"] == 360
    before = rows()
    assert submit.submit_all(control, glass.name, [slip, slip]) == 2
    assert rows() == before, "a second time changes nothing"


def test_a_slip_that_is_refused_keeps_no_other_back(control, glass, slip, rows):
    with pytest.raises(Partial, match="1 of 2 slips are not in the audit") as partly:
        submit.submit_all(control, glass.name, [Slip("edited", slip.certificates), slip])
    assert "slip 1 ('edited'): cannot take this slip: the reason" in partly.value.why
    assert json.loads(rows()[-1].body)["reason"] == REASON


def forgeries(slip, tmp_path):
    parsed = ssh_certificate.parse(slip.certificates[0])
    text = ssh_certificate.to_text
    wanted = Wanted("ada", "srv_1", REASON)
    other = sign(shares.make("prod", 2, 2), wanted, tmp_path / "other", int(time.time()))
    renumbered = text(replace(parsed, serial=7))
    return {
        "reason edited": Slip("all was well", slip.certificates),
        "no reason": Slip("", slip.certificates),
        "principal edited": Slip(REASON, (text(replace(parsed, principals=("root@srv_1",))),)),
        "serial edited": Slip(REASON, (renumbered,)),
        "another authority": Slip(REASON, (text(other.certificate),)),
        "no certificate": Slip(REASON, (parsed.key.text(),)),
        "nothing": Slip(REASON, ()),
        "one good, one edited": Slip(REASON, (*slip.certificates, renumbered)),
        "garbage": Slip(REASON, ("x",)),
        "too many": Slip(REASON, slip.certificates * 101),
    }


def test_a_forged_or_edited_slip_is_refused_and_leaves_no_row(control, glass, slip, rows, tmp_path):
    before = rows()
    for name, forged in forgeries(slip, tmp_path).items():
        with pytest.raises(UsageError) as refused:
            submit.bring(control, glass.name, forged)
        assert refused.value.code == "bad-slip", name
    assert rows() == before


def test_a_certificate_of_the_users_authority_is_no_slip(world, control, glass):
    host = world.server("web9", glass.name)
    issued = world.person("ada@acme.example", ["sre"]).certificate(host.id)
    with pytest.raises(UsageError, match="no break-glass authority"):
        submit.bring(control, glass.name, Slip(REASON, (issued.certificate,)))


def test_a_serial_that_another_certificate_has_is_a_conflict(world, control, glass, slip):
    serial = ssh_certificate.parse(slip.certificates[0]).serial
    row = {"serial": serial, "project_id": glass.id, "server_id": "srv_1", "person_id": "00u"}
    put(world, insert(certificates).values(row | {"number": 1, "expires": 0.0, "met": ""}))
    with pytest.raises(Conflict, match="another certificate has that serial"):
        submit.bring(control, glass.name, slip)


def test_a_slip_that_says_a_certificate_twice_is_no_fault_of_the_database(
    control, glass, slip, rows
):
    twice = replace(slip, certificates=slip.certificates * 2)
    control.call("POST", f"/v1/projects/{glass.name}/slips", twice)
    assert [row.event for row in rows()].count("break-glass.signed") == 1


def test_slips_of_an_authority_that_was_retired_are_still_taken(world, control, glass, slip, rows):
    of_project = authorities.c.project_id == glass.id
    retired = update(authorities).where(of_project, authorities.c.use == "break-glass")
    put(world, retired.values(state="retired"))
    submit.bring(control, glass.name, slip)
    assert rows()[-1].event == "break-glass.signed"


def test_only_who_may_submits(world, glass, slip, rows):
    before = rows()
    for who, status in ((world.person("ada@acme.example", ["sre"]), 404), (world.client(), 401)):
        with pytest.raises(Refused) as no:
            who.call("POST", f"/v1/projects/{glass.name}/slips", slip)
        assert no.value.status == status
    assert rows() == before


def test_the_reason_that_a_certificate_does_not_say_is_none():
    plain = ssh_certificate.Certificate(ssh_key.of(Ed25519PrivateKey.generate().public_key()))
    assert certificate.reason_of(plain) == ""
