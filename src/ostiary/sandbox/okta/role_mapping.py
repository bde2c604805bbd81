"""Which roles an ``amazon_aws`` app offers a person: Okta's group mapping, and its older API mode.

Source: Okta help, "Enable group-based role mapping" and "Connect Okta to multiple AWS instances". Whether Okta
searches or matches the whole name is not documented; here a group filter must match the whole name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import re2

_NAMED = re.compile(r"\(\?\{\{([A-Za-z][A-Za-z0-9]*)\}\}")
_REFERENCE = re.compile(r"\$\{([A-Za-z][A-Za-z0-9]*)\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    return options


_OPTIONS = _options()


def translate(group_filter: str) -> tuple[Any, str]:
    """``(?{{name}}…)`` becomes a named group. Returns the compiled pattern, or None and the problem."""
    try:
        return re2.compile(_NAMED.sub(r"(?P<\1>", group_filter), _OPTIONS), ""
    except re2.error as error:
        text = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        return None, f"not a valid expression: {text}"


@dataclass(frozen=True, slots=True)
class MappedGroup:
    """A group as the mapping sees it: ``source`` is the key of the app that it comes from."""

    name: str
    source: str


def mapped_roles(options: Mapping[str, Any], groups: Iterable[MappedGroup]) -> list[str]:
    """Group mapping: one value for each group that the app filter admits and the group filter matches whole."""
    pattern, problem = translate(options["groupFilter"])
    if problem:
        return []
    sources = {part.strip() for part in options["appFilter"].split(",")}
    values: list[str] = []
    for group in sorted(groups, key=lambda group: group.name):
        if group.source not in sources or _CONTROL.search(group.name):
            continue
        match = pattern.fullmatch(group.name)
        if match:
            values.append(_substitute(options["roleValuePattern"], match.groupdict()))
    return list(dict.fromkeys(values))


def _substitute(pattern: str, captured: Mapping[str, str | None]) -> str:
    """Put the captures into the pattern; a name that the filter does not capture stays as it is written."""
    return _REFERENCE.sub(lambda found: captured.get(found.group(1)) or found.group(0), pattern)


@dataclass(frozen=True, slots=True)
class Assigned:
    """One way a person came to the app: ``direct`` by name, otherwise by a group of that priority."""

    profile: Mapping[str, Any]
    direct: bool = False
    priority: int = 0

    @property
    def roles(self) -> list[str]:
        many = self.profile.get("samlRoles")
        if many:
            return list(many)
        one = self.profile.get("role")
        return [one] if one else []


def assigned_roles(assignments: Iterable[Assigned], *, join_all: bool, union: bool) -> list[str]:
    """API mode: role names of the person's own assignment, of the first group, or of all of them.

    ``join_all`` adds up the person and every group; ``union`` (of the schema) adds up the groups; otherwise the
    person's own assignment stands alone, and of groups the one with the highest priority (the lowest number).
    """
    own = [item for item in assignments if item.direct]
    groups = sorted(
        (item for item in assignments if not item.direct), key=lambda item: item.priority
    )
    if join_all:
        chosen = own + groups
    elif own:
        chosen = own
    else:
        chosen = groups if union else groups[:1]
    return list(dict.fromkeys(role for item in chosen for role in item.roles))


def role_values(names: Iterable[str], options: Mapping[str, Any], *, partition: str) -> list[str]:
    """API mode names as assertion values. ``Admin`` is in the account of identityProviderArn,
    ``<account id> -- Admin`` (or ``[alias] -- Admin``, which needs a number to become an ARN) in another.
    """
    provider = options["identityProviderArn"] or ""
    if "," in provider:  # one application per role: the pair itself was typed in
        return [provider]
    values = []
    for name in names:
        account, dashes, role = name.rpartition(" -- ")
        if not dashes:
            account = _field(provider, 4)
        if not provider or not re.fullmatch(r"[0-9]{12}", account, re.ASCII):
            continue
        own_provider = f"arn:{partition}:iam::{account}:{_field(provider, 5)}"
        values.append(f"{own_provider},arn:{partition}:iam::{account}:role/{role}")
    return values


def _field(arn: str, index: int) -> str:
    parts = arn.split(":", 5)
    return parts[index] if len(parts) > index else ""
