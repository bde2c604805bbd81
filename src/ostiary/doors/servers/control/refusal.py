"""Errors as answers: status, stable code, why and what to do; never a traceback, never a secret."""

from __future__ import annotations

from collections.abc import Sequence

from ostiary.doors.servers.control.step_up import StepUp
from ostiary.doors.servers.wire.message import InvalidMessage
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

NOT_SIGNED_IN = frozenset(
    {"invalid-token", "no-session", "bad-proof", "retired", "bad-device-proof", "unproven"}
)
TOO_LARGE, CROWDED = "too-large", "crowded"
RETRY_SECONDS = 2
RETRIED = frozenset({429, 503})
_STATUS: Sequence[tuple[type[OstiaryError], int, str]] = (
    (UsageError, 400, "bad-request"),
    (Denied, 403, "denied"),
    (NotFound, 404, "not-found"),
    (StalePlan, 412, "generation"),
    (Conflict, 409, "conflict"),
    (Throttled, 429, "too-many"),
    (Unreachable, 503, "unavailable"),
)


def status_of(error: OstiaryError) -> int:
    if error.code == TOO_LARGE:
        return 413
    if isinstance(error, Denied) and error.code in NOT_SIGNED_IN:
        return 401
    if isinstance(error, Throttled) and error.code in ("busy", CROWDED):
        return 503
    return next((status for kind, status, _ in _STATUS if isinstance(error, kind)), 400)


def refusal_of(error: OstiaryError) -> Refusal:
    """The message; ``why`` has what failed in front of why."""
    code = error.code or next((code for kind, _, code in _STATUS if isinstance(error, kind)), "")
    step_up = (error.acr_values, error.max_age) if isinstance(error, StepUp) else ("", 0)
    return Refusal(code or "bad-request", str(error), error.fix, *step_up)


def invalid(error: InvalidMessage) -> UsageError:
    return UsageError("cannot read this message", why=str(error), code="bad-message")
