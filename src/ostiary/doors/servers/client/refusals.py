"""A refusal of the control plane as an error of the tree: the status decides which, code, why and fix stay its own."""

from __future__ import annotations

from http import HTTPStatus

from ostiary.doors.servers.wire.person import Refusal
from ostiary.errors import (
    Conflict,
    Denied,
    NotFound,
    OstiaryError,
    StalePlan,
    Throttled,
    Unreachable,
    UsageError,
)

STEP_UP = "step-up"
KINDS: dict[int, type[OstiaryError]] = {
    HTTPStatus.BAD_REQUEST: UsageError,
    HTTPStatus.UNAUTHORIZED: Denied,
    HTTPStatus.FORBIDDEN: Denied,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.PRECONDITION_FAILED: StalePlan,
    HTTPStatus.TOO_MANY_REQUESTS: Throttled,
}


def refused(what: str, status: int, refusal: Refusal) -> OstiaryError:
    """The error that says ``what`` cannot be done, because of a refusal."""
    kind = KINDS.get(status, OstiaryError)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = Throttled if refusal.code == "busy" else Unreachable
    return kind(what, why=refusal.why, fix=fix_for(status, refusal), code=refusal.code)


def fix_for(status: int, refusal: Refusal) -> str:
    """What the control plane says to do, or what the code or status alone tells."""
    if refusal.fix:
        return refusal.fix
    if refusal.code == STEP_UP:
        return "run: ostiary login --step-up"
    if status == HTTPStatus.UNAUTHORIZED:
        return "run: ostiary login"
    return ""
