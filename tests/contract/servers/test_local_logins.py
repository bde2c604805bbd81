"""The name of somebody on hosts: the one that a session says is the one that certificates are for, in every project."""

import json

import pytest
from control_world import Refused
from sqlalchemy import select

from ostiary.doors.servers.control import people, projects
from ostiary.doors.servers.control.people import Person
from ostiary.doors.servers.control.tables import audit, local_users
from ostiary.doors.servers.wire.admin import Rule

GROUPS = ("sre", "dev")
KEN, OTHER = "00uKEN00000000000000", "00uOTHER000000000000"


@pytest.fixture
def site(both):
    """Two projects: ``sre`` may enter web1 of one, ``dev`` lab1 of the other."""
    for name, group, server in (("prod", "sre", "web1"), ("lab", "dev", "lab1")):
        both.project(name, [Rule(f"group:{group}", login=True)])
        both.server(server, name)
    return both


def name_of(person):
    """What the session says; both certificates are for it, and no host knows the person by another."""
    issued = {person.certificate(server).login for server in ("web1", "lab1")}
    assert issued == {person.session.login}
    return person.session.login


def local_names(world, person_id):
    query = select(local_users.c.login).where(local_users.c.person_id == person_id)
    with world.services.database.reading() as connection:
        return connection.scalars(query).all()


def keep(world, person):
    """As the poller does; it holds the chain of every project."""
    with world.services.database.reading() as connection:
        held = [one.id for one in projects.every(connection)]
    world.services.writer.write(held, lambda c, ledger: people.keep(c, ledger, person))


def test_who_is_renamed_keeps_the_name(site):
    assert name_of(site.person("ken@acme.example", GROUPS, sub=KEN)) == "ken"
    assert name_of(site.person("kenneth@acme.example", GROUPS, sub=KEN)) == "ken"
    assert local_names(site, KEN) == ["ken", "ken"]
    assert name_of(site.person("ken@acme.example", GROUPS, sub=OTHER)) == "ken1"


def test_who_is_renamed_between_two_projects_has_one_name_in_both(site):
    ken = site.person("ken@acme.example", GROUPS, sub=KEN)
    assert ken.certificate("web1").login == "ken"
    kenneth = site.person("kenneth@acme.example", GROUPS, sub=KEN)
    assert kenneth.certificate("lab1").login == "ken"
    assert name_of(kenneth) == name_of(ken) == "ken"


def test_who_is_renamed_in_a_session_stays_who_that_session_says(site):
    ken = site.person("ken@acme.example", GROUPS, sub=KEN)
    now = Person(KEN, "kenneth@acme.example", GROUPS, active=True, read=site.services.clock())
    keep(site, now)
    assert name_of(ken) == "ken"


def test_two_of_one_name_are_two_everywhere(site):
    """In whatever order they are first met in each project."""
    edgar = site.person("edgar@acme.example", GROUPS)
    other = site.person("Edgar@sub.acme.example", GROUPS)
    assert other.certificate("lab1").login == other.session.login == "edgar1"
    assert edgar.certificate("lab1").login == edgar.session.login == "edgar"
    assert (name_of(edgar), name_of(other)) == ("edgar", "edgar1")
    assert name_of(site.person("edgar@acme.example", GROUPS)) == "edgar"


@pytest.mark.parametrize(
    "login", ["\u674e@acme.example", "root@acme.example", "7of9@acme.example", "user1@acme.example"]
)
def test_who_has_a_login_that_no_local_user_can_have_gets_another(site, login):
    name = name_of(site.person(login, GROUPS))
    assert name.startswith("user")
    assert name not in ("user", "root")


def test_who_is_made_anew_at_okta_is_somebody_else(site):
    first = site.person("ada@acme.example", GROUPS, sub=KEN)
    assert name_of(first) == "ada"
    out = Person(KEN, "ada@acme.example", (), active=False, read=site.services.clock())
    keep(site, out)
    with pytest.raises(Refused):
        first.certificate("web1")
    again = site.person("ada@acme.example", GROUPS, sub=OTHER)
    assert name_of(again) == "ada1"
    assert local_names(site, KEN) == ["ada", "ada"], "and the home of the first stays theirs"


def test_who_gets_a_number_from_a_host_has_the_name_of_the_session(site):
    """A host that asks for its state numbers whoever may enter, before they ask for a certificate."""
    site.person("edgar@acme.example", ())
    edgar = site.person("edgar@sub.acme.example", GROUPS)
    host = site.server("web2")
    assert [one.login for one in host.state().users] == ["edgar1"]
    assert name_of(edgar) == "edgar1"


def test_a_person_and_a_machine_of_one_name_are_two(site):
    ci = Person("machine:ci", "machine:ci", (), active=True, read=site.services.clock())
    keep(site, ci)
    assert name_of(site.person("machine-ci@acme.example", GROUPS)) == "machine-ci1"


def test_what_else_somebody_is_in_is_not_told_to_a_project(both):
    """Whoever owns a project reads its audit; of people's groups that has those that its rules name."""
    both.project("prod", [Rule("group:sre", login=True), Rule("group:dba", login=True)])
    both.server("web1")
    both.person("ken@acme.example", ["sre"]).certificate("web1")
    both.person("ken@acme.example", ["sre", "dba", "works-council"])
    with both.services.database.reading() as connection:
        query = select(audit.c.body).where(audit.c.event == "person.changed")
        (told,) = connection.scalars(query)
    assert json.loads(told)["groups"] == ["dba", "sre"]
