"""Which statement of a policy applies to a request: effect, principal, action, resource, condition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ostiary.model.policy_condition import condition_holds
from ostiary.model.policy_match import Context, action_matches, matches
from ostiary.model.policy_principal import Caller, Grant, names_caller

CURRENT_VERSION = "2012-10-17"


@dataclass(frozen=True, slots=True)
class Applies:
    """A statement that applies, and how closely it names the caller."""

    sid: str
    grant: Grant


def statements(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The statements of a policy, whether it holds a list or one object."""
    held = document.get("Statement", [])
    for statement in held if isinstance(held, list) else [held]:
        if isinstance(statement, Mapping):
            yield statement


def texts(element: Any) -> list[str]:
    """The strings of an element that may be one string or a list."""
    if isinstance(element, str):
        return [element]
    return [item for item in element if isinstance(item, str)] if isinstance(element, list) else []


def _action_applies(statement: Mapping[str, Any], action: str) -> bool:
    inverse = "Action" not in statement
    element = statement.get("NotAction" if inverse else "Action")
    if element is None:
        return False
    for pattern in texts(element):
        if action_matches(pattern, action):
            return not inverse
    return inverse


def _resource_applies(
    statement: Mapping[str, Any], resource: str, variables: Context | None, *, deny: bool
) -> bool:
    """A statement without Resource (a trust policy's) applies to what it is attached to."""
    if "Resource" in statement:
        for pattern in texts(statement["Resource"]):
            if matches(pattern, resource, variables):
                return True
        return False
    if "NotResource" not in statement:
        return True
    results = [matches(p, resource, variables) for p in texts(statement["NotResource"])]
    if True in results:
        return False
    return deny or None not in results  # a variable without a value: deny rather than allow


@dataclass(frozen=True, slots=True)
class Ask:
    """What a statement is held against. ``context`` has lower-case keys.

    ``caller`` None is for policies without principals (identity-based, boundaries, SCPs).
    """

    action: str
    resource: str
    context: Context
    caller: Caller | None = None


def applicable(document: Mapping[str, Any], effect: str, ask: Ask) -> Applies | None:
    """The statement of ``effect`` that applies, or None; with a caller the one that names it most closely."""
    deny = effect == "Deny"
    variables = ask.context if document.get("Version") == CURRENT_VERSION else None
    best: Applies | None = None
    for statement in statements(document):
        if statement.get("Effect") != effect or not _action_applies(statement, ask.action):
            continue
        caller = ask.caller
        grant = Grant.DIRECT if caller is None else names_caller(statement, caller, deny=deny)
        if grant is Grant.NONE or (best is not None and best.grant >= grant):
            continue
        if not _resource_applies(statement, ask.resource, variables, deny=deny):
            continue
        holds = condition_holds(statement.get("Condition"), ask.context, variables)
        if holds or (holds is None and deny):
            best = Applies(str(statement.get("Sid", "")), grant)
            if grant is Grant.DIRECT or deny:
                return best
    return best
