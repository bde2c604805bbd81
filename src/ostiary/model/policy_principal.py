"""Who calls, and whether a Principal element names the caller.

Source: IAM User Guide, "AWS JSON policy elements: Principal" and "… NotPrincipal".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from ostiary.model.policy_match import ARN_PARTS, Context


class Grant(IntEnum):
    """How closely a Principal names the caller: what may still limit a grant within the account."""

    NONE = 0
    ACCOUNT = 1  # the account: the caller's own policies decide
    ROLE = 2  # the role of the session, or everybody: boundary and session policies still limit
    DIRECT = 3  # this very user, session, provider or service


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    ``kind`` is ``aws``, ``account-root``, ``federated``, ``service`` or ``anonymous``. ``arn`` is the user's, role's or account
    root's ARN, the ARN of the SAML or OIDC provider (an issuer's host for the built-in ones), or the service
    (``ec2.amazonaws.com``). ``session_arn`` is the assumed-role session's ARN if there is one; ``unique_id`` the
    ``AIDA…``/``AROA…`` that a stored policy may name.
    """

    kind: str
    arn: str
    account: str = ""
    session_arn: str = ""
    unique_id: str = ""

    @property
    def is_aws(self) -> bool:
        return self.kind in ("aws", "account-root")

    @classmethod
    def of(cls, arn: str, account: str = "", context: Context | None = None) -> Caller:
        """The AWS caller with this ARN; a session's role is ``aws:principalarn`` or, failing that, one at path ``/``."""
        parts = arn.split(":", ARN_PARTS - 1)
        if len(parts) != ARN_PARTS:
            return cls("anonymous", arn, account)
        account = account or parts[4]
        kind, _, rest = parts[5].partition("/")
        if parts[2] != "sts" or kind != "assumed-role":
            return cls("account-root" if parts[5] == "root" else "aws", arn, account)
        named = (context or {}).get("aws:principalarn")
        role = f"arn:{parts[1]}:iam::{parts[4]}:role/{rest.partition('/')[0]}"
        return cls("aws", named if isinstance(named, str) else role, account, arn)


def _listed(element: Any) -> list[str]:
    items = element if isinstance(element, list) else [element]
    return [item for item in items if isinstance(item, str)]


def _is_account(named: str, account: str) -> bool:
    return bool(account) and (
        named == account or (named.startswith("arn:") and named.endswith(f":iam::{account}:root"))
    )


def _aws_grant(named: str, caller: Caller) -> Grant:
    if _is_account(named, caller.account):
        return Grant.ACCOUNT
    if caller.session_arn and named == caller.session_arn:
        return Grant.DIRECT
    if named in ("*", caller.arn) or (caller.unique_id and named == caller.unique_id):
        return Grant.ROLE if caller.session_arn or ":role/" in caller.arn else Grant.DIRECT
    return Grant.NONE


def principal_grant(principal: Any, caller: Caller) -> Grant:
    """How ``principal`` (``"*"`` or ``{"AWS": …, "Federated": …, "Service": …}``) names the caller, at its closest."""
    if principal == "*":
        principal = {"AWS": "*"}
    if not isinstance(principal, Mapping):
        return Grant.NONE
    if caller.kind in ("federated", "service"):
        named = _listed(principal.get("Federated" if caller.kind == "federated" else "Service", []))
        return Grant.DIRECT if caller.arn in named else Grant.NONE
    named = _listed(principal.get("AWS", []))
    if caller.kind == "anonymous":
        return Grant.DIRECT if "*" in named else Grant.NONE
    return max((_aws_grant(one, caller) for one in named), default=Grant.NONE)


def _spared(not_principal: Any, caller: Caller) -> bool:
    """A Deny with NotPrincipal spares only who is listed with account, ARN and (for a session) session."""
    if not caller.is_aws:
        return principal_grant(not_principal, caller) is not Grant.NONE
    named = _listed(not_principal.get("AWS", [])) if isinstance(not_principal, Mapping) else []
    if not_principal == "*" or "*" in named:
        return True
    account = any(_is_account(one, caller.account) for one in named)
    entities = [caller.arn, *([caller.session_arn] if caller.session_arn else [])]
    return account and all(one in named or _is_account(one, caller.account) for one in entities)


def names_caller(statement: Mapping[str, Any], caller: Caller, *, deny: bool) -> Grant:
    """How a statement's Principal or NotPrincipal takes in the caller; NONE if it does not."""
    if "Principal" in statement:
        return principal_grant(statement["Principal"], caller)
    if "NotPrincipal" not in statement:
        return Grant.NONE
    left_out = statement["NotPrincipal"]
    if deny:
        return Grant.NONE if _spared(left_out, caller) else Grant.ACCOUNT
    if not caller.is_aws or principal_grant(left_out, caller) is not Grant.NONE:
        return Grant.NONE
    return Grant.ACCOUNT
