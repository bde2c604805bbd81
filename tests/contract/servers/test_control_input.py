"""Whatever is sent, the answer is never a 5xx, and nothing of it grows without bound."""

import http.client
import importlib.util
import json
import resource
import socket
import time
from urllib.parse import urlsplit

import pytest
from control_world import ADMINS, ControlWorld, Refused
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgres_world import new_database
from tables_world import template
from uvicorn.protocols.http import auto
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ostiary.doors.servers.control import app, incoming, limits, patience, serve
from ostiary.doors.servers.wire.admin import Rule, Status
from ostiary.errors import Throttled

STRANGERS = ("/v1/sign-in", "/v1/machines/sign-in")  # who have proven nothing
NO_JSON = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"1e400",
    b"[1,]",
    b'{"v":1,}',
    b"{'v':1}",
    b'{"v":NaN}',
    b'{"v":Infinity}',
    b'\xef\xbb\xbf{"v":1}',
    b"\xff\xfe{\x00}\x00",
    b'{"v":1}x',
    b'{"v":1,"a":"\x00"}',
    b'{"v":1,"a":"\\ud800"}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"v":' + b"9" * 5000 + b"}",
]


def filled(url, folder):
    """A control plane with a project and a server."""
    world = ControlWorld(url, folder)
    world.project("prod", [Rule("group:sre", login=True)])
    world.web = world.server("web1")
    world.by = world.person("fuzz@acme.example", [ADMINS, "sre"])
    world.database = url.partition(":")[0]
    return world


@pytest.fixture(scope="module")
def module_world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("control")
    world = filled(f"sqlite:///{folder}/c.db", folder)
    yield world
    world.close()


@pytest.fixture(scope="module")
def module_postgres(tmp_path_factory, cluster):
    with new_database(cluster, template(cluster)) as url:
        world = filled(url, tmp_path_factory.mktemp("control"))
        yield world
        world.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def served(request):
    """On each kind of database: what reaches it is refused by each in its own way."""
    kinds = {"sqlite": "module_world", "postgresql": "module_postgres"}
    return request.getfixturevalue(kinds[request.param])


def sent(world, client, method, path, body):
    headers = client.headers(method, path, body)
    if path.startswith("/v1/hosts/"):
        headers["Ostiary-Host"] = world.web.header(method, path, body)
    return client.raw(method, path, body, headers)


def posts(world):
    """The routes of the application that take a body, with the message that they take."""
    for endpoint in (route.endpoint.endpoint for route in world.application.others.routes):
        if endpoint.takes is not None:
            path = endpoint.path.replace("{name}", "prod").replace("{id}", world.web.id)
            yield endpoint.method, path, endpoint.takes


def test_machines_and_preauthorizations_are_among_the_routes(module_world):
    paths = {path for _, path, _ in posts(module_world)}
    assert {"/v1/machines/sign-in", "/v1/projects/prod/preauthorizations"} <= paths


@pytest.mark.parametrize("body", NO_JSON, ids=range(len(NO_JSON)))
def test_what_is_no_message_is_a_400(served, body):
    world, by = served, served.by
    for method, path, _ in posts(world):
        status, _, answer = sent(world, by, method, path, body)
        large = path in STRANGERS and len(body) > incoming.SMALL
        told = (status, json.loads(answer)["code"])
        assert told == ((413, "too-large") if large else (400, "bad-message")), (method, path)


WORDS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["", "prod", "web1", "login", "hop", "user", "begin", "finish", "group:sre"]),
    st.sampled_from(["\u202e", "a\nb", "A" * 70_000, "'; drop table servers; --", "%s%n", "../.."]),
)
NUMBERS = st.one_of(
    st.integers(), st.sampled_from([0, 1, -1, 2**31, 2**63, 2**64, 10**30]), st.booleans()
)
REALS = st.one_of(st.floats(), NUMBERS)


def values(kind, depth=0):
    """JSON for a type of a message, mostly right and sometimes not."""
    import dataclasses  # noqa: PLC0415
    import typing  # noqa: PLC0415

    if dataclasses.is_dataclass(kind):
        types = typing.get_type_hints(kind)
        members = {one.name: values(types[one.name], depth + 1) for one in dataclasses.fields(kind)}
        needed = {
            one.name
            for one in dataclasses.fields(kind)
            if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        }
        return st.fixed_dictionaries(
            {name: made for name, made in members.items() if name in needed},
            optional={name: made for name, made in members.items() if name not in needed},
        )
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        return st.lists(values(inner[0], depth + 1), max_size=3)
    if origin is dict:
        return st.dictionaries(st.text(max_size=10), values(inner[1], depth + 1), max_size=3)
    return {str: WORDS, int: NUMBERS, float: REALS, bool: st.booleans()}[kind]


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_message_of_the_right_shape_makes_a_5xx(served, data):
    world, by = served, served.by
    method, path, kind = data.draw(st.sampled_from(list(posts(world))))
    if path.endswith(("retire", "release")):
        return
    message = data.draw(values(kind))
    body = json.dumps({"v": 1, **message}).encode()
    status, _, answer = sent(world, by, method, path, body)
    assert status < 500, (method, path, message, answer)


PATHS = [
    "/v1/projects/%00",
    "/v1/projects/%ff%fe",
    "/v1/projects/a%2fb",
    "/v1/projects/" + "a" * 5000,
    "/v1/projects/prod/audit?after=x",
    "/v1/projects/prod/audit?after=-1",
    "/v1/projects/prod/audit?after=99999999999999999999999",
    "/v1/projects/prod/audit?after=%00",
    "/v1/hosts/state?generation=1e9&wait=-5",
    "/v1/hosts/state?generation=99999999999999999999999999",
    "/v1/hosts/state?generation=%F0&wait=%00",
    "/../../etc/passwd",
    "//",
    "/v1/projects/prod/tokens/%27",
]


@pytest.mark.parametrize("path", PATHS, ids=range(len(PATHS)))
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_no_path_makes_a_5xx(served, method, path):
    status, _, answer = sent(served, served.admin(), method, path, b"")
    assert status < 500, answer
    assert status != 429, "it was looked at"


def test_nobody_is_sent_elsewhere_with_their_token(module_world):
    headers = {"Host": "elsewhere.example"}
    for path in ("/v1/certificates/", "/v1/certificates%2f"):
        status, answered, _ = module_world.client().raw("POST", path, b"{}", headers)
        assert (status, answered.get("location")) == (404, None)


def test_large_bodies_of_one_session_hold_nobody_up_and_count_as_many(module_world, monkeypatch):
    """Read one after the other in the event loop, they would keep all others waiting for seconds."""
    monkeypatch.setattr(app, "BY_SESSION", (0.001, 600.0))
    folder = module_world.settings.state_dir / "large"
    folder.mkdir()
    world = ControlWorld(f"sqlite:///{folder}/c.db", folder)
    try:
        by = world.admin()
        large = b'{"v":1,"x":[' + b"{}," * 1_390_000 + b"1]}"
        headers = by.headers("POST", "/v1/certificates", large)
        told = [by.raw("POST", "/v1/certificates", large, headers)[0] for _ in range(4)]
        assert told == [400, 400, 429, 429]
    finally:
        world.close()


def test_a_body_of_a_hundred_megabytes_is_refused_early(served):
    parts = urlsplit(served.url)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with socket.create_connection((parts.hostname, parts.port), 30) as to:
        to.sendall(b"POST /v1/sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n")
        sent_bytes = 0
        try:
            for _ in range(1600):
                sent_bytes += to.send(b"a" * 65536)
        except OSError:
            pass
        else:
            pytest.fail("all of it was taken")
    assert sent_bytes < 40 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10, "KiB"
    assert served.client().raw("GET", "/healthz")[0] == 204


def test_a_body_that_says_no_length_is_bounded_too(served):
    connection = http.client.HTTPConnection(*served.url.removeprefix("http://").split(":"))

    def parts():
        for _ in range(200):
            yield b"a" * 65536

    try:
        connection.request("POST", "/v1/sign-in", parts(), {"Transfer-Encoding": "chunked"})
        assert connection.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass
    finally:
        connection.close()


def test_slow_ones_keep_nobody_waiting(served):
    parts = urlsplit(served.url)
    slow = [socket.create_connection((parts.hostname, parts.port), 30) for _ in range(100)]
    try:
        for one in slow:
            one.sendall(b"POST /v1/sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        began = time.monotonic()
        assert served.client().raw("GET", "/healthz")[0] == 204
        assert served.admin().call("GET", "/v1/status", kind=Status).database == served.database
        assert time.monotonic() - began < 2
    finally:
        for one in slow:
            one.close()


def test_too_many_requests_are_told_to_come_later():
    now = [0.0]
    bucket = limits.Limits(10.0, 20.0, lambda: now[0])
    for _ in range(20):
        bucket.take("a")
    with pytest.raises(Throttled):
        bucket.take("a")
    bucket.take("b")
    now[0] = 1.0
    for _ in range(10):
        bucket.take("a")
    with pytest.raises(Throttled):
        bucket.take("a")


def test_too_many_requests_of_one_session_are_a_429_with_a_time(module_world, monkeypatch):
    monkeypatch.setattr(app, "BY_SESSION", (0.001, 3.0))
    folder = module_world.settings.state_dir / "limited"
    folder.mkdir()
    world = ControlWorld(f"sqlite:///{folder}/c.db", folder)
    try:
        by = world.admin()
        for _ in range(3):
            by.call("GET", "/v1/status", kind=Status)
        with pytest.raises(Refused) as no:
            by.call("GET", "/v1/status", kind=Status)
        assert (no.value.status, no.value.code) == (429, "too-many")
        headers = by.raw("GET", "/v1/status", headers=by.headers("GET", "/v1/status"))[1]
        assert headers["retry-after"] == "2"
    finally:
        world.close()


def dribble(served, first, more, seconds):
    """Send ``first`` and then ``more`` again and again; whether the connection is closed within ``seconds``."""
    parts = urlsplit(served.url)
    with socket.create_connection((parts.hostname, parts.port), 5) as to:
        to.sendall(first)
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                to.sendall(more)
                time.sleep(0.01)
        except OSError:
            return True
        return False


def test_a_head_that_does_not_end_is_not_waited_for(served, monkeypatch):
    monkeypatch.setattr(patience, "HEAD_SECONDS", 0.3)
    assert dribble(served, b"GET /healthz HTTP/1.1\r\n", b"X: y\r\n", 3)
    done = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    assert dribble(served, done + b"GET /healthz HTTP/1.1\r\n", b"X: y\r\n", 3)
    client = served.client()
    for _ in range(3):
        assert client.raw("GET", "/healthz")[0] == 204
        time.sleep(0.15)


def test_a_body_that_does_not_end_is_not_waited_for(served, monkeypatch):
    monkeypatch.setattr(patience, "BODY_SECONDS", 0.3)
    parts = urlsplit(served.url)
    head = b"POST /v1/sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    for first in (head, head + b"{"):
        assert dribble(served, first, b" ", 3)
        with socket.create_connection((parts.hostname, parts.port), 5) as to:
            to.sendall(first)
            assert to.recv(1000).startswith(b"HTTP/1.1 408 ")
            assert to.recv(1000) == b""


def test_a_body_in_good_time_is_waited_for(module_world, monkeypatch):
    """The head's time does not count for it, and the next request has its own."""
    monkeypatch.setattr(patience, "HEAD_SECONDS", 0.2)
    parts = urlsplit(module_world.url)
    head = b"POST /v1/sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
    with socket.create_connection((parts.hostname, parts.port), 5) as to:
        for _ in range(2):
            to.sendall(head)
            time.sleep(0.3)
            to.sendall(b"{}")
            assert to.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_a_head_that_is_endless_is_cut_off(served):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = b"X: " + b"y" * 8000 + b"\r\n"
    assert dribble(served, b"GET /healthz HTTP/1.1\r\n", line, 5)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10, "KiB"


@pytest.mark.parametrize("parser", [HttpToolsProtocol, H11Protocol])
def test_what_comes_behind_a_body_is_no_head(tmp_path, monkeypatch, parser):
    """Neither token nor proof, whichever parser uvicorn found."""
    monkeypatch.setattr(auto, "AutoHTTPProtocol", parser)
    spec = importlib.util.spec_from_file_location("patience_again", patience.__file__)
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    monkeypatch.setattr(serve, "PatientProtocol", again.PatientProtocol)
    world = ControlWorld(f"sqlite:///{tmp_path}/c.db", tmp_path)
    head = b"GET /v1/devices HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"

    def status(*, in_head, in_trailer):
        to.sendall(head + in_head + b"\r\n0\r\n" + in_trailer + b"\r\n")
        answer = http.client.HTTPResponse(to)
        answer.begin()
        answer.read()
        return answer.status

    def shown():
        made = world.admin().headers("GET", "/v1/devices")
        return "".join(f"{name}: {value}\r\n" for name, value in made.items()).encode()

    try:
        parts = urlsplit(world.url)
        with socket.create_connection((parts.hostname, parts.port), 5) as to:
            assert status(in_head=b"", in_trailer=shown()) == 401
            assert status(in_head=shown(), in_trailer=b"Authorization: Bearer x\r\n") == 200
            assert status(in_head=b"", in_trailer=shown()) == 401
            assert status(in_head=shown(), in_trailer=b"") == 200
    finally:
        world.close()


NO_HTTP = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"GET\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /v1/sign-in HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/sign-in HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"POST /v1/sign-in HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"GET http://other.example/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
]


@pytest.mark.parametrize("raw", NO_HTTP, ids=range(len(NO_HTTP)))
def test_what_is_no_http_is_no_5xx(module_world, raw):
    parts = urlsplit(module_world.url)
    with socket.create_connection((parts.hostname, parts.port), 5) as to:
        to.sendall(raw)
        to.shutdown(socket.SHUT_WR)
        answer = to.recv(65536)
    assert not answer or int(answer.split(b" ")[1]) < 500, answer
    assert module_world.client().raw("GET", "/healthz")[0] == 204
