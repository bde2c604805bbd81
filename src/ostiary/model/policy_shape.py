"""The shape of one statement, as IAM checks it before it stores a policy.

Source: IAM User Guide, "Grammar of the IAM JSON policy language", "AWS JSON policy elements: Principal". IAM's own
words where they are known (from error reports in public; unverified).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ostiary.model.policy_condition import operator
from ostiary.model.policy_problem import WARNING, Document, Problem, listed, malformed, meant

TRUST_ACTIONS = (
    "sts:AssumeRole",
    "sts:AssumeRoleWithSAML",
    "sts:AssumeRoleWithWebIdentity",
    "sts:TagSession",
    "sts:SetSourceIdentity",
    "sts:SetContext",
)
_ELEMENTS = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource"}
    | {"NotResource", "Condition"}
)
_VENDOR = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
SYNTAX = "Syntax errors in policy."
_ACTION = re.compile(r"\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+")
_ARN = re.compile(r"arn:([^:]+):[^:]+:[^:]*:[^:]*:.+", re.DOTALL)
_PARTITION = re.compile(r"aws(-[a-z]+)*|.*[*?].*")
_AWS_PRINCIPAL = re.compile(
    r"\*|\d{12}|A[A-Z0-9]{15,127}|arn:aws[a-z-]*:(iam::\d{12}:(root|(user|role)/[^*?]+)"
    r"|sts::\d{12}:(assumed-role|federated-user)/[^*?]+)"
)
_DOMAIN = r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+"
_FEDERATED = re.compile(rf"arn:aws[a-z-]*:iam::\d{{12}}:(saml|oidc)-provider/[^*?]+|{_DOMAIN}")
_PRINCIPALS = {
    "AWS": _AWS_PRINCIPAL,
    "Federated": _FEDERATED,
    "Service": re.compile(_DOMAIN),
    "CanonicalUser": re.compile(r"[0-9a-f]{64}"),
}


def statement_problems(
    statement: Any, at: str, sids: set[str], *, trust: bool
) -> Iterator[Problem]:
    """``sids`` are those of the statements before; this one's is added."""
    if not isinstance(statement, Mapping):
        yield malformed("statement", SYNTAX, "a Statement is an object", at)
        return
    if unknown := sorted(statement.keys() - _ELEMENTS):
        fix = f"remove or correct {', '.join(unknown)}{meant(unknown[0], _ELEMENTS)}"
        yield malformed("elements", SYNTAX, fix, at)
    yield from _sid(statement, sids, at)
    yield from _effect(statement, at)
    yield from _actions(statement, at, trust=trust)
    yield from (_trust_shape if trust else _identity_shape)(statement, at)
    yield from _condition(statement, at)


def _sid(statement: Document, seen: set[str], at: str) -> Iterator[Problem]:
    sid = statement.get("Sid", "")
    if not isinstance(sid, str) or not re.fullmatch(r"[0-9A-Za-z]*", sid):
        text = (
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular "
            "expression [0-9A-Za-z]*"
        )
        yield malformed("sid", text, "use letters and digits only", f"{at}.Sid")
    elif sid and sid in seen:
        text = "Statement IDs (SID) in a single policy must be unique."
        yield malformed("sid-twice", text, f"rename one of the statements {sid}", f"{at}.Sid")
    else:
        seen.add(sid)


def _effect(statement: Document, at: str) -> Iterator[Problem]:
    if "Effect" not in statement:
        yield malformed("effect", "Missing required field Effect", "add Allow or Deny", at)
    elif statement["Effect"] not in ("Allow", "Deny"):
        yield malformed("effect", SYNTAX, "Effect is Allow or Deny, in this case", f"{at}.Effect")


def _actions(statement: Document, at: str, *, trust: bool) -> Iterator[Problem]:
    held = [name for name in ("Action", "NotAction") if name in statement]
    if len(held) != 1:
        text = (
            "Missing required field Action" if trust else "Policy statement must contain actions."
        )
        fix = "write one of Action and NotAction"
        yield malformed("action", SYNTAX if held else text, fix, at)
        return
    at = f"{at}.{held[0]}"
    actions = listed(statement[held[0]])
    if not actions or not all(isinstance(action, str) for action in actions):
        yield malformed("action", SYNTAX, "an action is text like iam:GetRole", at)
        return
    for action in actions:
        fix = f"write service:Name instead of {action}{meant(action, TRUST_ACTIONS)}"
        if not _ACTION.fullmatch(action):
            yield malformed("action-syntax", _VENDOR if ":" not in action else SYNTAX, fix, at)
        elif trust and not _is_trust_action(action):
            text = "AssumeRole policy may only specify STS AssumeRole actions."
            yield malformed("trust-action", text, fix, at)
        elif not trust and _is_misspelt_sts(action):
            yield Problem("action-unknown", WARNING, f"STS has no action {action}", fix, at)


def _is_misspelt_sts(action: str) -> bool:
    if not action.startswith("sts:") or action == "sts:AssumeRoot" or _is_trust_action(action):
        return False
    return bool(meant(action, TRUST_ACTIONS, cutoff=0.85))


def _is_trust_action(action: str) -> bool:
    low = action.lower()
    if "*" in low or "?" in low:
        return low.startswith("sts:")
    return low in {known.lower() for known in TRUST_ACTIONS}


def _trust_shape(statement: Document, at: str) -> Iterator[Problem]:
    for name in ("Resource", "NotResource"):
        if name in statement:
            fix = "remove it: a trust policy is about its own role"
            yield malformed("resource", f"Has prohibited field {name}", fix, f"{at}.{name}")
    held = [name for name in ("Principal", "NotPrincipal") if name in statement]
    if len(held) != 1:
        text = SYNTAX if held else "Missing required field Principal"
        yield malformed("principal", text, "say who may enter by Principal", at)
        return
    principal = statement[held[0]]
    if principal == "*":
        return
    at = f"{at}.{held[0]}"
    if not isinstance(principal, Mapping) or not principal:
        yield malformed("principal", "Invalid principal in policy", 'write {"AWS": …}', at)
        return
    for kind, names in principal.items():
        for name in listed(names) or [None]:
            yield from _principal(kind, name, at)


def _principal(kind: str, name: Any, at: str) -> Iterator[Problem]:
    shape = _PRINCIPALS.get(kind)
    if shape is None:
        fix = f"use AWS, Federated or Service{meant(kind, _PRINCIPALS)}"
        yield malformed("principal", "Invalid principal in policy", fix, at)
    elif not isinstance(name, str) or not shape.fullmatch(name):
        text = f'Invalid principal in policy: "{kind.upper()}":"{name}"'
        if kind == "Federated":
            text = "Federated principals must be valid domain names or SAML metadata ARNs"
        yield malformed(
            "principal", text, "name it whole, with 12 digits and without wildcards", at
        )


def _identity_shape(statement: Document, at: str) -> Iterator[Problem]:
    for name in ("Principal", "NotPrincipal"):
        if name in statement:
            text = "Policy document should not specify a principal."
            fix = "remove it: who is meant is whom the policy is attached to"
            yield malformed("principal", text, fix, f"{at}.{name}")
    held = [name for name in ("Resource", "NotResource") if name in statement]
    if len(held) != 1:
        text = SYNTAX if held else "Policy statement must contain resources."
        yield malformed("resource", text, "write one of Resource and NotResource", at)
        return
    for resource in listed(statement[held[0]]) or [None]:
        where = f"{at}.{held[0]}"
        arn = _ARN.fullmatch(resource) if isinstance(resource, str) else None
        if resource == "*":
            continue
        if arn is None:
            text = f'Resource {resource} must be in ARN format or "*".'
            yield malformed("resource", text, "write an ARN or *", where)
        elif not _PARTITION.fullmatch(arn[1]):
            text = f'Partition "{arn[1]}" is not valid for resource "{resource}".'
            yield malformed("partition", text, "write aws, aws-us-gov or aws-cn", where)


def _condition(statement: Document, at: str) -> Iterator[Problem]:
    condition, at = statement.get("Condition", {}), f"{at}.Condition"
    if not isinstance(condition, Mapping):
        yield malformed("condition", SYNTAX, "a Condition is an object", at)
        return
    for name, keys in condition.items():
        if operator(name) is None:
            yield malformed("operator", SYNTAX, f"{name} is no condition operator", at)
        elif not isinstance(keys, Mapping) or not keys:
            yield malformed("condition", SYNTAX, f'write {{"{name}": {{key: value}}}}', at)
        else:
            for key, element in keys.items():
                if ":" not in key:
                    yield malformed("condition-key", _VENDOR, f"write service:{key}", at)
                held = listed(element)
                if not held or not all(isinstance(one, str | bool | int | float) for one in held):
                    yield malformed("condition", SYNTAX, f"{key} takes text or a list of texts", at)
