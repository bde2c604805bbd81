"""How long a machine's session lasts: no longer than what it was begun for, whatever is set under that name later."""

import json
import time
from dataclasses import replace

import pytest
from control_world import Refused
from joserfc import jwk
from sqlalchemy import delete, insert, select
from test_machines import OWNER, Site

from ostiary.doors.servers.control import people
from ostiary.doors.servers.control.org_reader import keep_read
from ostiary.doors.servers.control.tables import audit, machines
from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.wire.admin import Machine, NewProject, ProjectWanted, Rule


@pytest.fixture
def site(database_url, tmp_path):
    site = Site(tmp_path, database_url, admin_machines=("robot",))
    yield site
    site.control.close()
    site.router.close()


def delete_prod(site):
    by = site.control.admin()
    by.call("POST", f"/v1/servers/{site.web.id}/retire")
    by.call("DELETE", "/v1/projects/prod")


def payroll(site):
    """Another project, with a machine of that name and a key of its own, which administers its server."""
    by = site.control.admin()
    made = by.call("POST", "/v1/projects", NewProject("payroll", 80001, 80001), admin.Project)
    key = jwk.ECKey.generate_key("P-256", {"kid": "own"})
    public = json.dumps({"keys": [key.as_dict(private=False)]})
    robot = Machine("robot", "private-key-jwt", OWNER, time.time() + 86400, public_keys=public)
    rules = (Rule("machine:robot", admin=True),)
    wanted = ProjectWanted(made.generation, made.settings, rules, (robot,))
    by.call("PUT", "/v1/projects/payroll", wanted, admin.Project)
    site.control.server("pay1", "payroll")
    return key


def refused(status, client, server="pay1"):
    with pytest.raises(Refused) as no:
        client.certificate(server)
    assert no.value.status == status, no.value.refusal
    return no.value.code


def new_project(client, name="mine"):
    return client.call("POST", "/v1/projects", NewProject(name, 90001, 90001), admin.Project)


def test_a_machine_of_a_deleted_project_is_signed_out_and_no_machine_of_that_name_elsewhere(site):
    old = site.sign_in("robot", site.proof("robot"))
    assert old.certificate("web1").serial
    delete_prod(site)
    assert "machine:robot" not in site.sessions()
    (row,) = [one for one in site.rows("person.changed") if one["person"] == "machine:robot"]
    assert row["active"] is False, "the audit of the project tells of it"
    key = payroll(site)
    refused(401, old)
    new = site.sign_in("robot", site.own_token(key=key))
    assert "admin" in new.certificate("pay1").server.may
    refused(401, old)


def test_a_machine_of_a_deleted_project_administers_nothing_more(site):
    robot = site.sign_in("robot", site.proof("robot"))
    new_project(robot, "before")
    delete_prod(site)
    with pytest.raises(Refused) as no:
        new_project(robot)
    assert no.value.status == 401


def taken_away(site):
    """As a version did that signed nobody out."""
    with site.control.services.database.writing() as connection:
        kept = connection.execute(select(machines).where(machines.c.name == "robot")).one()
        connection.execute(delete(machines).where(machines.c.name == "robot"))
    return kept._asdict()


def test_a_session_that_was_left_over_ends_when_a_machine_of_that_name_is_added(site):
    old = site.sign_in("robot", site.proof("robot"))
    taken_away(site)
    assert refused(403, old, "web1") == "no-machine"
    payroll(site)
    refused(401, old)


def test_who_administers_is_a_machine_that_is_kept_and_not_at_its_end(site):
    robot = site.sign_in("robot", site.proof("robot"))
    row = taken_away(site)
    with pytest.raises(Refused) as no:
        new_project(robot)
    assert no.value.code == "not-permitted"
    ended = {**json.loads(row["machine"]), "until": time.time() - 1}
    for machine, may in ((json.dumps(ended), False), (row["machine"], True)):
        with site.control.services.database.writing() as connection:
            connection.execute(delete(machines).where(machines.c.name == "robot"))
            connection.execute(insert(machines).values(**{**row, "machine": machine}))
        if may:
            assert new_project(robot).name == "mine"
        else:
            with pytest.raises(Refused, match="not-permitted"):
                new_project(robot)


def test_a_machine_that_moves_to_another_project_is_signed_out_in_the_audits_of_both(site):
    """Its numbers stay where it had some: there too the chain is held that tells of it."""
    site.sign_in("robot", site.proof("robot")).certificate("web1")
    site.set(robot=None)
    key = payroll(site)
    new = site.sign_in("robot", site.own_token(key=key))
    assert new.certificate("pay1").serial
    by = site.control.admin()
    now = by.call("GET", "/v1/projects/payroll", kind=admin.Project)
    (robot,) = now.machines
    longer = (replace(robot, until=robot.until + 1),)
    wanted = ProjectWanted(now.generation, now.settings, now.rules, longer)
    by.call("PUT", "/v1/projects/payroll", wanted, admin.Project)
    refused(401, new)
    with site.control.services.database.reading() as connection:
        told = connection.execute(select(audit).where(audit.c.event == "person.changed")).all()
    last = {one.project_id: json.loads(one.body) for one in told}
    assert len(last) == 2
    assert all(one["person"] == "machine:robot" and not one["active"] for one in last.values())


MARRIED = "ada.married@acme.example"


def test_a_machine_is_signed_out_when_its_owner_is_renamed_and_stays_so_when_they_are_put_out(site):
    robot = site.sign_in("robot", site.proof("robot"))
    renamed = replace(site.owner(), login=MARRIED, read=time.time())
    site.keep(keep_read, renamed)
    refused(401, robot, "web1")
    assert "never signed in" in site.refused("robot", site.proof("robot"), "no-owner")
    site.keep(keep_read, replace(renamed, active=False, read=time.time()))
    assert "machine:robot" not in site.sessions()
    site.refused("robot", site.proof("robot"), "no-owner")


def test_a_machine_does_nothing_for_an_owner_who_signed_in_by_another_login(site):
    """A sign-in looks at no machine: the next certificate does, and so does what administers."""
    robot = site.sign_in("robot", site.proof("robot"))
    sub = site.owner().id
    site.control.person(MARRIED, ["sre"], sub=sub)
    assert refused(403, robot, "web1") == "no-machine"
    with pytest.raises(Refused) as no:
        new_project(robot)
    assert no.value.code == "not-permitted"
    site.keep(keep_read, replace(people_now(site, sub), active=False, read=time.time()))
    assert refused(403, robot, "web1") == "no-machine"


def people_now(site, person_id):
    with site.control.services.database.reading() as connection:
        return people.get(connection, person_id)
