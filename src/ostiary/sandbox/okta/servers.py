"""Authorization servers: the org's own below ``/oauth2/v1``, custom ones below ``/oauth2/ID/v1``."""

from __future__ import annotations

from ostiary.sandbox.okta.call import PUBLIC, Call, Operation, Route
from ostiary.sandbox.okta.errors import missing


def of(call: Call) -> str:
    """The id of the custom server that a call is for, "" for the org's own."""
    server = call.params.get("server", "")
    if server and server not in call.org.servers:
        raise missing("AuthorizationServer", server)
    return server


def routes(method: str, path: str, operation: Operation) -> tuple[Route, ...]:
    """One endpoint at every server."""
    bases = ("/oauth2", "/oauth2/{server}")
    return tuple(Route(method, base + path, PUBLIC, operation) for base in bases)
