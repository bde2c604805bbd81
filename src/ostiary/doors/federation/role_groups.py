"""Role groups: Okta groups whose name carries one entitlement, ``aws#alias#role#account``.

``preview`` says what Okta's group mapping makes of any names, offline; ``group_lint`` judges the settings
themselves. The grammar is in ``ostiary.model.estate_groups``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ostiary.errors import UsageError
from ostiary.model.account import Account
from ostiary.model.estate import Console, Estate
from ostiary.model.estate_groups import (
    DOCUMENTED_ROLE,
    EVERY_ROLE,
    compile_filter,
    derive_filter,
    derive_pattern,
    is_anchored,
    name_group,
    translate,
)
from ostiary.model.partition import PARTITIONS

_TWELVE = re.compile(r"[0-9]{12}\Z")
_REFERENCE = re.compile(r"\$\{(\w+)\}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Preview:
    """What one group name gives: a role in an account, or nothing and why.

    ``arn`` is the role's ARN, None where AWS would take none. A name may match and still have problems.
    """

    name: str
    matches: bool = False
    role: str | None = None
    account: str | None = None
    arn: str | None = None
    problems: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "matches": self.matches,
            "role": self.role,
            "account": self.account,
            "arn": self.arn,
            "problems": list(self.problems),
        }


def preview(names: Iterable[str], group_filter: str, pattern: str) -> list[Preview]:
    """What each name gives under this Group Filter and Role Value Pattern, in the order given.

    Whole names are matched, by ASCII classes; a name with control characters never matches. Raises
    UsageError for a filter that no name can be judged by.
    """
    mapping = RoleMapping(group_filter, pattern)
    return [mapping.preview(name) for name in names]


def previews_json(previews: Iterable[Preview]) -> dict[str, object]:
    """The shape of ``groups preview --json``."""
    return {"names": [item.as_json() for item in previews]}


class RoleMapping:
    """One Group Filter and Role Value Pattern, compiled once for many names."""

    def __init__(self, group_filter: str, pattern: str) -> None:
        self.filter = group_filter
        try:
            self._expression = compile_filter(group_filter)
        except ValueError as error:
            raise UsageError(
                f"cannot use group filter {group_filter!r}",
                why=f"it is not an expression that RE2 reads: {error}",
                fix="run: ostiary groups lint",
            ) from error
        missing = {"role", "accountid"} - set(self._expression.groupindex)
        if missing:
            raise UsageError(
                f"cannot use group filter {group_filter!r}",
                why=f"it has no group named {' or '.join(sorted(missing))}",
                fix=r"write one like ^aws\#\S+\#(?{{role}}[\w\-]+)\#(?{{accountid}}\d+)$",
            )
        self._pattern = pattern
        self._prefix = _fixed_start(group_filter)

    def value(self, name: str) -> str | None:
        """The value that Okta puts in the assertion for a group of this name; None when it gives nothing."""
        found = None if _controls(name) else self._expression.fullmatch(name)
        return None if found is None else _fill(self._pattern, found.groupdict())

    def preview(self, name: str) -> Preview:
        if _controls(name):
            return Preview(name, problems=(f"control character {_controls(name)}",))
        found = self._expression.fullmatch(name)
        if found is None:
            return Preview(name, problems=tuple(self._near_misses(name)))
        captured = found.groupdict()
        role, account = captured.get("role") or "", captured.get("accountid") or ""
        problems = tuple(self._doubts(name, role, account))
        part = next((one for one in self._pattern.split(",") if ":role/" in one), None)
        arn = _fill(part.strip(), captured) if part else None
        if part is None:
            problems += ("role value pattern holds no role ARN",)
        if not _TWELVE.match(account) or "," in role:
            arn = None
        return Preview(name, True, role, account, arn, problems)

    def _doubts(self, name: str, role: str, account: str) -> Iterator[str]:
        if not _TWELVE.match(account):
            yield f"account id has {len(account)} characters, not 12 digits: AWS knows no such account"
        if name.count("#") > self.filter.count("#") > 0:
            yield (
                "ambiguous: more # than the filter has; the greedy alias takes all but the last two parts"
            )
        if "," in role:
            yield "the role name holds a comma, at which AWS splits role and provider"
        if len(role) > 64:  # noqa: PLR2004 - IAM's limit of a role name
            yield "the role name is longer than IAM allows (64)"
        if not name.isascii():
            yield "characters outside ASCII: whether Okta's engine takes them is not documented"
        if not is_anchored(self.filter):
            yield "the filter is not anchored: longer names that contain this one may give access too"

    def _found_inside(self, name: str) -> bool:
        return self._expression.search(name) is not None

    def _near_misses(self, name: str) -> Iterator[str]:
        """Why a name that looks like a role group is none."""
        if self._found_inside(name):
            yield (
                "only part of the name matches: the filter is not anchored with ^ and $, and if Okta searches "
                "instead of matching the whole name this group gives access"
            )
            return
        start = name[: len(self._prefix)]
        if start.lower() == self._prefix.lower() and start != self._prefix:
            yield f"upper and lower case count: it starts with {start!r}, the filter with {self._prefix!r}"
            return
        stripped = re.sub(r"\s", "", name)
        if stripped != name and self._expression.fullmatch(stripped):
            yield "a space: the filter admits none"
        elif not name.isascii() and self._loosely(name):
            yield "letters or digits outside ASCII: \\w and \\d mean ASCII only"
        elif self._widened(name, EVERY_ROLE):
            yield f"the role name has one of + = , . @, legal in IAM but outside {DOCUMENTED_ROLE} of the filter"
        elif self._widened(name, r"[\w+=,.@\-/]+"):
            yield "a role path: names of role groups cannot express paths"
        elif start == self._prefix != "":
            yield "it starts like a role group but does not match the filter"

    def _widened(self, name: str, role: str) -> bool:
        """Whether it would match if the role could be anything of this class."""
        wider = self.filter.replace(f"(?{{{{role}}}}{DOCUMENTED_ROLE})", f"(?{{{{role}}}}{role})")
        return wider != self.filter and compile_filter(wider).fullmatch(name) is not None

    def _loosely(self, name: str) -> bool:
        """Whether it would match with accents dropped and foreign digits read as digits."""
        plain = "".join(
            str(unicodedata.decimal(character, character))
            for character in unicodedata.normalize("NFKD", name)
            if not unicodedata.combining(character)
        )
        return plain != name and self._expression.fullmatch(plain) is not None


def group_name(console: Console, account: Account, role: str) -> str:
    """The name of the role group of ``role`` in ``account``.

    An account without an alias goes by its name, reduced to lower-case letters, digits and dashes; failing
    that by the word ``account``. Either way the account's number is in the name, so it stays unambiguous.
    """
    alias = account.alias or re.sub(r"[^a-z0-9]+", "-", account.name.lower()).strip("-")
    return name_group(console.group_name, alias=alias or "account", role=role, account=account.id)


def settings_of(console: Console, estate: Estate) -> tuple[str, str]:
    """The Group Filter and Role Value Pattern of a console, written or derived."""
    roles = {
        role for rule in estate.assignments if console.name in rule.consoles for role in rule.may
    }
    partition = PARTITIONS[estate.organizations[console.organization].partition]
    return (
        console.group_filter or derive_filter(console.group_name, roles),
        console.role_value_pattern or derive_pattern(partition, console.saml_provider),
    )


def _fill(pattern: str, captured: dict[str, Any]) -> str:
    return _REFERENCE.sub(lambda found: captured.get(found[1]) or found[0], pattern)


def _controls(name: str) -> str:
    """The first control, invisible or half character of a name, as ``U+000A``; "" when there is none."""
    for character in name:
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            return f"U+{ord(character):04X}"
    return ""


def _fixed_start(group_filter: str) -> str:
    """The literal text with which every match starts."""
    found = re.match(r"\^?((?:\\[^A-Za-z0-9]|[A-Za-z0-9_#-])*)(.?)", translate(group_filter))
    text = found[1] if found else ""
    if found and found[2] and found[2] in "*?+{":  # the last character may be absent
        text = re.sub(r"\\?.\Z", "", text)
    return re.sub(r"\\(.)", r"\1", text)
