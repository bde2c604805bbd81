"""People and groups as desired state and proofs need them."""

import pytest
from okta_world import user_id

from ostiary.errors import Conflict, Denied
from ostiary.okta.people import People, Person


@pytest.fixture
def people(client):
    return People(client)


def test_groups_are_found_by_exact_name(world, people):
    world.okta.add_group("platform-two")
    world.okta.add_group("Platform")
    names = people.groups_by_name(["platform", "plat", "nobody"])
    assert set(names.found) == {"platform"}
    assert names.found["platform"].id == world.okta.group("platform").id
    assert names.ambiguous == {}


def test_two_groups_of_one_name_are_both_named(world, people):
    first = world.okta.group("platform").id
    second = world.okta.add_group("platform", source_app="active_directory").id
    names = people.groups_by_name(["platform"])
    assert names.found == {}
    assert set(names.ambiguous["platform"]) == {first, second}
    with pytest.raises(Conflict) as caught:
        people.exactly_one("platform")
    assert first in caught.value.why
    assert second in caught.value.why


def test_where_a_group_comes_from(world, people):
    world.okta.add_group("from AD", source_app="active_directory")
    found = people.groups_by_name(["from AD", "platform", "Everyone"]).found
    assert (found["from AD"].source, found["from AD"].type) == ("active_directory", "APP_GROUP")
    assert found["platform"].source == "okta"
    assert found["Everyone"].type == "BUILT_IN"


def test_members_have_a_status(world, people):
    world.okta.user("ben@acme.example").status = "SUSPENDED"
    assert people.group_members(world.okta.group("platform").id) == (
        Person(user_id(world, "ann"), "ann@acme.example", "ACTIVE"),
        Person(user_id(world, "ben"), "ben@acme.example", "SUSPENDED"),
    )


def test_people_are_found_by_exact_login(world, people):
    found = people.people(["ann@acme.example", "ben", "no@acme.example", "Cara@acme.example"])
    assert {login: person.id for login, person in found.items()} == {
        "ann@acme.example": user_id(world, "ann"),
        "Cara@acme.example": user_id(world, "cara"),
    }


def test_groups_of_a_person(world, people):
    names = {group.name for group in people.groups_of(user_id(world, "ann"))}
    assert names >= {"platform"}
    assert "sre" not in names


def test_a_source_that_a_rule_fills(world, client, people):
    platform, sre = world.okta.group("platform").id, world.okta.group("sre").id
    assert not people.source_is_rule_filled(sre)
    client.post(
        "/groups/rules",
        {
            "type": "group_rule",
            "name": "by hand",
            "conditions": {
                "expression": {
                    "type": "urn:okta:expression:1.0",
                    "value": f'isMemberOfAnyGroup("{platform}")',
                }
            },
            "actions": {"assignUserToGroups": {"groupIds": [sre]}},
        },
    )
    assert not people.source_is_rule_filled(sre)
    people.forget()
    assert people.source_is_rule_filled(sre)
    assert not people.source_is_rule_filled(platform)


def test_an_incomplete_list_is_an_error(world, people):
    world.okta.api_tokens.clear()
    with pytest.raises(Denied):
        people.groups()
