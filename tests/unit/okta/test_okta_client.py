"""Pages, retries and lost answers of the Okta client."""

import json

import httpx2
import pytest
from okta_world import make_client

from ostiary.errors import Conflict, Denied, NotFound, Throttled, Unreachable, UsageError
from ostiary.okta.auth import Ssws
from ostiary.okta.client import OktaClient

URL = "https://acme.okta.com"


class Scripted(httpx2.BaseTransport):
    """Answers from a list: responses, exceptions to raise, or functions of the request."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def handle_request(self, request):
        request.read()
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer


def scripted(*answers, **settings):
    transport = Scripted(*answers)
    naps = []
    client = OktaClient(
        URL, Ssws("t0ken"), transport=transport, clock=lambda: 0.0, sleep=naps.append, **settings
    )
    return client, transport, naps


def page(items, *links):
    return httpx2.Response(200, json=items, headers=[("link", link) for link in links])


def problem(status, code, summary="no", causes=(), **headers):
    body = {
        "errorCode": code,
        "errorSummary": summary,
        "errorId": "oae1",
        "errorCauses": [{"errorSummary": cause} for cause in causes],
    }
    return httpx2.Response(status, json=body, headers={"x-okta-request-id": "req1", **headers})


def ids(items):
    return [item["id"] for item in items]


class TestPages:
    def test_two_separate_link_headers(self):
        client, transport, _ = scripted(
            page(
                [{"id": "a"}],
                f'<{URL}/api/v1/groups?limit=1>; rel="self"',
                f'<{URL}/api/v1/groups?after=x&limit=1>; rel="next"',
            ),
            page([{"id": "b"}], f'<{URL}/api/v1/groups?after=x&limit=1>; rel="self"'),
        )
        assert ids(client.paginate("/groups", {"limit": 1})) == ["a", "b"]
        assert str(transport.requests[1].url) == f"{URL}/api/v1/groups?after=x&limit=1"

    def test_one_joined_link_header(self):
        joined = f'<{URL}/api/v1/groups>; rel="self", <{URL}/api/v1/groups?after=x>; rel="next"'
        client, _, _ = scripted(page([{"id": "a"}], joined), page([{"id": "b"}]))
        assert ids(client.paginate("/groups")) == ["a", "b"]

    def test_the_token_never_goes_to_another_host(self):
        client, transport, _ = scripted(
            page([{"id": "a"}], '<https://evil.example/api/v1/groups?after=x>; rel="next"'),
            page([]),
        )
        list(client.paginate("/groups"))
        assert {request.url.host for request in transport.requests} == {"acme.okta.com"}

    @pytest.mark.parametrize(
        ("second", "says"),
        [
            (httpx2.Response(200, html="<h1>Sorry</h1>"), "not JSON"),
            (httpx2.Response(200, content=b'[{"id": "b"'), "not JSON"),
            (httpx2.Response(200, json={"id": "b"}), "not a list"),
            (httpx2.Response(200, content=b""), "not JSON"),
            (page([{"id": "b"}], f'<{URL}/api/v1/groups?after=x>; rel="next"'), "already read"),
        ],
        ids=["html", "truncated", "no list", "empty", "repeated cursor"],
    )
    def test_a_broken_page_is_no_short_list(self, second, says):
        first = page([{"id": "a"}], f'<{URL}/api/v1/groups?after=x>; rel="next"')
        client, _, _ = scripted(first, second)
        with pytest.raises(Unreachable, match=says):
            list(client.paginate("/groups"))

    def test_a_list_without_end_is_given_up(self):
        def endless(request):
            number = int(request.url.params.get("after", "0")) + 1
            return page([], f'<{URL}/api/v1/groups?after={number}>; rel="next"')

        client, transport, _ = scripted(*[endless] * 5)
        with pytest.raises(Unreachable, match="did not end after 5 pages"):
            list(client.paginate("/groups", max_pages=5))
        assert len(transport.requests) == 5

    def test_pages_of_the_sandbox(self, world, client):
        for number in range(7):
            world.okta.add_group(f"g{number}")
        found = client.paginate("/groups", {"limit": 2})
        assert len(list(found)) == len(world.okta.groups)

    def test_a_cut_page_of_the_sandbox(self, world, client):
        world.switches.cut_page_share = 1.0
        with pytest.raises(Unreachable):
            list(client.paginate("/groups", {"limit": 2}))


class TestRetries:
    @pytest.mark.parametrize(
        "refusal",
        [
            problem(503, "E0000010"),
            problem(423, "E0000239"),
            problem(429, "E0000047"),
            problem(
                429,
                "E0000047",
                **{
                    "x-rate-limit-limit": "0",
                    "x-rate-limit-remaining": "0",
                    "x-rate-limit-reset": "50",
                },
            ),
        ],
        ids=["read-only", "reconciling", "no headers", "concurrency"],
    )
    def test_a_refusal_is_repeated_after_a_pause(self, refusal):
        client, transport, naps = scripted(refusal, refusal, httpx2.Response(200, json={"id": "a"}))
        assert client.post("/groups", {"x": 1}) == {"id": "a"}
        assert len(transport.requests) == 3
        assert len(naps) == 2
        assert all(0 < nap <= 2 for nap in naps)

    def test_but_not_for_ever(self):
        client, transport, _ = scripted(*[problem(423, "E0000239")] * 25)
        with pytest.raises(Throttled):
            client.post("/groups/rules", {})
        assert len(transport.requests) == 20

    def test_a_lost_read_is_repeated(self):
        lost = httpx2.ReadError("reset")
        client, _, _ = scripted(lost, lost, httpx2.Response(200, json=[]))
        assert client.get("/groups") == []

    def test_a_lost_write_is_not(self):
        client, transport, _ = scripted(httpx2.ReadError("reset"))
        with pytest.raises(Unreachable) as caught:
            client.post("/groups", {})
        assert caught.value.maybe_done
        assert len(transport.requests) == 1

    def test_a_write_that_never_left_is_repeated(self):
        refused = httpx2.ConnectError("refused")
        client, _, _ = scripted(*[refused] * 5)
        with pytest.raises(Unreachable) as caught:
            client.post("/groups", {})
        assert not caught.value.maybe_done

    def test_a_bare_503_to_a_create_may_hide_that_it_was_done(self):
        client, transport, _ = scripted(httpx2.Response(503, html="<h1>bad gateway</h1>"))
        with pytest.raises(Unreachable) as caught:
            client.post("/apps", {})
        assert caught.value.maybe_done
        assert len(transport.requests) == 1

    def test_lost_answers_of_the_sandbox(self, world, client):
        world.switches.lost_answer_share = 1.0
        with pytest.raises(Unreachable) as caught:
            client.post("/groups", {"profile": {"name": "g", "description": "d"}})
        assert caught.value.maybe_done
        assert [group.name for group in world.okta.groups.values()].count("g") == 1


class TestErrors:
    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (problem(401, "E0000011", "Invalid token provided"), Denied),
            (problem(403, "E0000006"), Denied),
            (problem(404, "E0000007"), NotFound),
            (problem(409, "E0000001"), Conflict),
            (
                problem(400, "E0000001", "Api validation failed", ["name: already exists"]),
                Conflict,
            ),
            (problem(400, "E0000001", "Api validation failed", ["name: too long"]), UsageError),
            (problem(500, "E0000009"), Unreachable),
        ],
    )
    def test_each_has_its_place_in_the_tree(self, answer, kind):
        client, _, _ = scripted(answer)
        with pytest.raises(kind) as caught:
            client.post("/groups", {}, what="cannot create group g")
        assert type(caught.value) is kind
        assert caught.value.what == "cannot create group g"
        assert caught.value.fix
        assert json.loads(answer.content)["errorCode"] == caught.value.code

    def test_all_causes_and_the_request_are_quoted(self):
        client, _, _ = scripted(problem(400, "E0000001", "failed", ["one", "two"]))
        with pytest.raises(UsageError) as caught:
            client.post("/groups", {})
        assert caught.value.why == "E0000001: failed; one; two (request req1)"

    def test_a_missing_scope_is_named(self):
        challenge = 'Bearer error="insufficient_scope", scope="okta.groups.manage"'
        client, _, _ = scripted(problem(403, "E0000006", **{"www-authenticate": challenge}))
        with pytest.raises(Denied) as caught:
            client.post("/groups", {})
        assert "okta.groups.manage" in caught.value.fix

    def test_no_secret_in_any_error(self, world):
        client = make_client(world, auth=Ssws("00canary"))
        with pytest.raises(Denied) as caught:
            client.get("/groups")
        shown = f"{caught.value!r}{caught.value}{caught.value.as_json()}{Ssws('00canary')!r}"
        assert "canary" not in shown


def test_unknown_keys_survive_a_change(world, client):
    app = world.okta.add_app("amazon_aws", "AWS")
    path = f"/apps/{app.id}"
    client.put(path, {**client.get(path), "madeUp": {"deep": [1, None]}, "label": "AWS 2"})
    found = client.get(path)
    assert found["label"] == "AWS 2"
    assert found["madeUp"] == {"deep": [1, None]}


def test_names_in_paths_are_quoted(client):
    with pytest.raises(NotFound):
        client.get("/users/a%2Fb%23c")
