"""Whether the caller may: our evaluator over the policies of the embedded AWS.

Source: IAM User Guide, "AWS global condition context keys", "Troubleshoot access denied error messages".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ostiary.model.policy import AuthRequest, Policies, decide
from ostiary.sandbox.aws.call import Call, Principal, identity_policies, policy_document
from ostiary.sandbox.aws.iam_state import AwsError, Document, IamUser, Role
from ostiary.sandbox.aws.state import AwsAccount, Cloud

Context = dict[str, Any]
NOTHING: Document = {"Version": "2012-10-17", "Statement": []}  # of a boundary that is gone


def policies_of(cloud: Cloud, who: Principal) -> Policies:
    """Every policy that limits or empowers the caller."""
    account, entity, session = who.account, who.entity, who.session
    boundary = None
    if entity is not None and entity.boundary:
        boundary = policy_document(cloud, account, entity.boundary) or NOTHING
    return Policies(
        identity=identity_policies(cloud, account, entity) if entity is not None else (),
        boundary=boundary,
        session=session.session_policies if session and session.session_policies else None,
        scps=organization_levels(cloud, account),
    )


def organization_levels(cloud: Cloud, account: AwsAccount) -> tuple[tuple[Document, ...], ...]:
    """The service control policies from the root down; none for a management account.

    A level without any policy stands for FullAWSAccess.
    """
    organization = cloud.organization_of(account)
    if organization is None or organization.management_id == account.id or not organization.scps:
        return ()
    way = [*organization.lineage(account.ou_id), account.id]
    return tuple(tuple(organization.scps[step]) for step in way if step in organization.scps)


def request_context(call: Call, action: str) -> Context:
    """The condition keys of a request: global ones, the principal's, and those of its parameters."""
    who, now = call.principal, datetime.fromtimestamp(call.now, UTC)
    context: Context = {
        "aws:PrincipalArn": who.entity_arn,
        "aws:PrincipalAccount": who.account.id,
        "aws:PrincipalType": _kind(who),
        "aws:userid": who.user_id,
        "aws:SourceIp": "127.0.0.1",
        "aws:SecureTransport": "true" if call.request.origin.startswith("https:") else "false",
        "aws:CurrentTime": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "aws:EpochTime": str(int(call.now)),
        "aws:RequestedRegion": call.region,
        "aws:UserAgent": call.request.header("user-agent"),
        "aws:ViaAWSService": "false",
    }
    if who.account.organization:
        context["aws:PrincipalOrgID"] = who.account.organization
    if isinstance(who.entity, IamUser):
        context["aws:username"] = who.entity.name
    if who.entity is not None:
        context |= {f"aws:PrincipalTag/{key}": value for key, value in _tags(who).items()}
    if who.session is not None:
        context |= who.session.context
        issued = datetime.fromtimestamp(who.session.issued, UTC)
        context["aws:TokenIssueTime"] = f"{issued:%Y-%m-%dT%H:%M:%SZ}"
        context["aws:MultiFactorAuthPresent"] = "false"
        if who.session.source_identity:
            context["aws:SourceIdentity"] = who.session.source_identity
    return context | _of_parameters(call.params, action)


def _kind(who: Principal) -> str:
    if who.entity is None:
        return "Account"
    return "AssumedRole" if isinstance(who.entity, Role) else "User"


def _tags(who: Principal) -> Mapping[str, str]:
    own = dict(who.entity.tags) if who.entity else {}
    return own | dict(who.session.tags) if who.session else own


def _of_parameters(params: Mapping[str, Any], action: str) -> Context:
    context: Context = {}
    tags = params.get("Tags")
    if specified := params.get("TagSpecifications"):
        tags = [tag for one in specified for tag in one.get("Tags") or ()]
    if isinstance(tags, list) and tags and "Key" in tags[0]:
        context |= {f"aws:RequestTag/{tag['Key']}": tag.get("Value", "") for tag in tags}
        context["aws:TagKeys"] = tuple(tag["Key"] for tag in tags)
    elif "TagKeys" in params:
        context["aws:TagKeys"] = tuple(params["TagKeys"])
    keys = _KEYS.get(action.partition(":")[0], _IAM_KEYS)
    return context | {key: params[name] for name, key in keys.items() if name in params}


_STS_KEYS = {
    "RoleSessionName": "sts:RoleSessionName",
    "ExternalId": "sts:ExternalId",
    "SourceIdentity": "sts:SourceIdentity",
}
_S3_KEYS = {"Prefix": "s3:prefix"}
_IAM_KEYS = {"PolicyArn": "iam:PolicyARN", "PermissionsBoundary": "iam:PermissionsBoundary"}
_KEYS = {"sts": _STS_KEYS, "s3": _S3_KEYS}


def authorize(
    call: Call,
    action: str,
    resource: str,
    target: object,
    policy: Document | None = None,
    *,
    more: Mapping[str, Any] | None = None,
    must: bool = False,
) -> None:
    """Raise AccessDenied unless the caller may do ``action`` on ``resource`` (an ARN, or ``*``).

    ``policy`` is the resource's own, where it has one; ``must`` says that nothing goes without it. ``more`` are condition keys of this one action.

    ``target`` is the object that ``resource`` names, when there is one: its tags and boundary are keys too.
    """
    context = request_context(call, action) | dict(more or {})
    for key, value in (getattr(target, "tags", None) or {}).items():
        context[f"aws:ResourceTag/{key}"] = context[f"iam:ResourceTag/{key}"] = value
    if boundary := getattr(target, "boundary", None):
        context.setdefault("iam:PermissionsBoundary", boundary)
    check_denied_switch(call, call.account.id, action, resource)
    request = AuthRequest(call.principal.arn, call.account.id, action, resource, context)
    limits = policies_of(call.cloud, call.principal)
    decision = decide(request, replace(limits, resource=policy, resource_must_allow=must))
    if not decision.allowed:
        raise refused(call, action, resource, decision.because)


def check_denied_switch(call: Call, account_id: str, action: str, resource: str) -> None:
    """The world's switch that forbids an action in an account, whoever asks."""
    denied = call.world.switches.denied
    if denied and denied & {(account_id, action), (account_id, "*")}:
        raise refused(call, action, resource, "with an explicit deny in a service control policy")


def refused(call: Call, action: str, resource: str, because: str = "") -> AwsError:
    text = (
        f"User: {call.principal.arn} is not authorized to perform: {action} on resource: {resource}"
    )
    return AwsError("AccessDenied", f"{text} {because}".strip(), 403)
