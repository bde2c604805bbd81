"""The System Log as a poller reads it: whatever changes who somebody is, page by page, from where it left off.

A polling query (ascending, no ``until``) always gets a next link; an empty page says that there is no more for now, and
the link stays good for the next question. ``since`` of a polling query is compared with the time at which the event was
stored, so that one that arrives late is not missed. Source: Okta developer docs, "System Log query". That a link stays
good for hours is unverified: where Okta refuses it, the reader begins again from the time that it knows everything of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from ostiary.errors import Unreachable, UsageError
from ostiary.okta.client import Object, OktaClient

WHAT = "cannot read the System Log"
PAGE = 1000
# Event types. Source: Okta developer docs, "Event Types"; user.session.clear is from memory, unverified.
LEAVING = frozenset(
    {
        "user.lifecycle.deactivate",
        "user.lifecycle.suspend",
        "user.lifecycle.delete.initiated",
        "user.lifecycle.delete.completed",
    }
)
ADDED, REMOVED = "group.user_membership.add", "group.user_membership.remove"
LIFECYCLE = "user.lifecycle."
LOGGED_OUT = frozenset({"user.session.clear", "user.authentication.universal_logout"})
# Of one app: whoever loses it cannot sign in there again.
UNASSIGNED = frozenset(
    {"application.user_membership.remove", "group.application_assignment.remove"}
)
_FILTER = " or ".join(
    [
        *(
            f'eventType sw "{prefix}"'
            for prefix in (LIFECYCLE, "group.user_membership.", "group.lifecycle.")
        ),
        *(
            f'eventType eq "{name}"'
            for name in (
                *("group.profile.update", "user.account.update_profile"),
                *sorted(LOGGED_OUT | UNASSIGNED),
            )
        ),
    ]
)


@dataclass(frozen=True, slots=True)
class LogEvent:
    """``people`` and ``apps`` are the ids of users and apps that it is about, ``groups`` the names of groups.

    ``done`` says that what it tells of has happened.
    """

    type: str
    people: tuple[str, ...]
    groups: tuple[str, ...]
    apps: tuple[str, ...]
    done: bool


@dataclass(frozen=True, slots=True)
class LogPage:
    """``following`` is where to go on; ``limit`` how often a minute the org lets us ask, where it said so."""

    events: tuple[LogEvent, ...]
    following: str
    limit: int | None


def read_log(client: OktaClient, place: str, since: float) -> Iterator[LogPage]:
    """Pages from ``place`` on (a ``following``, or "" to begin at ``since``), an empty one last.

    Raises what the client raises; a page without a next link is no end, it is Unreachable.
    """
    target = place if _is_ours(place) else ""
    while True:
        try:
            page = client.page(target or "/logs", None if target else _beginning(since), what=WHAT)
        except UsageError as error:
            if not target or error.code not in ("E0000001", "E0000031"):
                raise
            target = ""  # the place is no longer good
            continue
        if page.following is None:
            raise _broken("it gave no next link to a polling query")
        if page.items and page.following == target:
            raise _broken("a page leads back to itself")
        target = page.following
        yield LogPage(tuple(map(_event, page.items)), target, page.limit)
        if not page.items:
            return


def _beginning(since: float) -> dict[str, str | int]:
    at = datetime.fromtimestamp(since, UTC).isoformat(timespec="milliseconds")
    return {
        "since": at.replace("+00:00", "Z"),
        "sortOrder": "ASCENDING",
        "limit": PAGE,
        "filter": _FILTER,
    }


def _is_ours(place: str) -> bool:
    """Whether a place was made with today's filter: another version of this program may have kept it."""
    return parse_qs(urlsplit(place).query).get("filter") == [_FILTER]


def _event(event: Object) -> LogEvent:
    targets, outcome = event.get("target"), event.get("outcome")
    found = [one for one in targets if isinstance(one, dict)] if isinstance(targets, list) else []
    return LogEvent(
        str(event.get("eventType", "")),
        _of(found, "User", "id"),
        _of(found, "UserGroup", "displayName"),
        _of(found, "AppInstance", "id"),
        isinstance(outcome, dict) and outcome.get("result") == "SUCCESS",
    )


def _of(targets: list[Object], kind: str, member: str) -> tuple[str, ...]:
    return tuple(str(one[member]) for one in targets if one.get("type") == kind and one.get(member))


def _broken(why: str) -> Unreachable:
    return Unreachable(
        WHAT,
        why=f"incomplete list: {why}",
        fix="see that nothing rewrites Okta's answers on the way",
    )
