"""The way into the org: ``handle(world, request)`` finds the row, checks the caller and calls the operation."""

from __future__ import annotations

import functools
import re
from urllib.parse import unquote

from ostiary.sandbox.http import ConnectionLost, Request, Response
from ostiary.sandbox.okta import (
    app_groups,
    app_keys,
    app_users,
    apps,
    authn,
    authn_factors,
    authorization,
    dashboard,
    device,
    discovery,
    errors,
    grants,
    groups,
    logs,
    memberships,
    oauth,
    pages,
    policies,
    principals,
    rule_engine,
    rules,
    saml_app,
    schemas,
    sessions,
    userinfo,
    users,
)
from ostiary.sandbox.okta.call import PUBLIC, Call, Route
from ostiary.sandbox.okta.errors import OAuthError, OktaError
from ostiary.sandbox.okta.limits import Allowance
from ostiary.sandbox.world import World

ROUTES: tuple[Route, ...] = tuple(
    route
    for topic in (
        apps,
        app_keys,
        app_groups,
        app_users,
        schemas,
        grants,
        groups,
        memberships,
        rules,
        users,
        policies,
        logs,
        authn,
        authn_factors,
        sessions,
        oauth,
        authorization,
        device,
        userinfo,
        discovery,
        saml_app,
        dashboard,
    )
    for route in topic.ROUTES
)
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def handle(world: World, request: Request) -> Response:
    """Answer one request. Raises ConnectionLost where the world's switches drop the answer."""
    call = Call(world, request)
    org = world.okta
    rule_engine.settle(org, call.now)
    found, params, known_path = find(request)
    operation = f"{request.method} {found.template if found else request.path}"
    world.calls.append(("okta", operation, org.name))
    allowance: Allowance | None = None
    try:
        if found is None and not known_path and pages.wants_page(request):
            return _finish(call, pages.no_page(call), None)
        if found is None:
            raise errors.bad_method() if known_path else errors.no_path()
        call.params = params
        principal = principals.authenticate(call)
        call.principal = principal
        allowance = org.meter.take(
            request.path,
            principal.id if principal.kind in ("token", "client") else "",
            call.now,
            org.profile,
            org.scale,
        )
        api = request.path.startswith("/api/")
        if allowance and allowance.refused:
            raise errors.throttled()
        if api and _chance(world, "throttle_share"):  # too many at once: no window is used up
            allowance = Allowance(0, 0, int(call.now) + 1)
            raise errors.throttled()
        principals.authorize(call, found.scope)
        response = found.operation(call)
    except (OktaError, OAuthError) as error:
        response = error.response(org.mint("oae"))
    else:
        writes = api and request.method in _WRITES and found.scope != PUBLIC
        if writes and _chance(world, "lost_answer_share"):
            raise ConnectionLost("the connection dropped before the answer")
    return _finish(call, response, allowance)


def find(request: Request) -> tuple[Route | None, dict[str, str], bool]:
    """The row for a request, its path values, and whether the path exists under any method."""
    known = False
    path = request.path.rstrip("/") or "/"
    for route, pattern in _table():
        match = pattern.fullmatch(path)
        if match is None:
            continue
        known = True
        if route.method == request.method or (route.method, request.method) == ("GET", "HEAD"):
            return route, {name: unquote(value) for name, value in match.groupdict().items()}, True
    return None, {}, known


@functools.cache
def _table() -> tuple[tuple[Route, re.Pattern[str]], ...]:
    """The rows with the fewest placeholders first, so that a fixed path wins over a pattern."""
    ordered = sorted(ROUTES, key=lambda route: route.template.count("{"))
    return tuple((route, _pattern(route.template)) for route in ordered)


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    return re.compile(
        "".join(
            f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part)
            for index, part in enumerate(parts)
        )
    )


def _chance(world: World, switch: str) -> bool:
    share: float = getattr(world.switches, switch)
    return share > 0 and world.random.random() < share


def _finish(call: Call, response: Response, allowance: Allowance | None) -> Response:
    headers = (
        ("date", _http_date(call)),
        ("x-okta-request-id", call.org.mint("a", 32)),
        *(allowance.headers() if allowance else ()),
        ("cache-control", "no-cache, no-store"),
    )
    return Response(response.status, response.body, (*response.headers, *headers))


def _http_date(call: Call) -> str:
    return call.world.clock.datetime().strftime("%a, %d %b %Y %H:%M:%S GMT")
