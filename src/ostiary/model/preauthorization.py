"""Preauthorizations: where a project requires them, a person's rules count only while one is good. Pure.

One gives no right. Machines need none: they have an owner, an end and a rate of their own.
Source: Okta Advanced Server Access, "Create a preauthorization for a user" (setup/preauthorizations), for what it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

NONE, REQUIRED = "none", "required"
MODES = (NONE, REQUIRED)
_MACHINE = "machine:"


@dataclass(frozen=True, slots=True)
class Preauthorization:
    """``person`` is a login of Okta; ``server_id`` is "" for every server of the project; ``until`` seconds since the epoch."""

    id: str
    person: str
    server_id: str
    until: float


def needs_one(person: str) -> bool:
    """Whether somebody is a person. ``person`` is an id or a login of Okta, or ``machine:NAME``."""
    return not person.startswith(_MACHINE)


def same_login(login: str) -> str:
    """A login in the form in which two are compared: to Okta the case of its letters makes no other login.

    Of ASCII only: what else looks alike is another.
    """
    return login.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def good_one(
    some: Iterable[Preauthorization], server_id: str, now: float
) -> Preauthorization | None:
    """Of a person's those that are good on a server now, the one that lasts longest; None where none is."""
    held = (one for one in some if now < one.until and one.server_id in ("", server_id))
    return max(held, key=lambda one: (one.until, one.id), default=None)
