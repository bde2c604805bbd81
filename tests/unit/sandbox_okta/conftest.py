"""An org and a client that speaks to it without a socket."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest

from ostiary.sandbox.http import Request, Response
from ostiary.sandbox.okta import front, totp
from ostiary.sandbox.okta.signing import SigningKey
from ostiary.sandbox.okta.state import OktaOrg
from ostiary.sandbox.world import World

ORIGIN = "https://acme.okta.com"
SECRET = "JBSWY3DPEHPK3PXP"


@dataclass
class Client:
    """Sends requests with a token (or cookies) and reads JSON."""

    world: World
    token: str = ""
    cookies: dict = field(default_factory=dict)
    scheme: str = "SSWS"

    def send(self, method, target, body=None, *, form=None, headers=()) -> Response:
        sent = [*headers]
        if self.token:
            sent.append(("authorization", f"{self.scheme} {self.token}"))
        if self.cookies:
            sent.append(("cookie", "; ".join(f"{k}={v}" for k, v in self.cookies.items())))
        data = b"" if body is None else json.dumps(body).encode()
        if form is not None:
            data = urlencode(form).encode()
        response = front.handle(self.world, Request(method, target, tuple(sent), data, ORIGIN))
        for name, value in response.headers:
            if name == "set-cookie":
                key, _, content = value.split(";")[0].partition("=")
                self.cookies[key] = content
        return response

    def json(self, method, target, body=None, *, status=200, **rest):
        response = self.send(method, target, body, **rest)
        assert response.status == status, response.body
        return json.loads(response.body or b"null")

    def refused(self, method, target, body=None, *, status, code, **rest):
        """The error body of a refusal."""
        found = self.json(method, target, body, status=status, **rest)
        assert found["errorCode"] == code, found
        assert set(found) == {
            "errorCode",
            "errorSummary",
            "errorLink",
            "errorId",
            "errorCauses",
        }
        return found

    @staticmethod
    def form(response: Response) -> Form:
        return Form(response)

    @staticmethod
    def header(response: Response, name: str) -> str:
        return header(response, name)

    @staticmethod
    def links(response: Response) -> dict:
        """The Link headers, each on its own line: relation -> path."""
        found = {}
        for name, value in response.headers:
            if name == "link":
                target, _, relation = value.partition("; rel=")
                found[relation.strip('"')] = target.strip("<>").removeprefix(ORIGIN)
        return found

    def passcode(self, steps: int = 0) -> str:
        """Max's code now, or some steps from now."""
        return totp.code(SECRET, int(self.world.clock.now()) // totp.STEP + steps)

    def follow(self, response: Response) -> Response:
        while response.status in (302, 303):
            response = self.send("GET", header(response, "location").removeprefix(ORIGIN))
        return response


def header(response: Response, name: str) -> str:
    return next((value for key, value in response.headers if key == name), "")


class Form(HTMLParser):
    """The first form of a page: its action and the values of its inputs."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.action, self.fields = "", {}
        self.feed(response.body.decode())

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag == "form" and values.get("action") != "/login/signout":
            self.action = self.action or values["action"]
        if tag == "input":
            self.fields[values["name"]] = values.get("value", "")


@pytest.fixture(scope="session")
def token_key():
    """One key for every org: making one costs a tenth of a second."""
    return SigningKey("k" * 43, "acme", 1_790_000_000, 10)


@pytest.fixture
def world(token_key):
    world = World()
    world.clock.freeze(1_790_000_000)
    org = OktaOrg(world)
    world.okta = org
    org.token_key = token_key
    org.add_user("ada@acme.example", "pass-ada", first="Ada", last="Byron", groups=("sre",))
    org.add_user(
        "max@acme.example",
        "pass-max",
        first="Max",
        last="Weber",
        totp_secret=SECRET,
        groups=("sre",),
    )
    org.add_user("eve@acme.example", "pass-eve", first="Eve", last="Moss")
    return world


@pytest.fixture
def org(world):
    return world.okta


@pytest.fixture
def api(world):
    return Client(world, world.okta.api_token)


@pytest.fixture
def browser(world):
    return Client(world)
