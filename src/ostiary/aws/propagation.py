"""IAM answers from many places and is only eventually consistent: wait for it, with an end.

Source: IAM User Guide, "Troubleshooting IAM", "Changes that I make are not always immediately visible".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from ostiary.aws.session import Aws
from ostiary.errors import Conflict, Denied, NotFound, OstiaryError, Unreachable

PATIENCE = 90.0  # seconds
LONGEST_STEP = 4.0

T = TypeVar("T")


def until_accepted(
    aws: Aws, write: Callable[[], T], too_early: Callable[[OstiaryError], bool]
) -> T:
    """Do ``write``; do it again while its refusal means that IAM has not seen our own last write yet."""
    started = time.monotonic()
    step = 0.25
    while True:
        try:
            return write()
        except OstiaryError as refused:
            if not too_early(refused) or time.monotonic() - started > PATIENCE:
                raise
        aws.pause(step)
        step = min(LONGEST_STEP, step * 2)


def until_seen(aws: Aws, what: str, seen: Callable[[], bool]) -> None:
    """Look until a write is visible, so that nothing later takes an old answer for drift."""
    started = time.monotonic()
    step = 0.25
    while not seen():
        if time.monotonic() - started > PATIENCE:
            raise Unreachable(
                f"{what} is not visible yet",
                why=f"IAM accepted the write but has not shown it for {PATIENCE:.0f} s",
                fix="run the same command again",
                maybe_done=True,
            )
        aws.pause(step)
        step = min(LONGEST_STEP, step * 2)


def principal_too_fresh(refused: OstiaryError) -> bool:
    """A trust policy names a role or provider that IAM does not know everywhere yet."""
    return (
        isinstance(refused, Conflict)
        and refused.code == "MalformedPolicyDocument"
        and "principal" in refused.why.lower()
    )


def object_too_fresh(refused: OstiaryError) -> bool:
    """The role that we have just made is not known everywhere yet (a missing policy is another matter)."""
    return isinstance(refused, NotFound) and "role with name" in refused.why.lower()


def role_too_fresh(refused: OstiaryError) -> bool:
    """A role made a moment ago cannot be assumed yet."""
    return isinstance(refused, Denied) and refused.code in ("AccessDenied", "InvalidIdentityToken")
