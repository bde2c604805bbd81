"""Pacing by Okta's own headers, with a clock that may be wrong."""

from email.utils import formatdate

import httpx2
import pytest

from ostiary.errors import Throttled
from ostiary.okta.auth import Ssws
from ostiary.okta.client import OktaClient
from ostiary.okta.limits import bucket

START = 1_800_000_000.0


class Limited(httpx2.BaseTransport):
    """An endpoint with a limit per window of 60 s, by its own clock."""

    def __init__(self, limit, *, used=0):
        self.limit = limit
        self.used = used
        self.now = START
        self.reset = START + 30
        self.answered = []  # (time, status)
        self.lowest = limit

    def sleep(self, seconds):
        self.now += seconds

    def handle_request(self, request):
        if self.now >= self.reset:
            self.used, self.reset = 0, self.now + 60
        refused = self.used >= self.limit
        self.used += not refused
        self.lowest = min(self.lowest, self.limit - self.used)
        status = 429 if refused else 200
        self.answered.append((self.now, status))
        headers = {
            "date": formatdate(self.now, usegmt=True),
            "x-rate-limit-limit": str(self.limit),
            "x-rate-limit-remaining": str(self.limit - self.used),
            "x-rate-limit-reset": str(int(self.reset)),
        }
        return httpx2.Response(status, json={}, headers=headers)


def client_of(transport, *, skew=0.0, **settings):
    return OktaClient(
        "https://acme.okta.com",
        Ssws("t"),
        transport=transport,
        clock=lambda: transport.now + skew,
        sleep=transport.sleep,
        **settings,
    )


@pytest.mark.parametrize("skew", [-90.0, 0.0, 90.0])
def test_after_a_429_nothing_is_sent_before_the_reset(skew):
    transport = Limited(10, used=10)
    client = client_of(transport, skew=skew)
    client.get("/groups")
    (first, refused), (second, answered) = transport.answered
    assert (refused, answered) == (429, 200)
    assert START + 30 <= second <= START + 33
    assert first == START


@pytest.mark.parametrize("skew", [-90.0, 0.0, 90.0])
def test_half_of_the_limit_stays_free(skew):
    transport = Limited(20)
    client = client_of(transport, skew=skew)
    for _ in range(45):
        client.get("/groups")
    assert transport.lowest >= 10
    assert {status for _, status in transport.answered} == {200}
    assert transport.now - START < 5 * 62


def test_the_share_is_a_choice():
    transport = Limited(20)
    client = client_of(transport, share=0.9)
    for _ in range(18):
        client.get("/groups")
    assert transport.now == START
    client.get("/groups")
    assert transport.now > START


def test_what_others_use_counts():
    transport = Limited(20, used=9)
    client = client_of(transport)
    client.get("/groups")
    client.get("/groups")
    assert transport.answered[1][0] > START + 30


def test_buckets_do_not_wait_for_each_other():
    transport = Limited(2)
    client = client_of(transport)
    client.get("/groups")
    client.get("/users")
    assert transport.now == START


def test_a_limit_that_never_opens_is_an_error():
    transport = Limited(0)
    client = client_of(transport)
    with pytest.raises(Throttled) as caught:
        client.get("/groups")
    assert caught.value.exit_code == 7


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/api/v1/apps", "GET /api/v1/apps"),
        ("GET", "/api/v1/apps/0oa1/groups/00g1", "GET /api/v1/apps/{}/groups/{}"),
        ("PUT", "/api/v1/groups/00g1/users/00u1", "write /api/v1/groups/{}/users/{}"),
        ("GET", "/api/v1/groups/rules/0pr1", "GET /api/v1/groups/rules/{}"),
        ("POST", "/oauth2/v1/token", "write /oauth2/v1/token"),
    ],
)
def test_buckets(method, path, name):
    assert bucket(method, path) == name
