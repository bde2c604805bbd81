"""Groups and their members."""

from urllib.parse import quote

import pytest


def search(text):
    return f"/api/v1/groups?search={quote(text)}"


def names(found):
    return [group["profile"]["name"] for group in found]


def test_a_group_has_the_shape_of_okta(api):
    body = {"profile": {"name": "ops", "description": "Operations"}}
    group = api.json("POST", "/api/v1/groups", body)
    assert group["id"].startswith("00g")
    assert group["type"] == "OKTA_GROUP"
    assert group["objectClass"] == ["okta:user_group"]
    assert group["profile"] == body["profile"]
    assert group["lastMembershipUpdated"].endswith("Z")


@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"name": ""},
        {"name": "x" * 256},
        {"name": "x", "description": "y" * 1025},
        {"name": "x", "colour": "red"},
        {"name": 5},
    ],
)
def test_wrong_profiles_are_refused(api, profile):
    api.refused("POST", "/api/v1/groups", {"profile": profile}, status=400, code="E0000001")


def test_a_name_is_unique_among_the_groups_of_okta(api, org):
    org.add_group("ad-ops", source_app="active_directory")
    found = api.refused(
        "POST", "/api/v1/groups", {"profile": {"name": "sre"}}, status=400, code="E0000001"
    )
    assert found["errorSummary"] == "Api validation failed: name"
    assert found["errorCauses"][0]["errorSummary"] == (
        "name: An object with this field already exists in the current organization"
    )
    api.json("POST", "/api/v1/groups", {"profile": {"name": "ad-ops"}})


def test_a_replacement_drops_the_description(api, org):
    group = org.add_group("ops", description="Operations")
    found = api.json("PUT", f"/api/v1/groups/{group.id}", {"profile": {"name": "ops2"}})
    assert found["profile"] == {"name": "ops2", "description": None}


def test_imported_and_built_in_groups_cannot_be_changed(api, org):
    imported = org.add_group("ad-ops", source_app="active_directory")
    ada = org.user("ada")
    for group in (imported, org.everyone):
        path = f"/api/v1/groups/{group.id}"
        body = {"profile": {"name": "x"}}
        api.refused("PUT", path, body, status=403, code="E0000006")
        api.refused("PUT", f"{path}/users/{ada.id}", status=403, code="E0000006")
        api.refused("DELETE", f"{path}/users/{ada.id}", status=403, code="E0000006")
    api.refused("DELETE", f"/api/v1/groups/{org.everyone.id}", status=403, code="E0000006")


def test_an_imported_group_names_its_source(api, org):
    group = org.add_group("ad-ops", source_app="active_directory")
    found = api.json("GET", f"/api/v1/groups/{group.id}?expand=app")
    assert found["type"] == "APP_GROUP"
    assert found["_links"]["source"]["href"].endswith(group.source_app)
    assert found["_embedded"]["app"]["name"] == "active_directory"


def test_search_filter_and_query(api, org):
    org.add_group("aws#a#Ops#1", description="ostiary estate=acme role=Ops")
    org.add_group("AWS#b#Ops#2")
    assert names(api.json("GET", search('profile.name sw "aws#"'))) == [
        "aws#a#Ops#1",
        "AWS#b#Ops#2",
    ]
    assert names(api.json("GET", search('profile.description co "estate=acme"'))) == ["aws#a#Ops#1"]
    both = 'type eq "OKTA_GROUP" and (profile.name eq "sre" or profile.name eq "none")'
    assert names(api.json("GET", search(both))) == ["sre"]
    built_in = "/api/v1/groups?filter=" + quote('type eq "BUILT_IN"')
    assert names(api.json("GET", built_in)) == ["Everyone"]
    assert names(api.json("GET", "/api/v1/groups?q=AW")) == ["aws#a#Ops#1", "AWS#b#Ops#2"]


@pytest.mark.parametrize(
    "text",
    [
        'profile.name ne "x"',
        'colour eq "x"',
        "profile.name eq",
        'profile.name eq "x" and',
        '(type eq "OKTA_GROUP"',
        'type eq "x" type eq "y"',
    ],
)
def test_a_search_that_okta_does_not_know_is_refused(api, text):
    api.refused("GET", search(text), status=400, code="E0000031")


def test_filter_knows_fewer_attributes_than_search(api):
    path = "/api/v1/groups?filter=" + quote('profile.name eq "sre"')
    api.refused("GET", path, status=400, code="E0000031")


def test_stats_count_the_members(api, org):
    path = f"/api/v1/groups/{org.group('sre').id}?expand=stats"
    assert api.json("GET", path)["_embedded"]["stats"]["usersCount"] == 2
    assert "_embedded" not in api.json("GET", f"/api/v1/groups/{org.group('sre').id}")


def test_membership_changes_are_seen_and_idempotent(api, org, world):
    group, eve = org.group("sre"), org.user("eve")
    before = api.json("GET", f"/api/v1/groups/{group.id}")["lastMembershipUpdated"]
    world.clock.advance(5)
    path = f"/api/v1/groups/{group.id}/users/{eve.id}"
    for _ in range(2):
        api.json("PUT", path, status=204)
    assert api.json("GET", f"/api/v1/groups/{group.id}")["lastMembershipUpdated"] > before
    members = api.json("GET", f"/api/v1/groups/{group.id}/users")
    assert eve.id in [member["id"] for member in members]
    for _ in range(2):
        api.json("DELETE", path, status=204)
    assert len(api.json("GET", f"/api/v1/groups/{group.id}/users")) == 2
    missing = f"/api/v1/groups/{group.id}/users/00uNone"
    api.refused("PUT", missing, status=404, code="E0000007")


def test_everyone_holds_all_who_were_not_deactivated(api, org):
    path = f"/api/v1/groups/{org.everyone.id}/users"
    assert len(api.json("GET", path)) == 3
    api.json("POST", f"/api/v1/users/{org.user('eve').id}/lifecycle/deactivate")
    assert len(api.json("GET", path)) == 2
