"""A plan for people: like a diff, grouped by account, the summary last.

111122223333 prod-web
  + iam-role Administrator
  ~ iam-role ReadOnly
      - max_session  3600
      + max_session  14400
  - okta-group aws#x#Old#111122223333   DELETED: no longer wanted

plan: 1 to create, 1 to update, 1 to delete, 20 as wanted

A new object is one line; with ``details`` its values follow, each behind a plus sign. What an object lets people do
(attribute ``access``, a list of sentences) is shown always: who would gain it, and who would lose it with a deletion.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace

from ostiary.plan.change import Change, Plan, canonical
from ostiary.plan.resource import Json

RELEASE = "release"  # no action of a plan: how a deletion is shown that only takes our mark off
ACCESS = "access"
_LONG = 120  # characters of a value that are still shown whole
_LONGEST_SENTENCE = 2000

_SYMBOLS = {
    "create": "+",
    "update": "~",
    "replace": "-/+",
    "delete": "-",
    "unread": "?",
    "foreign": "!",
    "snippet": "!",
    RELEASE: "=",
}
_COLOURS = {"+": "32", "~": "33", "-": "31", "-/+": "1;31", "!": "35", "?": "36"}
_LOUD = {
    "delete": "DELETED",
    "replace": "REPLACED",
    "unread": "could not be read",
    RELEASE: "stays, without our mark",
}
_TOLD_ELSEWHERE = ("unread", RELEASE)  # no reason behind each
_COUNTED = {
    "create": "to create",
    "update": "to update",
    "replace": "to replace",
    "delete": "to delete",
    "foreign": "in the way",
    "snippet": "to hand to their owners",
    "unread": "unread",
    RELEASE: "to release, nothing is deleted",
    "keep": "as wanted",
}


def render(
    plan: Plan,
    *,
    colour: bool = False,
    details: bool = False,
    names: Mapping[str, str] | None = None,
    released: bool = False,
) -> str:
    """The whole plan as text; its last line is the summary. ``names`` say what to call scopes and ids.

    ``released`` says that nothing is deleted: only our mark comes off what the plan would delete.
    """
    if released:
        plan = replace(plan, changes=tuple(replace(one, action=RELEASE) for one in plan.changes))
    lines = (_printable(line) for line in _lines(plan, details, names or {}))
    return "".join((_coloured(line) if colour else line) + "\n" for line in lines)


def summary_line(plan: Plan) -> str:
    counts = Counter(change.action for change in plan.changes) + Counter(keep=plan.keep)
    parts = [f"{counts[action]} {text}" for action, text in _COUNTED.items() if counts[action]]
    return "plan: " + (", ".join(parts) if parts else "nothing is wanted and nothing is there")


def shown(value: Json, name: str = "") -> str:
    """A value on one line; a long one as digest and length, but for sentences of ``access``, which people have to read."""
    text = value if isinstance(value, str) else canonical(value)
    if len(text) > (_LONGEST_SENTENCE if name == ACCESS else _LONG):
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        return f"sha256:{digest}… ({len(text):,} characters)"
    return canonical(value)  # quotes show spaces


def _lines(plan: Plan, details: bool, names: Mapping[str, str]) -> Iterator[str]:
    groups: dict[str, list[Change]] = defaultdict(list)
    for change in plan.changes:
        groups[change.account].append(change)
    for account, changes in sorted(groups.items()):
        yield names.get(account, account)
        for change in changes:
            yield from _change(change, details, names)
        yield ""
    for unread in plan.unread:
        yield f"? {unread.scope} was not read, nothing is deleted there: {unread.why}"
        if unread.fix:
            yield f"    fix: {unread.fix}"
    for warning in plan.warnings:
        yield f"! {warning}"
    if plan.unread or plan.warnings:
        yield ""
    yield summary_line(plan)


def _change(change: Change, details: bool, names: Mapping[str, str]) -> Iterator[str]:
    loud = _LOUD.get(change.action, "")
    reason = "" if change.action in _TOLD_ELSEWHERE else change.reason
    note = ": ".join(filter(None, (loud, reason)))
    yield f"  {_SYMBOLS[change.action]} {change.key.kind} {change.key.name}" + (
        f"   {note}" if note else ""
    )
    if change.action == "snippet":
        yield from (f"      | {line}" for line in change.snippet.splitlines())
    elif change.action == "create":
        for name, value in sorted((change.after or {}).items()):
            if name == ACCESS and isinstance(value, list):
                yield from (f"      + {name}  {shown(item, name)}" for item in value)
            elif details:
                yield f"      + {name}  {shown(value)}"
    elif change.action == "delete":
        lost = (change.before or {}).get(ACCESS)
        if isinstance(lost, list):
            yield from (f"      - {ACCESS}  {shown(item, ACCESS)}" for item in lost)
    elif change.action in ("update", "replace"):
        for name in change.differing:
            lines = _difference(name, change.before or {}, change.after or {})
            yield from (_named(line, names) for line in lines)


def _difference(name: str, before: Mapping[str, Json], after: Mapping[str, Json]) -> Iterator[str]:
    old, new = before.get(name), after.get(name)
    if isinstance(old, list) and isinstance(new, list):
        gone = [item for item in old if item not in new]
        come = [item for item in new if item not in old]
        if gone or come:
            yield from (f"      - {name}  {shown(item, name)}" for item in gone)
            yield from (f"      + {name}  {shown(item, name)}" for item in come)
            return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            if old.get(key) != new.get(key):
                yield from _difference(f"{name}.{key}", _at(old, name, key), _at(new, name, key))
        return
    if name in before:
        yield f"      - {name}  {shown(old)}"
    if name in after:
        yield f"      + {name}  {shown(new)}"


def _named(line: str, names: Mapping[str, str]) -> str:
    """``- members  "00u…"`` with the login behind the id."""
    head, _, quoted = line.rpartition("  ")
    name = names.get(quoted.strip('"'))
    return f"{head}  {name}" if name else line


def _at(value: Mapping[str, Json], name: str, key: str) -> Mapping[str, Json]:
    return {f"{name}.{key}": value[key]} if key in value else {}


def _printable(line: str) -> str:
    """Names and texts come from outside: no control or direction character reaches the terminal."""
    if line.isprintable():
        return line
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in line)


def _coloured(line: str) -> str:
    code = _COLOURS.get(line.strip().partition(" ")[0], "")
    return f"\033[{code}m{line}\033[0m" if code else line
