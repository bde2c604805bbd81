"""Group rules as Okta has them."""

import pytest

LANGUAGE = "urn:okta:expression:1.0"


def rule(name, expression, targets, exclude=()):
    return {
        "type": "group_rule",
        "name": name,
        "conditions": {
            "expression": {"type": LANGUAGE, "value": expression},
            "people": {"users": {"exclude": list(exclude)}},
        },
        "actions": {"assignUserToGroups": {"groupIds": targets}},
    }


def of(group):
    return f'isMemberOfAnyGroup("{group.id}")'


@pytest.fixture
def target(org):
    return org.add_group("aws#prod#Ops#123456789012")


@pytest.fixture
def created(api, org, target):
    return api.json("POST", "/api/v1/groups/rules", rule("r1", of(org.group("sre")), [target.id]))


@pytest.fixture
def path(created):
    return f"/api/v1/groups/rules/{created['id']}"


def members(api, group):
    found = api.json("GET", f"/api/v1/groups/{group.id}/users")
    return sorted(user["profile"]["firstName"] for user in found)


def test_a_rule_does_nothing_until_it_is_activated(api, target, created, path):
    assert created["id"].startswith("0pr")
    assert created["status"] == "INACTIVE"
    assert created["allGroupsValid"] is True
    assert members(api, target) == []
    api.json("POST", f"{path}/lifecycle/activate", status=204)
    assert api.json("GET", path)["status"] == "ACTIVE"
    assert members(api, target) == ["Ada", "Max"]


def test_a_rule_takes_its_time(api, org, world, target, path):
    world.switches.rule_delay = 30
    api.json("POST", f"{path}/lifecycle/activate", status=204)
    assert members(api, target) == []
    world.clock.advance(31)
    assert members(api, target) == ["Ada", "Max"]
    ada = org.user("ada")
    api.json("DELETE", f"/api/v1/groups/{org.group('sre').id}/users/{ada.id}", status=204)
    assert members(api, target) == ["Ada", "Max"]
    world.clock.advance(31)
    assert members(api, target) == ["Max"]


def test_only_an_inactive_rule_can_be_updated(api, org, target, path):
    body = rule("r2", of(org.group("sre")), [target.id])
    api.json("POST", f"{path}/lifecycle/activate", status=204)
    api.refused("PUT", path, body, status=400, code="E0000001")
    api.json("POST", f"{path}/lifecycle/deactivate", status=204)
    assert api.json("PUT", path, body)["name"] == "r2"


def test_target_groups_never_change(api, org, target, path):
    other = org.add_group("other")
    for targets in ([other.id], [target.id, other.id]):
        body = rule("r1", of(org.group("sre")), targets)
        found = api.refused("PUT", path, body, status=400, code="E0000001")
        assert "actions" in found["errorSummary"]


def test_names_are_unique_and_short(api, org, target, created):
    expression = of(org.group("sre"))
    for name in ("r1", "", "x" * 51):
        body = rule(name, expression, [target.id])
        api.refused("POST", "/api/v1/groups/rules", body, status=400, code="E0000001")
    api.json("POST", "/api/v1/groups/rules", rule("x" * 50, expression, [target.id]))


def test_one_to_a_hundred_targets_that_exist(api, org):
    expression = of(org.group("sre"))
    ids = [org.add_group(f"t{number}").id for number in range(101)]
    for targets in ([], ids, ["00gNone"], [org.everyone.id]):
        body = rule("r", expression, targets)
        api.refused("POST", "/api/v1/groups/rules", body, status=400, code="E0000001")
    api.json("POST", "/api/v1/groups/rules", rule("r", expression, ids[:100]))


def test_exclusions_must_be_people_and_few(api, org, target):
    expression = of(org.group("sre"))
    for exclude in (["00uNone"], [org.user("ada").id] * 101):
        body = rule("r", expression, [target.id], exclude)
        api.refused("POST", "/api/v1/groups/rules", body, status=400, code="E0000001")


@pytest.mark.parametrize(
    "change",
    [
        {"type": "user_rule"},
        {"conditions": {}},
        {"actions": {}},
        {"conditions": {"expression": {"type": "urn:okta:expression:2.0", "value": "x"}}},
    ],
)
def test_half_a_rule_is_refused(api, org, target, change):
    body = {**rule("r", of(org.group("sre")), [target.id]), **change}
    api.refused("POST", "/api/v1/groups/rules", body, status=400, code="E0000001")


@pytest.mark.parametrize("gone", ["target", "source"])
def test_a_rule_becomes_invalid_when_a_group_of_it_disappears(api, org, target, path, gone):
    api.json("POST", f"{path}/lifecycle/activate", status=204)
    group = target if gone == "target" else org.group("sre")
    api.json("DELETE", f"/api/v1/groups/{group.id}", status=204)
    found = api.json("GET", path)
    assert found["status"] == "INVALID"
    assert found["allGroupsValid"] is (gone == "source")
    assert target.id in found["actions"]["assignUserToGroups"]["groupIds"]
    for verb in ("activate", "deactivate"):
        api.refused("POST", f"{path}/lifecycle/{verb}", status=400, code="E0000001")
    if gone == "source":
        assert members(api, target) == ["Ada", "Max"]
    api.json("DELETE", path, status=202)


def test_taking_out_a_member_by_hand_excludes_the_person_from_the_rule(api, org, target, path):
    api.json("POST", f"{path}/lifecycle/activate", status=204)
    ada = org.user("ada")
    api.json("DELETE", f"/api/v1/groups/{target.id}/users/{ada.id}", status=204)
    assert members(api, target) == ["Max"]
    assert api.json("GET", path)["conditions"]["people"]["users"]["exclude"] == [ada.id]
    org.leave("ada@acme.example", "sre")
    org.join("ada@acme.example", "sre")
    assert members(api, target) == ["Max"]


def test_an_exclusion_holds_for_every_target_of_the_rule(api, org, target):
    other = org.add_group("other")
    body = rule("r", of(org.group("sre")), [target.id, other.id])
    known = api.json("POST", "/api/v1/groups/rules", body)
    path = f"/api/v1/groups/rules/{known['id']}"
    api.json("POST", f"{path}/lifecycle/activate", status=204)
    assert members(api, other) == ["Ada", "Max"]
    api.json("DELETE", f"/api/v1/groups/{target.id}/users/{org.user('ada').id}", status=204)
    assert members(api, other) == ["Max"]


def test_deactivating_and_deleting_leaves_the_members(api, org, target, path):
    api.json("POST", f"{path}/lifecycle/activate", status=204)
    api.refused("DELETE", path, status=400, code="E0000001")
    api.json("POST", f"{path}/lifecycle/deactivate", status=204)
    org.leave("ada@acme.example", "sre")
    assert members(api, target) == ["Ada", "Max"]
    api.json("DELETE", path, status=202)
    assert members(api, target) == ["Ada", "Max"]
    api.refused("GET", path, status=404, code="E0000007")


def test_deleting_with_remove_users_takes_the_members_along(api, org, target, path):
    org.join("eve@acme.example", target.name)
    api.json("POST", f"{path}/lifecycle/activate", status=204)
    assert members(api, target) == ["Ada", "Eve", "Max"]
    api.json("POST", f"{path}/lifecycle/deactivate", status=204)
    api.json("DELETE", f"{path}?removeUsers=true", status=202)
    assert members(api, target) == ["Eve"]


def test_a_rule_takes_over_members_that_were_added_by_hand(api, org, target, path):
    org.join("ada@acme.example", target.name)
    api.json("POST", f"{path}/lifecycle/activate", status=204)
    assert members(api, target) == ["Ada", "Max"]
    org.leave("ada@acme.example", "sre")
    assert members(api, target) == ["Max"]


def test_two_rules_hold_a_member_twice(api, org, target, path):
    twin = api.json("POST", "/api/v1/groups/rules", rule("r2", of(org.group("sre")), [target.id]))
    second = f"/api/v1/groups/rules/{twin['id']}"
    for known in (path, second):
        api.json("POST", f"{known}/lifecycle/activate", status=204)
    api.json("POST", f"{path}/lifecycle/deactivate", status=204)
    api.json("DELETE", f"{path}?removeUsers=true", status=202)
    assert members(api, target) == ["Ada", "Max"]


def test_rules_cascade(api, org, target, path):
    last = org.add_group("last")
    body = rule("r2", of(target), [last.id])
    second = f"/api/v1/groups/rules/{api.json('POST', '/api/v1/groups/rules', body)['id']}"
    for known in (second, path):
        api.json("POST", f"{known}/lifecycle/activate", status=204)
    assert members(api, last) == ["Ada", "Max"]


def test_people_who_cannot_sign_in_are_not_brought_in(api, org, target, path):
    org.add_user("new@acme.example", None, first="New", last="N", groups=("sre",), status="STAGED")
    api.json("POST", f"{path}/lifecycle/activate", status=204)
    assert members(api, target) == ["Ada", "Max"]


def test_only_super_and_organization_administrators_edit_rules(api, org, target, path):
    body = rule("r2", of(org.group("sre")), [target.id])
    api.token = org.add_api_token("USER_ADMIN")
    assert api.json("GET", path)["name"] == "r1"
    api.refused("POST", "/api/v1/groups/rules", body, status=403, code="E0000006")
    api.refused("POST", f"{path}/lifecycle/activate", status=403, code="E0000006")
    api.refused("DELETE", path, status=403, code="E0000006")
    api.token = org.add_api_token("ORG_ADMIN")
    api.json("POST", "/api/v1/groups/rules", body)


def test_rule_changes_may_meet_a_reconciliation(api, org, path):
    org.reconcile_share = 1.0
    api.refused("POST", f"{path}/lifecycle/activate", status=423, code="E0000239")
    assert api.json("GET", path)["status"] == "INACTIVE"


def test_group_names_are_embedded_on_request(api, target, path):
    found = api.json("GET", f"{path}?expand=groupIdToGroupNameMap")
    assert found["_embedded"]["groupIdToGroupNameMap"] == {target.id: target.name}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('isMemberOfGroup("{sre}")', {"Ada", "Max"}),
        ('isMemberOfGroupName("sre")', {"Ada", "Max"}),
        ('isMemberOfAnyGroup("{sre}", "{dev}")', {"Ada", "Max", "Eve"}),
        ('!isMemberOfGroup("{sre}")', {"Eve"}),
        ('isMemberOfGroup("{sre}") and not (user.firstName == "Ada")', {"Max"}),
        ('user.lastName=="Moss" OR user.firstName == "Max"', {"Eve", "Max"}),
        ('user.firstName != "Ada" && user.login != "eve@acme.example"', {"Max"}),
        ('user.department == ""', {"Ada", "Max", "Eve"}),
    ],
)
def test_expressions(api, org, target, expression, expected):
    org.join("eve@acme.example", "dev")
    text = expression.format(sre=org.group("sre").id, dev=org.group("dev").id)
    found = api.json("POST", "/api/v1/groups/rules", rule("r", text, [target.id]))
    api.json("POST", f"/api/v1/groups/rules/{found['id']}/lifecycle/activate", status=204)
    assert set(members(api, target)) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "true",
        'isMemberOfGroup("00gNone")',
        "isMemberOfGroup(00g)",
        'isMemberOfGroup("a","b")',
        'isMemberOfGroup("a"',
        'String.startsWith(user.login, "a")',
        'user.login == "a" and',
        'user.login = "a"',
        '(user.login == "a"',
        'user.login == "a" user.login == "b"',
        'user["login"] == "a"',
        'isMemberOfGroupNameRegex("/.*/")',
        'user.login == "' + "x" * 5000 + '"',
    ],
)
def test_expressions_outside_the_subset_are_refused(api, target, expression):
    body = rule("r", expression, [target.id])
    api.refused("POST", "/api/v1/groups/rules", body, status=400, code="E0000001")
