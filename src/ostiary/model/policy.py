"""Decides whether AWS would allow a request, from the policies that apply to it.

Order and rules: explicit deny anywhere; every level of service control policies; resource-based policy;
permissions boundary; session policies; identity-based policies; same and cross account.
What cannot be decided (an unknown operator, a variable without a value) never allows.

Source: IAM User Guide, "Policy evaluation logic", "Policy evaluation for requests within a single account",
"Cross-account policy evaluation logic", "Troubleshoot access denied error messages" for the words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ostiary.model.policy_match import Context
from ostiary.model.policy_principal import Caller, Grant
from ostiary.model.policy_statement import Applies, applicable

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
    """

    identity: tuple[Document, ...] = ()
    boundary: Document | None = None
    session: tuple[Document, ...] | None = None
    resource: Document | None = None
    scps: tuple[tuple[Document, ...], ...] = ()
    resource_account: str = ""


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


def lowered(request: AuthRequest, resource_account: str = "") -> Context:
    """The request's context with lower-case keys and the keys that every request has."""
    context = {key.lower(): value for key, value in request.context.items()}
    context.setdefault("aws:principalarn", Caller.of(request.principal_arn).arn)
    context.setdefault("aws:principalaccount", request.principal_account)
    context.setdefault("aws:resourceaccount", resource_account or request.principal_account)
    return context


def _first(
    documents: Iterable[Document], effect: str, request: AuthRequest, context: Context
) -> Applies | None:
    for document in documents:
        found = applicable(document, effect, request.action, request.resource, context, None)
        if found is not None:
            return found
    return None


def decide(request: AuthRequest, policies: Policies) -> Decision:
    """What AWS would answer. Never raises on a policy's content: what is malformed does not allow."""
    context = lowered(request, policies.resource_account)
    caller = Caller.of(request.principal_arn, request.principal_account, context)
    groups: tuple[tuple[str, tuple[Document, ...]], ...] = (
        (SCP, tuple(document for level in policies.scps for document in level)),
        (BOUNDARY, (policies.boundary,) if policies.boundary is not None else ()),
        (SESSION, policies.session or ()),
        (IDENTITY, policies.identity),
    )
    for kind, documents in groups:
        if documents and (found := _first(documents, "Deny", request, context)):
            return _denied_by(kind, found.sid)
    if policies.resource is not None:
        found = applicable(
            policies.resource, "Deny", request.action, request.resource, context, caller
        )
        if found:
            return _denied_by(RESOURCE, found.sid)
    for level in policies.scps:
        if not _first(level, "Allow", request, context):
            return _lacking(SCP, request.action)
    return _granted(request, policies, context, caller)


def _granted(
    request: AuthRequest, policies: Policies, context: Context, caller: Caller
) -> Decision:
    """The allow side: which of resource policy, boundary, session and identity must say yes."""
    same_account = policies.resource_account in ("", request.principal_account)
    by_resource = None
    if policies.resource is not None:
        by_resource = applicable(
            policies.resource, "Allow", request.action, request.resource, context, caller
        )
    if not same_account and by_resource is None:
        return _lacking(RESOURCE, request.action)
    grant = by_resource.grant if by_resource and same_account else Grant.NONE
    if (
        grant is Grant.DIRECT and by_resource
    ):  # this very user or session: nothing implicit limits it
        return Decision(
            allowed=True, reason=f"allowed by {_article(RESOURCE)}", sid=by_resource.sid
        )
    return _by_identity(request, policies, context, by_resource if grant is Grant.ROLE else None)


def _by_identity(
    request: AuthRequest, policies: Policies, context: Context, by_role: Applies | None
) -> Decision:
    if policies.boundary is not None and not _first(
        (policies.boundary,), "Allow", request, context
    ):
        return _lacking(BOUNDARY, request.action)
    if policies.session is not None and not _first(policies.session, "Allow", request, context):
        return _lacking(SESSION, request.action)
    if by_role:
        return Decision(allowed=True, reason=f"allowed by {_article(RESOURCE)}", sid=by_role.sid)
    if request.principal_arn.endswith(":root"):
        return Decision(allowed=True, reason="the account's root user")
    found = _first(policies.identity, "Allow", request, context)
    if found is None:
        return _lacking(IDENTITY, request.action)
    return Decision(allowed=True, reason=f"allowed by {_article(IDENTITY)}", sid=found.sid)


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
    if caller.kind == "aws":
        keys.setdefault("aws:principalarn", caller.arn)
        keys.setdefault("aws:principalaccount", caller.account)
    denied = applicable(trust, "Deny", action, "*", keys, caller)
    if denied:
        return _denied_by(TRUST, denied.sid)
    allowed = applicable(trust, "Allow", action, "*", keys, caller)
    if allowed is None:
        return _lacking(TRUST, action)
    foreign = caller.kind == "aws" and role_account not in ("", caller.account)
    delegates = foreign or allowed.grant is Grant.ACCOUNT
    return Decision(
        allowed=True, reason=f"allowed by {_article(TRUST)}", sid=allowed.sid, delegates=delegates
    )


__all__ = [
    "AuthRequest",
    "Caller",
    "Decision",
    "Document",
    "Policies",
    "decide",
    "trust_decision",
]
