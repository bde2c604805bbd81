"""The plan as a value: what was read, what differs, what would be done. Nothing in here acts."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from ostiary.plan.resource import Found, Json, Key, Owner, Ref, Risk

ACTIONS = ("create", "update", "replace", "delete", "keep", "unread", "foreign", "snippet")
WRITES = frozenset({"create", "update", "replace", "delete"})


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between the estate and the world.

    ``action`` is one of ``create update replace delete`` (written by apply) or ``unread foreign snippet``
    (shown, never written): an object that could not be read, one that exists without our mark, and one that is
    owned elsewhere, for which ``snippet`` is the text to hand to its owner.
    ``before`` is what was read, None if absent; ``after`` what is wanted, None for a deletion. A value that
    comes from another resource is in ``refs`` by its JSON pointer in ``after``, which shows it where it is known.
    ``fingerprint`` is of the ``Found`` the change was planned from, "" if there was none.
    """

    action: str
    key: Key
    before: Mapping[str, Json] | None = None
    after: Mapping[str, Json] | None = None
    differing: tuple[str, ...] = ()
    refs: Mapping[str, Ref] = field(default_factory=dict)
    depends_on: tuple[Key, ...] = ()
    risk: Risk = Risk.NONE
    detaches: int = 0
    reason: str = ""
    fingerprint: str = ""
    owner: Owner | None = None
    protected: bool = False
    adopts: bool = False
    snippet: str = ""

    @property
    def account(self) -> str:
        """The account id, or the name of the Okta org: the key's scope."""
        return self.key.scope

    @property
    def writes(self) -> bool:
        return self.action in WRITES

    def because(self, reason: str) -> Change:
        """The same with one more reason."""
        return replace(self, reason="; ".join(filter(None, (self.reason, reason))))

    def graded(self, risk: Risk, detaches: int) -> Change:
        return replace(self, risk=risk, detaches=detaches)


@dataclass(frozen=True, slots=True)
class Unread:
    """A scope of which ``kinds`` could not be read completely: nothing in there is deleted."""

    scope: str
    kinds: tuple[str, ...]
    why: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Immutable. ``keep`` counts what is as wanted; ``owned`` what we own per kind, in the unit of ``Kind.detaches``."""

    estate: str
    estate_digest: str
    made_at: str  # UTC, ISO 8601
    scopes: tuple[str, ...]
    changes: tuple[Change, ...]
    keep: int = 0
    unread: tuple[Unread, ...] = ()
    owned: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def writes(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.writes)

    @property
    def is_empty(self) -> bool:
        """Nothing differs and everything was read."""
        return not self.changes and not self.unread

    def summary(self) -> dict[str, int]:
        """A number for each action, zeros too."""
        counts = Counter(change.action for change in self.changes)
        return {action: counts[action] for action in ACTIONS} | {"keep": self.keep}

    def only(self, scopes: Iterable[str]) -> Plan:
        """The part of it in these scopes. What it depends on elsewhere and is not there yet blocks it in apply."""
        wanted = frozenset(scopes)
        return replace(
            self,
            scopes=tuple(scope for scope in self.scopes if scope in wanted),
            changes=tuple(change for change in self.changes if change.key.scope in wanted),
            unread=tuple(unread for unread in self.unread if unread.scope in wanted),
        )

    def with_warnings(self, warnings: Iterable[str]) -> Plan:
        return replace(self, warnings=(*self.warnings, *warnings))


@dataclass(frozen=True, slots=True)
class Event:
    """One step of long work, for a progress bar or a line of log.

    ``what``: ``read unread`` while planning; ``start done failed stale blocked left unknown`` while applying.
    ``done`` of ``total`` scopes or changes are finished.
    """

    what: str
    scope: str
    key: Key | None = None
    action: str = ""
    text: str = ""
    done: int = 0
    total: int = 0


OnEvent = Callable[[Event], None]


class Replacing(Protocol):
    """A kind that cannot change some attributes in place names them; its ``update`` then makes the object anew."""

    immutable: frozenset[str]


class Expecting(Protocol):
    """A kind whose objects other changes of the same run change too is told beforehand what is planned."""

    def expect(self, change: Change) -> None: ...


class Needed(Protocol):
    """A kind that can tell who else needs an object of ours; then it is not deleted."""

    def needed_by(self, found: Found) -> str: ...


class Snippeting(Protocol):
    """A kind that can print what the owner of an object should write."""

    def snippet(self, found: Found, wanted: Mapping[str, Json]) -> str: ...


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(found: Found | None) -> str:
    """Equal for two readings of an unchanged object; "" for an absent one. ``ids`` and ``raw`` do not count."""
    if found is None:
        return ""
    seen = [found.attributes, found.owner.value, found.owned_by, found.protected]
    return hashlib.sha256(canonical(seen).encode()).hexdigest()
