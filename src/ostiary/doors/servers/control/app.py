"""The HTTP API: bounded bodies, who asks, how often; then a plain function in a thread, and its answer or refusal.

Nothing that a client sends makes a 5xx: those are for a database that is away (503 with Retry-After) and our own faults.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ostiary.doors.servers.control import (
    api_authorities,
    api_hosts,
    api_people,
    api_preauthorizations,
    api_projects,
    api_status,
    audit_api,
    incoming,
    machines,
    reports,
)
from ostiary.doors.servers.control.answering import Answer, answer, empty
from ostiary.doors.servers.control.authenticate import (
    authenticate,
    may_send,
    people,
    proven,
    use_up,
)
from ostiary.doors.servers.control.endpoint import (
    HOST,
    NOBODY,
    PERSON,
    Call,
    Endpoint,
    Together,
    Wait,
)
from ostiary.doors.servers.control.incoming import Bodies, Body, Gone, decoded
from ostiary.doors.servers.control.lately import Lately
from ostiary.doors.servers.control.limits import Limits
from ostiary.doors.servers.control.line import Apart, Line
from ostiary.doors.servers.control.news import News
from ostiary.doors.servers.control.refusal import (
    CROWDED,
    RETRIED,
    RETRY_SECONDS,
    TOO_LARGE,
    refusal_of,
    status_of,
)
from ostiary.doors.servers.control.services import Services
from ostiary.doors.servers.control.sessions import Caller
from ostiary.doors.servers.control.writer import LONGEST_WAIT, overdue
from ostiary.doors.servers.wire.host import HostReport
from ostiary.doors.servers.wire.message import MOST_BYTES
from ostiary.doors.servers.wire.person import Refusal
from ostiary.errors import Denied, NotFound, OstiaryError, Throttled

LOG = logging.getLogger("ostiary.control")
THREADS = 32
FAR_THREADS = 16
ALIEN_THREADS = 16
MOST_WAITING = 10_000  # requests that wait for a thread; more are told to come again
BY_ADDRESS = (3000.0, 20_000.0)  # a second, and at once: a whole fleet may be behind one address
BY_HOST = (5.0, 300.0)  # a host that is not ours any more cannot fill the audit
LARGE = 16 * 1024  # bytes of a body that count as another request
ROWS = 10  # of the audit that count as another request, where a host makes them
BY_SESSION = (500.0, 5000.0)  # Ansible asks for a certificate per host


class Api:
    """The application's state in one event loop."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._threads = anyio.CapacityLimiter(THREADS)
        self._far = anyio.CapacityLimiter(FAR_THREADS)
        self._alien = anyio.CapacityLimiter(ALIEN_THREADS)
        self._news = News(services.database)
        self._bodies = {who: Bodies() for who in (NOBODY, PERSON, HOST)}
        self._by_address = Limits(*BY_ADDRESS, time.monotonic)
        self._lines: dict[Endpoint, Line[Call]] = {}
        self._aside = ThreadPoolExecutor(1, "line")
        self._by_session = Limits(*BY_SESSION, time.monotonic)
        self._by_host = Limits(*BY_HOST, time.monotonic)
        self._lately: Lately[Caller] = Lately()

    @contextlib.asynccontextmanager
    async def life(self, _: Starlette) -> AsyncIterator[None]:
        news = asyncio.create_task(self._news.run())
        try:
            yield
        finally:
            news.cancel()
            self._aside.shutdown(wait=False, cancel_futures=True)

    async def end(self) -> None:
        """Let go whoever is held: the process ends."""
        await self._news.end()

    def answering(self, endpoint: Endpoint) -> Answering:
        if endpoint.together is not None:
            work = partial(self._work_together, endpoint, endpoint.together)
            at_once = self._services.database.is_sqlite
            self._lines[endpoint] = Line(work, LONGEST_WAIT, overdue, self._aside, at_once=at_once)
        return Answering(self, endpoint)

    async def asked(self, endpoint: Endpoint, scope: Scope, receive: Receive) -> Answer:
        """The answer to a request; OstiaryError to refuse it, Gone when nobody waits for one."""
        address = scope["client"][0] if scope["client"] else ""
        self._by_address.take(address)
        waits = endpoint.together is None and not endpoint.quick
        if waits and self._limiter(endpoint).statistics().tasks_waiting > MOST_WAITING:
            why = f"{MOST_WAITING} requests wait already"
            raise Throttled("cannot answer now", why=why, code="busy")
        call = Call(
            method=scope["method"],
            target=incoming.target(scope),
            address=address,
            path=scope.get("path_params", {}),
            query=incoming.query(scope),
            headers=incoming.headers(scope),
        )
        most = incoming.SMALL if endpoint.who == NOBODY else MOST_BYTES
        with Body(self._bodies[endpoint.who]) as body:
            call.body = await body.read(receive, most, partial(self._known, endpoint, call))
            return await self._answer(endpoint, call)

    async def _known(self, endpoint: Endpoint, call: Call) -> None:
        """Denied where a person's call is of no session, or not proven; a host's signature is of the body itself, and waits."""
        if endpoint.who == PERSON:
            await self._in_thread(endpoint, may_send, self._services, call)

    async def _answer(self, endpoint: Endpoint, call: Call) -> Answer:
        if not all(one.isprintable() for one in call.path.values()):
            raise NotFound("there is nothing at this path", code="no-endpoint")
        found = await self._found(endpoint, call)
        if isinstance(found, Wait):
            found = await self._held(endpoint, call, found)
        if isinstance(found, Wait):
            return empty(304)
        return answer(found)

    async def _found(self, endpoint: Endpoint, call: Call) -> Any:
        if endpoint.quick:
            return endpoint.answer(self._services, call)
        line = self._lines.get(endpoint)
        if line is not None and len(call.body) <= LARGE:  # a larger one would hold up all others
            try:
                return await line.ask(call)
            except Apart:
                LOG.debug("%s apart", endpoint.path)
        return await self._in_thread(endpoint, self._work, endpoint, call)

    async def _held(self, endpoint: Endpoint, call: Call, wait: Wait) -> Any:
        """Ask again with every news of the project, until there is an answer or the time is up."""
        deadline = time.monotonic() + wait.seconds
        while await self._news.wait(
            wait.project_id, wait.generation, max(0.0, deadline - time.monotonic())
        ):
            found = await self._in_thread(endpoint, endpoint.answer, self._services, call)
            if not isinstance(found, Wait):
                return found
            wait = found
        return wait

    def _limiter(self, endpoint: Endpoint) -> anyio.CapacityLimiter:
        if endpoint.alien:
            return self._alien
        return self._far if endpoint.far else self._threads

    async def _in_thread(self, endpoint: Endpoint, work: Any, *arguments: Any) -> Any:
        return await anyio.to_thread.run_sync(work, *arguments, limiter=self._limiter(endpoint))

    def _work(self, endpoint: Endpoint, call: Call) -> Any:
        is_counted = call.caller is not None  # together with others, who are answered by now
        authenticate(self._services, endpoint, call)
        if call.caller is not None and not is_counted:
            self._by_session.take(call.caller.session, _cost(call))
        use_up(self._services, endpoint, call)
        if call.proof is not None and call.proof.server_id:
            self._by_host.take(call.proof.server_id, _cost(call))
        if endpoint.takes is not None:
            call.message = decoded(endpoint.takes, call.body)
        if isinstance(call.message, HostReport):
            self._by_host.take(call.host.server_id, _cost_of_rows(call, call.message))
        return endpoint.answer(self._services, call)

    def _work_together(
        self, endpoint: Endpoint, together: Together, calls: Sequence[Call]
    ) -> Sequence[Any]:
        """Who asks is looked up for all at once; then those who may ask are answered."""
        refused: dict[int, OstiaryError] = {}
        asking, now = [], self._services.clock()
        callers = people(self._services, calls, self._lately)
        for number, (call, caller) in enumerate(zip(calls, callers, strict=True)):
            try:
                if isinstance(caller, Denied):
                    raise caller
                proven(caller, call, now)
                self._by_session.take(caller.session)
                call.caller = caller
                call.message = decoded(endpoint.takes, call.body) if endpoint.takes else None
                asking.append(call)
            except OstiaryError as error:
                refused[number] = error
        answers = together(self._services, asking)
        if any(isinstance(one, Exception) for one in answers):
            self._lately.forget()  # perhaps for what it says
        rest = iter(answers)
        return [refused.get(number) or next(rest) for number in range(len(calls))]


@dataclass(frozen=True, slots=True)
class Answering:
    """One endpoint as ASGI application."""

    api: Api
    endpoint: Endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            found = await self.api.asked(self.endpoint, scope, receive)
        except OstiaryError as error:
            found = refused(error)
        except Gone:
            found = empty(400)
        except Exception as error:  # noqa: BLE001 - our own fault, whatever it is
            found = _our_fault(scope, error)
        await found(scope, receive, send)


@dataclass(frozen=True, slots=True)
class Application:
    """The API as ASGI application. ``exact`` are the endpoints at one path each, which nobody needs to look for."""

    api: Api
    exact: Mapping[tuple[str, str], Answering]
    others: Starlette

    async def end(self) -> None:
        """Before the server is shut down."""
        await self.api.end()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = scope["type"] == "http" and self.exact.get((scope["method"], scope["path"]))
        await (found or self.others)(scope, receive, send)


def _cost(call: Call) -> float:
    """Of a request to read, in those that say little."""
    return 1 + len(call.body) / LARGE


def _cost_of_rows(call: Call, report: HostReport) -> float:
    """Of what a report leaves in the audit for ever, beside ``_cost``. Both together are never more than there can be at
    once: an honest host comes with all that an outage left in its spool, and waits, and then is heard.
    """
    return max(0.0, min(reports.most_rows(report) / ROWS, BY_HOST[1] - _cost(call)))


def build(services: Services, more: Sequence[Endpoint] = ()) -> Application:
    """The application, with the endpoints of other rooms in ``more``."""
    api = Api(services)
    endpoints = (
        *api_hosts.ENDPOINTS,
        *api_people.ENDPOINTS,
        *api_projects.ENDPOINTS,
        *api_preauthorizations.ENDPOINTS,
        *api_authorities.ENDPOINTS,
        *api_status.ENDPOINTS,
        *audit_api.ENDPOINTS,
        *machines.ENDPOINTS,
        *more,
    )
    answering = [api.answering(one) for one in endpoints]
    routes = [Route(one.endpoint.path, one, methods=[one.endpoint.method]) for one in answering]
    others = Starlette(
        routes=routes, lifespan=api.life, exception_handlers={HTTPException: _http_error}
    )
    others.router.redirect_slashes = False  # to whatever Host said, with whoever's token
    return Application(
        api,
        {
            (one.endpoint.method, one.endpoint.path): one
            for one in answering
            if "{" not in one.endpoint.path
        },
        others,
    )


def refused(error: OstiaryError) -> Answer:
    status = status_of(error)
    headers = {"retry-after": str(RETRY_SECONDS)} if status in RETRIED else {}
    if error.code in (TOO_LARGE, CROWDED):
        headers["connection"] = "close"  # what is still to come is not waited for
    if status in RETRIED:
        LOG.warning("%s [%s]", error, error.code)
    return answer(refusal_of(error), status, headers)


async def _http_error(_: Request, error: Exception) -> Any:
    assert isinstance(error, HTTPException)
    what = Refusal("no-endpoint", f"{error.status_code} {error.detail}")
    return answer(what, error.status_code)


def _our_fault(scope: Scope, error: Exception) -> Answer:
    name = type(error).__name__
    LOG.error("%s %s: %s", scope["method"], scope["path"], name, exc_info=error)
    return answer(Refusal("defect", f"this is a defect of ostiary: {name}"), 500)
