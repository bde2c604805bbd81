"""A reading that is whole, or says why it is not; and the checks that every kind makes before it writes."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Callable, Iterable

from ostiary.errors import Conflict, Interrupted, OstiaryError, StalePlan
from ostiary.okta.client import Object
from ostiary.plan.resource import Found, Json, Key, Owner, Reading


def read_whole(kind: str, scope: str, produce: Callable[[], Iterable[Found]]) -> Reading:
    """The objects that ``produce`` yields to its end; an error makes the scope unread, never empty."""
    try:
        return Reading(kind, scope, tuple(sorted(produce(), key=lambda found: found.key)))
    except Interrupted:
        raise
    except OstiaryError as error:
        return Reading(kind, scope, complete=False, why=error)


def only_one(noun: str, name: str, candidates: Iterable[Object]) -> Object | None:
    """The one object of a name, None without one. Two of them are a Conflict that names both ids."""
    found = list(candidates)
    if len(found) > 1:
        raise ambiguous(noun, name, [str(one["id"]) for one in found])
    return found[0] if found else None


def by_name(objects: Iterable[Object], name_of: Callable[[Object], str]) -> dict[str, list[Object]]:
    named: dict[str, list[Object]] = defaultdict(list)
    for one in objects:
        named[name_of(one)].append(one)
    return named


def ambiguous(noun: str, name: str, ids: Iterable[str]) -> Conflict:
    several = sorted(ids)
    return Conflict(
        f"cannot tell which {noun} is meant by {name!r}",
        why=f"{len(several)} of them have that name: {', '.join(several)}",
        fix="rename or delete all but one in Okta, then run: ostiary plan",
    )


def refuse_foreign(found: Found) -> None:
    """Creating over an object that is not ours is a Conflict."""
    if found.owner is not Owner.OURS:
        whose = found.owned_by or "nobody's mark"
        raise Conflict(
            f"cannot create {found.key}",
            why=f"it exists already with {whose} (id {found.ids.get('id', 'unknown')})",
            fix=f"run: ostiary adopt {shlex.quote(str(found.key))}",
        )


def refuse_stale(
    planned: Found, current: Found | None, attributes: Iterable[str] | None = None
) -> Found:
    """The object as it is now, if what is to be overwritten is still as planned; else StalePlan."""
    if current is None:
        raise stale(planned.key, "it was deleted since the plan was made")
    names = planned.attributes.keys() if attributes is None else attributes
    changed = [
        name for name in names if planned.attributes.get(name) != current.attributes.get(name)
    ]
    if planned.ids.get("id") != current.ids.get("id"):
        changed.append("id")
    if planned.owner is not current.owner:
        changed.append("ownership mark")
    if changed:
        raise stale(planned.key, f"changed since the plan was made: {', '.join(sorted(changed))}")
    return current


def stale(key: Key, why: str) -> StalePlan:
    return StalePlan(f"cannot change {key}", why=why, fix="run: ostiary plan")


def search_literal(text: str) -> str:
    """A string in Okta's search language."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def text_of(value: Json | object, otherwise: str = "") -> str:
    return value if isinstance(value, str) else otherwise
