"""The ``assignments`` of the estate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from ostiary.model.estate import AssignmentRule, Console, RoleTemplate
from ostiary.model.estate_accounts import parse_selectors
from ostiary.model.estate_fields import Fields, suggest
from ostiary.model.estate_schema import NAME, ROLE_NAME


def parse_assignment(
    fields: Fields, roles: Mapping[str, RoleTemplate], consoles: Mapping[str, Console]
) -> AssignmentRule:
    """One rule; what is wrong with it is among the problems."""
    if "in" not in fields:
        fields.problems.add(fields.line, f"{fields.where} lacks 'in'")
    if "machine" in fields:
        fields.wrong("machine", "may enter servers only: write may: {login: PROJECT}")
    given = [key for key in ("group", "user") if key in fields]
    if len(given) != 1:
        fields.problems.add(fields.line, f"{fields.where} needs one of group and user")
    kind = given[0] if given else "group"
    principal = fields.text(kind)
    if kind == "user":
        _check_user(fields, principal)
    return AssignmentRule(
        principal_kind=cast('Literal["group", "user"]', kind),
        principal=principal or "",
        may=_known(fields, "may", ROLE_NAME, roles, "role"),
        in_=parse_selectors(fields, "in"),
        not_in=parse_selectors(fields, "not_in"),
        until=fields.day("until"),
        reason=fields.text("reason") or "",
        consoles=_known(fields, "console", NAME, consoles, "console") or tuple(consoles),
        place=fields.place,
    )


def _check_user(fields: Fields, login: str | None) -> None:
    for key in ("until", "reason"):
        if key not in fields:
            fields.problems.add(
                fields.line, f"{fields.where} is of user {login or '?'} and lacks {key!r}"
            )


def _known(
    fields: Fields, key: str, pattern: str, known: Mapping[str, object], what: str
) -> tuple[str, ...]:
    values = fields.texts(key, pattern)
    for value in values:
        if value not in known:
            fields.wrong(
                key, f"names {what} {value!r}, which is not defined{suggest(value, tuple(known))}"
            )
    return values
