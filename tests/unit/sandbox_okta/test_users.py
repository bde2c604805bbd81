"""People and their lifecycle."""

from urllib.parse import quote

import pytest

PROFILE = {
    "firstName": "Kay",
    "lastName": "Mann",
    "email": "kay@acme.example",
    "login": "kay@acme.example",
}


def test_a_person_is_created_with_groups(api, org):
    body = {
        "profile": {**PROFILE, "department": "Sales"},
        "credentials": {"password": {"value": "secret-1"}},
        "groupIds": [org.group("sre").id],
    }
    user = api.json("POST", "/api/v1/users?activate=true", body)
    assert user["id"].startswith("00u")
    assert user["status"] == "ACTIVE"
    assert user["credentials"]["password"] == {}
    groups = api.json("GET", f"/api/v1/users/{user['id']}/groups")
    assert [group["profile"]["name"] for group in groups] == ["Everyone", "sre"]
    assert api.json("GET", "/api/v1/users/kay")["profile"]["department"] == "Sales"


def test_staged_and_provisioned(api):
    body = {"profile": PROFILE}
    assert api.json("POST", "/api/v1/users?activate=false", body)["status"] == "STAGED"
    other = {"profile": {**PROFILE, "login": "kim@acme.example"}}
    assert api.json("POST", "/api/v1/users", other)["status"] == "PROVISIONED"


@pytest.mark.parametrize(
    "change", [{"login": "ada@acme.example"}, {"login": "kay"}, {"firstName": ""}]
)
def test_wrong_people_are_refused(api, change):
    body = {"profile": {**PROFILE, **change}}
    api.refused("POST", "/api/v1/users", body, status=400, code="E0000001")


def test_search_and_filter_see_the_deactivated_and_a_plain_list_does_not(api, org):
    api.json("POST", f"/api/v1/users/{org.user('eve').id}/lifecycle/deactivate")
    assert len(api.json("GET", "/api/v1/users")) == 2
    gone = "/api/v1/users?search=" + quote('status eq "DEPROVISIONED"')
    assert [user["profile"]["firstName"] for user in api.json("GET", gone)] == ["Eve"]
    one = "/api/v1/users?filter=" + quote('profile.login eq "ada@acme.example"')
    assert len(api.json("GET", one)) == 1
    assert len(api.json("GET", "/api/v1/users?q=Max")) == 1
    wrong = "/api/v1/users?filter=" + quote('profile.login sw "a"')
    api.refused("GET", wrong, status=400, code="E0000031")


@pytest.mark.parametrize(
    ("verbs", "status"),
    [
        (["suspend"], "SUSPENDED"),
        (["suspend", "unsuspend"], "ACTIVE"),
        (["deactivate"], "DEPROVISIONED"),
        (["deactivate", "activate"], "ACTIVE"),
    ],
)
def test_lifecycle(api, org, verbs, status):
    path = f"/api/v1/users/{org.user('ada').id}"
    for verb in verbs:
        api.json("POST", f"{path}/lifecycle/{verb}")
    assert api.json("GET", path)["status"] == status


@pytest.mark.parametrize("verb", ["unsuspend", "unlock"])
def test_a_step_from_the_wrong_status_is_refused(api, org, verb):
    path = f"/api/v1/users/{org.user('ada').id}/lifecycle"
    api.refused("POST", f"{path}/{verb}", status=403, code="E0000038")
    api.refused("POST", f"{path}/activate", status=403, code="E0000016")
    api.refused("POST", f"{path}/promote", status=404, code="E0000007")


def test_the_deactivated_lose_groups_assignments_and_sessions(api, org, browser):
    ada = org.user("ada")
    app = org.add_app("amazon_aws", "AWS")
    org.assign(app, "ada@acme.example")
    login = {"username": "ada@acme.example", "password": "pass-ada"}
    token = browser.json("POST", "/api/v1/authn", login)["sessionToken"]
    browser.json("POST", "/api/v1/sessions", {"sessionToken": token})
    assert browser.send("GET", "/api/v1/users/me").status == 200
    api.json("POST", f"/api/v1/users/{ada.id}/lifecycle/deactivate")
    browser.refused("GET", "/api/v1/users/me", status=403, code="E0000005")
    assert api.json("GET", f"/api/v1/apps/{app.id}/users") == []
    assert ada.id not in org.members(org.group("sre"))


def test_deleting_takes_two_calls(api, org):
    path = f"/api/v1/users/{org.user('eve').id}"
    api.json("DELETE", path, status=204)
    assert api.json("GET", path)["status"] == "DEPROVISIONED"
    api.json("DELETE", path, status=204)
    api.refused("GET", path, status=404, code="E0000007")


def test_a_profile_is_changed_or_replaced(api, org):
    path = f"/api/v1/users/{org.user('ada').id}"
    found = api.json("POST", path, {"profile": {"department": "R&D"}})
    assert found["profile"]["department"] == "R&D"
    assert "department" not in api.json("PUT", path, {"profile": PROFILE})["profile"]
    api.refused("PUT", path, {"profile": {"login": "x@y"}}, status=400, code="E0000001")
