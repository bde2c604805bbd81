"""The ways into an account: which role to assume, tried in order, and the credentials kept until near expiry."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ostiary.aws.credentials import Credentials
from ostiary.aws.translate import UNKNOWN_CALLER, dashed
from ostiary.errors import Conflict, Denied, NotFound, OstiaryError, Unreachable

MARGIN = 300.0  # seconds before expiry at which credentials are renewed


@dataclass(frozen=True, slots=True)
class Ways:
    """Role names to try in a member account, best first; ``overrides`` replaces them for single accounts.

    ``external_id`` is sent with every AssumeRole (IAM User Guide, "The confused deputy problem").
    """

    roles: tuple[str, ...] = ("OrganizationAccountAccessRole",)
    external_id: str = ""
    overrides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def into(self, account_id: str) -> tuple[str, ...]:
        return self.overrides.get(account_id, self.roles)


Assume = Callable[[str, str], Credentials]  # (account id, role name)


class Reach:
    """Credentials per account: one AssumeRole each, however many threads ask."""

    def __init__(self, ways: Ways, assume: Assume) -> None:
        self.ways = ways
        self._assume = assume
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._held: dict[str, Credentials] = {}
        self._closed: dict[str, OstiaryError] = {}
        self.entered_by: dict[str, str] = {}  # account id -> the role that worked

    def credentials(self, account_id: str) -> Credentials:
        """Credentials good for five minutes at least. Raises ``Unreachable`` naming each role tried."""
        with self._lock:
            lock = self._locks.setdefault(account_id, threading.Lock())
        with lock:
            held = self._held.get(account_id)
            if held is not None and held.lasts(time.time(), MARGIN):
                return held
            if account_id in self._closed:
                raise self._closed[account_id]
            self._held[account_id] = self._enter(account_id)
            return self._held[account_id]

    def forget(self, account_id: str) -> None:
        """Drop what is held for an account: the credentials were refused, or its roles have changed."""
        self._held.pop(account_id, None)
        self._closed.pop(account_id, None)

    def _enter(self, account_id: str) -> Credentials:
        known = self.entered_by.get(account_id)
        others = tuple(role for role in self.ways.into(account_id) if role != known)
        tried: list[str] = []
        for role in ((known,) if known else ()) + others:
            try:
                credentials = self._assume(account_id, role)
            except (Denied, NotFound, Conflict) as refused:
                if refused.code in UNKNOWN_CALLER:  # it is our own credentials that are refused
                    raise
                tried.append(f"{role}: {refused.why}")
                continue
            self.entered_by[account_id] = role
            return credentials
        self._closed[account_id] = _no_way_in(account_id, tried)
        raise self._closed[account_id]


def _no_way_in(account_id: str, tried: list[str]) -> Unreachable:
    return Unreachable(
        f"no way into account {dashed(account_id)}",
        why="; ".join(tried) or "no role is named for it",
        fix="let one of these roles trust this caller, or name another under reach: in the estate",
        code="AccessDenied" if tried else "",
    )
