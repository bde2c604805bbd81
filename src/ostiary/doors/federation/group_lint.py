"""Judges Okta's group-mapping settings before anybody signs in by them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ostiary.model.estate_groups import (
    PROVIDER_PLACEHOLDER,
    compile_filter,
    filter_defects,
    translate,
)
from ostiary.model.partition import PARTITIONS

_ROLE_ARN = re.compile(r"arn:([a-z-]+):iam::\$\{accountid\}:role/\$\{role\}\Z")
_PROVIDER_ARN = re.compile(
    r"arn:([a-z-]+):iam::\$\{accountid\}:saml-provider/([\w.-]{1,128})\Z", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Finding:
    """``error``: gives wrong access or none. ``warning``: more access than meant is possible. ``note``: know it."""

    level: Literal["error", "warning", "note"]
    setting: Literal["group_filter", "role_value_pattern", "app_filter"]
    message: str

    def as_json(self) -> dict[str, str]:
        return {"level": self.level, "setting": self.setting, "message": self.message}


def lint(
    group_filter: str,
    pattern: str,
    app_filter: str,
    *,
    provider: str | None = None,
    partition: str | None = None,
) -> tuple[Finding, ...]:
    """What is wrong or risky, errors first. ``provider`` and ``partition`` are what the pattern should name."""
    found = [
        *_filter_findings(group_filter),
        *_pattern_findings(pattern, provider, partition),
        *_app_filter_findings(app_filter),
    ]
    order = ("error", "warning", "note")
    return tuple(sorted(found, key=lambda item: order.index(item.level)))


def _filter_findings(text: str) -> Iterator[Finding]:
    for defect in filter_defects(text):
        yield Finding("error", "group_filter", defect)
    try:
        groups = compile_filter(text).groupindex
    except ValueError:
        if re.search(r"\(\?<?[=!]|\\[1-9]|[*+?}]\+", text):
            yield Finding(
                "note",
                "group_filter",
                "look-around, back-references and possessive quantifiers are not used here: they cannot be "
                "matched in linear time",
            )
        return
    if text != text.strip() or "\n" in text:
        yield Finding(
            "error", "group_filter", "white space or a line break at an end of the filter"
        )
    if "(?P<" in text:
        yield Finding(
            "error", "group_filter", "Okta writes named groups (?{{name}}...), not (?P<name>...)"
        )
    if re.search(r"\(\?P<role>(\.|\\S)[*+]", translate(text)):
        yield Finding(
            "warning", "group_filter", "the role group takes any characters, delimiters too"
        )
    if {"role", "accountid"} <= set(groups):
        yield from _account_findings(text, groups["role"] < groups["accountid"])


def _account_findings(text: str, role_first: bool) -> Iterator[Finding]:
    if re.search(r"\(\?\{\{accountid\}\}(\\d|\[0-9\])[+*]\)", text):
        yield Finding(
            "note",
            "group_filter",
            r"\d+ takes numbers that are no account ids; \d{12} takes only those of 12 digits",
        )
    if role_first:
        yield Finding(
            "note",
            "group_filter",
            "role comes before accountid: tools that read the groups by position instead of by name mistake "
            "one for the other",
        )


def _pattern_findings(text: str, provider: str | None, partition: str | None) -> Iterator[Finding]:
    def error(message: str) -> Finding:
        return Finding("error", "role_value_pattern", message)

    if "\n" in text.strip() or "\r" in text.strip():
        yield error("broken over two lines, as the help page shows it; it must be one line")
        text = re.sub(r"\s*[\r\n]+\s*", "", text)
    if PROVIDER_PLACEHOLDER in text:
        yield error(f"still holds {PROVIDER_PLACEHOLDER}: put the name of your SAML provider there")
        text = text.replace(PROVIDER_PLACEHOLDER, provider or "Okta")
    parts = [part.strip() for part in text.split(",")]
    roles = [found for part in parts if (found := _ROLE_ARN.match(part))]
    providers = [found for part in parts if (found := _PROVIDER_ARN.match(part))]
    if len(parts) != 2 or len(roles) != 1 or len(providers) != 1:  # noqa: PLR2004 - a pair
        yield error(
            "must be arn:<partition>:iam::${accountid}:saml-provider/<name>,"
            "arn:<partition>:iam::${accountid}:role/${role}"
        )
        return
    if text != ",".join(parts):
        yield error("holds white space")
    if not _PROVIDER_ARN.match(parts[0]):
        yield Finding("note", "role_value_pattern", "role before provider: AWS takes either order")
    for message in _partition_defects(roles[0][1], providers[0][1], partition):
        yield error(message)
    if provider and providers[0][2] != provider:
        yield error(f"names SAML provider {providers[0][2]!r}; the accounts have {provider!r}")


def _partition_defects(role: str, provider: str, partition: str | None) -> Iterator[str]:
    """What is wrong with the partitions that the two ARNs are in."""
    named = {role, provider}
    for unknown in sorted(named - set(PARTITIONS)):
        yield f"{unknown!r} is no AWS partition; known: {', '.join(PARTITIONS)}"
    if len(named) > 1:
        yield "provider and role are of different partitions"
    if partition and named != {partition}:
        yield f"is for partition {'/'.join(sorted(named))}, the accounts are in {partition}"


def _app_filter_findings(text: str) -> Iterator[Finding]:
    sources = [part.strip() for part in text.split(",") if part.strip()]
    if not sources or "*" in text:
        yield Finding(
            "error",
            "app_filter",
            "names no app: groups from anywhere would give access; write okta",
        )
        return
    if len(sources) > 1:
        yield Finding(
            "warning",
            "app_filter",
            f"admits groups of {len(sources)} sources: whoever may create groups in any of "
            f"{', '.join(sources)} may give access",
        )
    if "okta" not in sources:
        yield Finding(
            "note",
            "app_filter",
            f"role groups that Ostiary makes are Okta groups; {', '.join(sources)} leaves them out",
        )
