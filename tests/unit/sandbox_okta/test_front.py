"""What every call meets: authentication, paths, headers, pages, limits and the world's switches."""

import pytest

from ostiary.sandbox.http import ConnectionLost, Request
from ostiary.sandbox.okta import front
from ostiary.sandbox.okta.state import OktaOrg


def test_a_call_without_a_credential_has_no_session(browser):
    browser.refused("GET", "/api/v1/users", status=403, code="E0000005")


def test_a_wrong_token_is_refused_even_where_none_is_needed(browser):
    browser.token = "00wrong"
    browser.refused("GET", "/api/v1/users", status=401, code="E0000011")


def test_unknown_paths_methods_and_bodies(api):
    api.refused("GET", "/api/v1/nothing", status=404, code="E0000008")
    api.refused("PATCH", "/api/v1/users", status=405, code="E0000022")
    api.refused("POST", "/api/v1/groups", ["x"], status=400, code="E0000003")
    found = api.refused("GET", "/api/v1/groups/00gNone", status=404, code="E0000007")
    assert found["errorSummary"] == "Not found: Resource not found: 00gNone (UserGroup)"
    assert found["errorId"].startswith("oae")


def test_a_body_that_is_no_json(api, world):
    headers = (("authorization", f"SSWS {api.token}"),)
    for body in (b"{x", b"[" * 100_000):
        request = Request("POST", "/api/v1/groups", headers, body, "https://a")
        response = front.handle(world, request)
        assert response.status == 400
        assert b"E0000003" in response.body


@pytest.mark.parametrize(
    ("role", "call", "status"),
    [
        ("READ_ONLY_ADMIN", "GET /api/v1/groups", 200),
        ("READ_ONLY_ADMIN", "POST /api/v1/groups", 403),
        ("APP_ADMIN", "GET /api/v1/apps", 200),
        ("APP_ADMIN", "POST /api/v1/groups", 403),
        ("ORG_ADMIN", "POST /api/v1/groups", 200),
        ("ORG_ADMIN", "POST /api/v1/apps", 403),
        ("USER_ADMIN", "POST /api/v1/groups", 200),
        ("GROUP_MEMBERSHIP_ADMIN", "GET /api/v1/apps", 403),
        ("REPORT_ADMIN", "GET /api/v1/logs", 200),
    ],
)
def test_a_token_acts_as_its_administrator(api, org, role, call, status):
    api.token = org.add_api_token(role)
    assert api.send(*call.split(), {"profile": {"name": "x"}}).status == status


def test_a_token_tells_whose_it_is_and_what_role_that_is(api, org):
    owner = api.json("GET", "/api/v1/users/me")
    (role,) = api.json("GET", f"/api/v1/users/{owner['id']}/roles")
    assert role["type"] == "SUPER_ADMIN"
    assert api.json("GET", f"/api/v1/users/{org.user('ada').id}/roles") == []
    assert owner["id"] not in [user["id"] for user in api.json("GET", "/api/v1/users")]
    api.refused("GET", "/api/v1/users/00uNone/roles", status=404, code="E0000007")


def test_every_answer_carries_date_request_id_and_limits(api, world):
    response = api.send("GET", "/api/v1/groups")
    assert api.header(response, "date") == "Mon, 21 Sep 2026 14:13:20 GMT"
    assert len(api.header(response, "x-okta-request-id")) == 32
    assert api.header(response, "x-rate-limit-limit") == "5000"
    assert api.header(response, "x-rate-limit-remaining") == "4999"
    assert int(api.header(response, "x-rate-limit-reset")) > world.clock.now()


def test_calls_are_written_down(api, world):
    api.send("GET", "/api/v1/groups/00gNone")
    assert world.calls[-1] == ("okta", "GET /api/v1/groups/{group}", "acme")


def test_pages_have_two_link_lines_and_opaque_cursors(api, org):
    for number in range(5):
        org.add_group(f"g{number}")
    names, target, pages = [], "/api/v1/groups?limit=3", 0
    while target:
        response = api.send("GET", target)
        assert [name for name, _ in response.headers].count("link") in (1, 2)
        links = api.links(response)
        assert links["self"] == target
        names += [group["profile"]["name"] for group in api.json("GET", target)]
        target = links.get("next")
        pages += 1
        if pages == 1:
            org.add_group("late")
    assert pages == 3
    assert names == ["Everyone", "sre", "g0", "g1", "g2", "g3", "g4", "late"]


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=-1", "after=made-up"])
def test_wrong_page_parameters_are_refused(api, query):
    api.refused("GET", f"/api/v1/groups?{query}", status=400, code="E0000001")


def test_a_limit_over_the_maximum_is_cut(api, org):
    for number in range(220):
        org.add_app("amazon_aws", f"App {number}")
    assert len(api.json("GET", "/api/v1/apps?limit=500")) == 200
    assert len(api.json("GET", "/api/v1/apps")) == 20


def test_half_of_a_bucket_belongs_to_one_token(api, org, world):
    org.scale = 1.0
    path = "/api/v1/apps"
    for left in range(49, -1, -1):
        response = api.send("GET", path)
        assert response.status == 200
        assert api.header(response, "x-rate-limit-remaining") == str(left)
    response = api.send("GET", path)
    assert response.status == 429
    assert b"E0000047" in response.body
    assert api.header(response, "x-rate-limit-remaining") == "0"
    assert api.send("GET", "/api/v1/groups").status == 200
    reset = int(api.header(response, "x-rate-limit-reset"))
    world.clock.advance(reset - world.clock.now())
    assert api.send("GET", path).status == 200


def test_two_tokens_share_the_whole_bucket(api, org):
    org.scale = 1.0
    org.profile = "integrator"
    other = org.add_api_token()
    answers = []
    for token in (api.token, other):
        api.token = token
        answers.append([api.send("GET", "/api/v1/apps").status for _ in range(11)])
    assert answers == [[200] * 10 + [429]] * 2


def test_a_call_below_one_app_counts_in_the_bucket_of_all_apps(api, org):
    org.scale = 1.0
    app = org.add_app("amazon_aws", "AWS")
    one = api.send("GET", f"/api/v1/apps/{app.id}")
    assert api.header(one, "x-rate-limit-limit") == "250"
    below = api.send("GET", f"/api/v1/apps/{app.id}/groups")
    assert api.header(below, "x-rate-limit-limit") == "50"


def test_throttling_by_the_world_has_no_effect(api, world, org):
    world.switches.throttle_share = 1.0
    body = {"profile": {"name": "x"}}
    api.refused("POST", "/api/v1/groups", body, status=429, code="E0000047")
    world.switches.throttle_share = 0.0
    assert all(group.name != "x" for group in org.groups.values())


def test_a_lost_answer_had_its_effect(api, world, org):
    world.switches.lost_answer_share = 1.0
    with pytest.raises(ConnectionLost):
        api.send("POST", "/api/v1/groups", {"profile": {"name": "x"}})
    assert any(group.name == "x" for group in org.groups.values())
    assert api.send("GET", "/api/v1/groups").status == 200


def test_a_list_can_break_after_its_first_page(api, world, org):
    org.add_group("x")
    world.switches.cut_page_share = 1.0
    following = api.links(api.send("GET", "/api/v1/groups?limit=1"))["next"]
    with pytest.raises(ConnectionLost):
        api.send("GET", following)


def test_the_log_always_has_a_next_link_and_ends_with_an_empty_page(api, org):
    api.json("POST", "/api/v1/groups", {"profile": {"name": "x"}})
    wanted = "/api/v1/logs?filter=eventType%20eq%20%22group.lifecycle.create%22"
    first = api.send("GET", wanted)
    following = api.links(first)["next"]
    assert b"group.lifecycle.create" in first.body
    second = api.send("GET", following)
    assert second.body == b"[]"
    api.json("POST", "/api/v1/groups", {"profile": {"name": "y"}})
    again = api.links(second)["next"]
    assert api.json("GET", again)[0]["target"][0]["displayName"] == "y"


def test_ids_are_the_same_in_every_world_of_one_seed(org, world):
    again = OktaOrg(world)
    assert again.api_token == org.api_token
    assert again.everyone.id == org.everyone.id


def test_secrets_do_not_show_themselves(org):
    ada = org.user("ada")
    assert "pass-ada" not in repr(ada)
    assert org.api_token not in repr(org)
