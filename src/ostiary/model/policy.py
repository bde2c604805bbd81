"""Decides whether AWS would allow a request, from the policies that apply to it.

Order and rules: explicit deny anywhere; every level of service control policies; resource-based policy;
permissions boundary; session policies; identity-based policies; same and cross account.
What cannot be decided (an unknown operator, a variable without a value) never allows.

Source: IAM User Guide, "Policy evaluation logic", "Policy evaluation for requests within a single account",
"Cross-account policy evaluation logic", "Troubleshoot access denied error messages" for the words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from ostiary.model.policy_match import ARN_PARTS, Context
from ostiary.model.policy_principal import Caller, Grant
from ostiary.model.policy_statement import Applies, Ask, applicable

Document: TypeAlias = Mapping[str, Any]

IDENTITY = "identity-based policy"
RESOURCE = "resource-based policy"
BOUNDARY = "permissions boundary"
SESSION = "session policy"
SCP = "service control policy"
TRUST = "role trust policy"


@dataclass(frozen=True, slots=True)
class AuthRequest:
    """One call as AWS authorizes it.

    ``principal_arn`` is the caller's ARN as ``GetCallerIdentity`` gives it (a session's for an assumed role);
    ``action`` is ``iam:GetRole``; ``resource`` an ARN or ``*``. ``context`` are condition keys in any case; a
    tuple is a multivalued key. ``aws:PrincipalArn`` and ``aws:PrincipalAccount`` are added if they are missing
    (give the role's ARN in ``aws:PrincipalArn`` for a role that has a path).
    """

    principal_arn: str
    principal_account: str
    action: str
    resource: str = "*"
    context: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Policies:
    """Every policy that applies to a request; a document is parsed JSON.

    None is "there is no such policy", an empty tuple of ``session`` documents allows nothing.
    ``scps`` has one tuple of documents per level (root, OUs, account); each level must allow. Give none for a
    management account or a service-linked role. ``resource_account`` "" is the caller's own.
    ``resource_must_allow`` is for role trust policies and KMS keys, where the resource-based policy has to allow
    even within the account.
    """

    identity: tuple[Document, ...] = ()
    boundary: Document | None = None
    session: tuple[Document, ...] | None = None
    resource: Document | None = None
    scps: tuple[tuple[Document, ...], ...] = ()
    resource_account: str = ""
    resource_must_allow: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """``reason`` is ``explicit deny in …``, ``no … allows the … action`` or what allowed it; ``sid`` the statement's.

    ``delegates`` (trust decisions only): the trust policy lets the account decide, so the caller's own policies
    must allow the action too.
    """

    allowed: bool
    reason: str
    sid: str = ""
    delegates: bool = False

    @property
    def because(self) -> str:
        """The end of AWS's sentence: ``User: … is not authorized to perform: … because no … allows …``."""
        return f"{'with an' if self.reason.startswith('explicit') else 'because'} {self.reason}"


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _denied_by(kind: str, sid: str) -> Decision:
    return Decision(allowed=False, reason=f"explicit deny in {_article(kind)}", sid=sid)


def _lacking(kind: str, action: str) -> Decision:
    return Decision(allowed=False, reason=f"no {kind} allows the {action} action")


def _allowed(kind: str, by: Applies) -> Decision:
    return Decision(allowed=True, reason=f"allowed by {_article(kind)}", sid=by.sid)


def lowered(request: AuthRequest, resource_account: str = "") -> Context:
    """The request's context with lower-case keys and the keys that every request has."""
    context = {key.lower(): value for key, value in request.context.items()}
    if "aws:principalarn" not in context:
        context["aws:principalarn"] = Caller.of(request.principal_arn).arn
    context.setdefault("aws:principalaccount", request.principal_account)
    context.setdefault("aws:resourceaccount", resource_account or request.principal_account)
    return context


def _first(documents: Iterable[Document], effect: str, ask: Ask) -> Applies | None:
    for document in documents:
        found = applicable(document, effect, ask)
        if found is not None:
            return found
    return None


def decide(request: AuthRequest, policies: Policies) -> Decision:
    """What AWS would answer. Never raises on a policy's content: what is malformed does not allow."""
    context = lowered(request, policies.resource_account)
    ask = Ask(request.action, request.resource, context)
    for level in policies.scps:
        if found := _first(level, "Deny", ask):
            return _denied_by(SCP, found.sid)
    for kind, documents in (
        (BOUNDARY, () if policies.boundary is None else (policies.boundary,)),
        (SESSION, policies.session or ()),
        (IDENTITY, policies.identity),
    ):
        if found := _first(documents, "Deny", ask):
            return _denied_by(kind, found.sid)
    granted = None
    if policies.resource is not None:
        caller = Caller.of(request.principal_arn, request.principal_account, context)
        from_resource = replace(ask, caller=caller)
        if found := applicable(policies.resource, "Deny", from_resource):
            return _denied_by(RESOURCE, found.sid)
        granted = applicable(policies.resource, "Allow", from_resource)
    if not all(_first(level, "Allow", ask) for level in policies.scps):
        return _lacking(SCP, request.action)
    return _granted(request, policies, ask, granted)


def _granted(
    request: AuthRequest, policies: Policies, ask: Ask, by_resource: Applies | None
) -> Decision:
    """The allow side: which of resource policy, boundary, session and identity must say yes."""
    same_account = policies.resource_account in ("", request.principal_account)
    if by_resource is None and (policies.resource_must_allow or not same_account):
        return _lacking(RESOURCE, request.action)
    grant = by_resource.grant if by_resource and same_account else Grant.NONE
    if (
        by_resource and grant is Grant.DIRECT
    ):  # this very user or session: nothing implicit limits it
        return _allowed(RESOURCE, by_resource)
    if policies.boundary is not None and not applicable(policies.boundary, "Allow", ask):
        return _lacking(BOUNDARY, request.action)
    if policies.session is not None and not _first(policies.session, "Allow", ask):
        return _lacking(SESSION, request.action)
    if by_resource and grant is Grant.ROLE:
        return _allowed(RESOURCE, by_resource)
    if request.principal_arn.endswith(":root"):
        return Decision(allowed=True, reason="the account's root user")
    found = _first(policies.identity, "Allow", ask)
    return _allowed(IDENTITY, found) if found else _lacking(IDENTITY, request.action)


def trust_decision(
    trust: Document,
    *,
    caller: Caller,
    action: str,
    context: Mapping[str, str | tuple[str, ...]],
    role_account: str = "",
) -> Decision:
    """Whether a role's trust policy lets ``caller`` perform ``action`` (``sts:AssumeRole``, ``sts:TagSession``, …).

    When ``delegates`` is set the caller's own policies must allow the action too: always across accounts, and in
    the role's own account (``role_account``; "" = the caller's) when only the account is named. A statement that
    names the user or role itself suffices within the account. Federated and service callers never delegate.
    """
    keys = {key.lower(): value for key, value in context.items()}
    if caller.is_aws:
        keys.setdefault("aws:principalarn", caller.arn)
        keys.setdefault("aws:principalaccount", caller.account)
    if caller.kind == "account-root" and action == "sts:AssumeRole":
        return Decision(allowed=False, reason="roles may not be assumed by root accounts")
    ask = Ask(action, "*", keys, caller)
    if denied := applicable(trust, "Deny", ask):
        return _denied_by(TRUST, denied.sid)
    allowed = applicable(trust, "Allow", ask)
    if allowed is None:
        return _lacking(TRUST, action)
    foreign = caller.is_aws and role_account not in ("", caller.account)
    return replace(_allowed(TRUST, allowed), delegates=foreign or allowed.grant is Grant.ACCOUNT)


def assume_decision(request: AuthRequest, trust: Document, policies: Policies) -> Decision:
    """Whether an AWS caller may ``sts:AssumeRole`` (or TagSession, SetSourceIdentity) on ``request.resource``, a role.

    ``policies`` are the caller's; trust policy and caller's policies are weighed as AWS does it, within the account
    or across.
    """
    if request.principal_arn.endswith(":root"):
        return Decision(allowed=False, reason="roles may not be assumed by root accounts")
    parts = request.resource.split(":")
    account = parts[4] if len(parts) >= ARN_PARTS else ""
    return decide(
        request,
        replace(policies, resource=trust, resource_account=account, resource_must_allow=True),
    )


__all__ = [
    "AuthRequest",
    "Caller",
    "Decision",
    "Document",
    "Policies",
    "assume_decision",
    "decide",
    "trust_decision",
]
