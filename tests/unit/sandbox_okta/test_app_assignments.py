"""Who has an app: groups with priority and profile, people by name, the profile's schema."""

import pytest


@pytest.fixture
def app(org):
    return org.add_app("amazon_aws", "AWS")


def groups_of(api, app):
    found = api.json("GET", f"/api/v1/apps/{app.id}/groups")
    return {item["id"]: item["priority"] for item in found}


def test_an_empty_body_assigns_the_next_priority(api, org, app):
    first, second = org.group("one"), org.group("two")
    path = f"/api/v1/apps/{app.id}/groups"
    assert api.json("PUT", f"{path}/{first.id}", {})["priority"] == 0
    found = api.json("PUT", f"{path}/{second.id}", {})
    assert found["priority"] == 1
    assert found["profile"] == {"email": None, "role": None, "samlRoles": None}
    assert found["_links"]["group"]["href"].endswith(second.id)


def test_a_taken_priority_moves_the_others_down(api, org, app):
    first, second, third = (org.group(name) for name in ("one", "two", "three"))
    path = f"/api/v1/apps/{app.id}/groups"
    for group in (first, second):
        api.json("PUT", f"{path}/{group.id}", {})
    api.json("PUT", f"{path}/{third.id}", {"priority": 0})
    assert groups_of(api, app) == {third.id: 0, first.id: 1, second.id: 2}


@pytest.mark.parametrize("priority", [-1, 101, "1", True])
def test_a_wrong_priority_is_refused(api, org, app, priority):
    path = f"/api/v1/apps/{app.id}/groups/{org.group('one').id}"
    api.refused("PUT", path, {"priority": priority}, status=400, code="E0000001")


def test_assignments_end_with_their_group(api, org, app):
    group = org.group("one")
    path = f"/api/v1/apps/{app.id}/groups/{group.id}"
    api.json("PUT", path, {})
    api.json("DELETE", f"/api/v1/groups/{group.id}", status=204)
    assert groups_of(api, app) == {}
    api.refused("DELETE", path, status=404, code="E0000007")


def test_what_is_not_assigned_cannot_be_read_or_removed(api, org, app):
    path = f"/api/v1/apps/{app.id}/groups/{org.group('one').id}"
    api.refused("GET", path, status=404, code="E0000007")
    api.refused("DELETE", path, status=404, code="E0000007")
    missing = f"/api/v1/apps/{app.id}/groups/00gNone"
    api.refused("PUT", missing, {}, status=404, code="E0000007")


def test_people_are_listed_with_the_scope_of_their_assignment(api, org, app):
    eve = org.user("eve@acme.example")
    api.json("PUT", f"/api/v1/apps/{app.id}/groups/{org.group('sre').id}", {})
    body = {"id": eve.id, "scope": "USER", "credentials": {"userName": "eve"}}
    assert api.json("POST", f"/api/v1/apps/{app.id}/users", body)["scope"] == "USER"
    found = {
        item["credentials"]["userName"]: item["scope"]
        for item in api.json("GET", f"/api/v1/apps/{app.id}/users")
    }
    assert found == {"ada@acme.example": "GROUP", "max@acme.example": "GROUP", "eve": "USER"}


def test_a_group_assignment_cannot_be_taken_from_one_person(api, org, app):
    api.json("PUT", f"/api/v1/apps/{app.id}/groups/{org.group('sre').id}", {})
    path = f"/api/v1/apps/{app.id}/users/{org.user('ada').id}"
    api.refused("DELETE", path, status=400, code="E0000001")
    eve = f"/api/v1/apps/{app.id}/users/{org.user('eve').id}"
    api.refused("DELETE", eve, status=404, code="E0000007")


def test_assigning_a_member_by_name_makes_the_assignment_their_own(api, org, app):
    ada = org.user("ada")
    api.json("PUT", f"/api/v1/apps/{app.id}/groups/{org.group('sre').id}", {})
    api.json("POST", f"/api/v1/apps/{app.id}/users", {"id": ada.id, "scope": "USER"})
    assert api.json("GET", f"/api/v1/apps/{app.id}/users/{ada.id}")["scope"] == "USER"
    api.json("DELETE", f"/api/v1/apps/{app.id}/users/{ada.id}", status=204)
    assert api.json("GET", f"/api/v1/apps/{app.id}/users/{ada.id}")["scope"] == "GROUP"


def test_roles_are_refused_until_the_sandbox_switches_the_api_integration_on(api, org, app):
    path = f"/api/v1/apps/{app.id}/groups/{org.group('sre').id}"
    body = {"profile": {"samlRoles": ["Admin"]}}
    found = api.refused("PUT", path, body, status=400, code="E0000001")
    assert "Admin" in found["errorCauses"][0]["errorSummary"]
    schema = f"/api/v1/meta/schemas/apps/{app.id}/default"
    roles = api.json("GET", schema)["definitions"]["base"]["properties"]["samlRoles"]
    assert "enum" not in roles["items"]
    api.json("POST", f"/sandbox/apps/{app.id}/api-integration", {"roles": ["Admin", "Ops"]})
    assert api.json("PUT", path, body)["profile"]["samlRoles"] == ["Admin"]
    other = {"profile": {"samlRoles": ["Root"]}}
    api.refused("PUT", path, other, status=400, code="E0000001")
    patch = [{"op": "replace", "path": "/profile/samlRoles", "value": ["Ops"]}]
    assert api.json("PATCH", path, patch)["profile"]["samlRoles"] == ["Ops"]


def test_only_union_of_the_schema_can_change(api, app):
    path = f"/api/v1/meta/schemas/apps/{app.id}/default"
    change = {"definitions": {"base": {"properties": {"samlRoles": {"union": "ENABLE"}}}}}
    found = api.json("POST", path, change)
    assert found["definitions"]["base"]["properties"]["samlRoles"]["union"] == "ENABLE"
    change["definitions"]["base"]["properties"]["samlRoles"]["union"] = "YES"
    api.refused("POST", path, change, status=400, code="E0000001")


@pytest.mark.parametrize(
    "profile", [{"samlRoles": "Admin"}, {"samlRoles": [1]}, {"role": 5}, {"rolle": "x"}, []]
)
def test_a_profile_outside_the_schema_is_refused(api, org, app, profile):
    org.enable_api_integration(app, ["Admin"])
    path = f"/api/v1/apps/{app.id}/groups/{org.group('sre').id}"
    body = {"profile": profile or ["x"]}
    api.refused("PUT", path, body, status=400, code="E0000001")
