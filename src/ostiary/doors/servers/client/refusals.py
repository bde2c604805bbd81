"""A refusal of the control plane as an error of the tree: the status decides which, code, why and fix stay its own."""

from __future__ import annotations

import re
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

STEP_UP, NO_ENDPOINT = "step-up", "no-endpoint"
EMPTY = frozenset({
    "a", "answer", "certificate", "do", "go", "issue", "make", "name", "now", "of", "on", "rotation", "such", "the",
    "this", "with",
})  # fmt: skip
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
    why = without_repeating(what, refusal.why)
    return kind(what, why=why, fix=fix_for(status, refusal), code=refusal.code)


def without_repeating(what: str, why: str) -> str:
    """The control plane says what failed before it says why; that is left out where it is only ``what`` again."""
    failed, colon, reason = why.partition(": ")
    if colon and failed.startswith("cannot ") and _words(failed) <= _words(what) | EMPTY:
        return reason
    return why


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def fix_for(status: int, refusal: Refusal) -> str:
    """What the control plane says to do, or what the code or status alone tells."""
    if refusal.fix:
        return refusal.fix
    if refusal.code == STEP_UP:
        return "run: ostiary login --step-up"
    if refusal.code == NO_ENDPOINT:
        return "have both of one version; compare: ostiary --version, ostiary servers status"
    if status == HTTPStatus.UNAUTHORIZED:
        return "run: ostiary login"
    return ""
