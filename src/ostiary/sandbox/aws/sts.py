"""STS but for SAML: AssumeRole, GetCallerIdentity, GetSessionToken, GetAccessKeyInfo.

Source: STS API Reference; IAM User Guide, "Roles terms and concepts" (role chaining), "Pass session tags".
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from ostiary.model.policy import AuthRequest, assume_decision
from ostiary.sandbox.aws.authorize import policies_of, refused, request_context
from ostiary.sandbox.aws.call import Call, policy_document
from ostiary.sandbox.aws.documents import MAX_INLINE, identity_policy, shown_trust
from ostiary.sandbox.aws.iam_state import AwsError, Document, Role, Session

CHAINED_LIMIT = 3600
PACKED_LIMIT = 2048
_ROLE_ARN = re.compile(r"arn:[\w-]+:iam::\d{12}:role/.+")
Answer = dict[str, Any]


def credentials(session: Session) -> Answer:
    """The Credentials structure of every STS answer."""
    return {
        "AccessKeyId": session.access_key,
        "SecretAccessKey": session.secret,
        "SessionToken": session.token,
        "Expiration": session.expires,
    }


def get_caller_identity(call: Call) -> Answer:
    who = call.principal
    return {"UserId": who.user_id, "Account": who.account.id, "Arn": who.arn}


def get_access_key_info(call: Call) -> Answer:
    found = call.cloud.keys.get(call.params["AccessKeyId"])
    if found is None:
        raise AwsError("ValidationError", "Invalid access key id")
    return {"Account": found.account_id}


def get_session_token(call: Call) -> Answer:
    who = call.principal
    if who.session is not None or who.entity is None or isinstance(who.entity, Role):
        raise AwsError("AccessDenied", "Cannot call GetSessionToken with session credentials", 403)
    duration = call.params.get("DurationSeconds", 43_200)
    session = call.cloud.new_session(who.account, who.entity, "", duration)
    return {"Credentials": credentials(session)}


def session_policies(call: Call) -> tuple[Document, ...]:
    """The session policies of a request as documents; () is "no limit"."""
    account = call.cloud.accounts[call.params["RoleArn"].split(":")[4]]
    found: list[Document] = []
    for item in call.params.get("PolicyArns") or ():
        document = policy_document(call.cloud, account, item.get("arn", ""))
        if document is None:
            raise AwsError("ValidationError", f"Policy {item.get('arn')} does not exist")
        found.append(document)
    if text := call.params.get("Policy"):
        found.append(identity_policy(text, MAX_INLINE["user"], "session policy"))
    return tuple(found)


def assume_role(call: Call) -> Answer:
    params, who = call.params, call.principal
    arn = params["RoleArn"]
    if who.entity is None:
        raise AwsError("AccessDenied", "Roles may not be assumed by root accounts.", 403)
    if not _ROLE_ARN.fullmatch(arn):
        raise AwsError("ValidationError", f"{arn} is invalid")
    role = call.cloud.role(arn)
    if role is None:
        raise refused(call, "sts:AssumeRole", arn)
    account = call.cloud.account(arn.split(":")[4])
    if account.partition != who.account.partition or account.status != "ACTIVE":
        raise refused(call, "sts:AssumeRole", arn)
    tags = _session_tags(call)
    _authorize(call, role, tags)
    duration = params.get("DurationSeconds", 3600)
    if duration > role.max_session:
        raise AwsError(
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )
    chained = who.session is not None
    if chained and duration > CHAINED_LIMIT:
        raise AwsError(
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        )
    inherited = who.session.source_identity if who.session else ""
    session = call.cloud.new_session(
        account,
        role,
        params["RoleSessionName"],
        duration,
        policies=session_policies(call),
        tags=tags,
        transitive_tags=params.get("TransitiveTagKeys") or (),
        context={"sts:ExternalId": params["ExternalId"]} if "ExternalId" in params else {},
        source_identity=params.get("SourceIdentity", inherited),
        chained=chained,
    )
    if truth := account.roles.get(role.name):  # it may be deleted, and still visible
        account.roles.put(replace(truth, last_used=call.now))
    answer: Answer = {
        "Credentials": credentials(session),
        "AssumedRoleUser": {
            "AssumedRoleId": f"{role.id}:{session.session_name}",
            "Arn": session.principal_arn,
        },
    }
    if params.get("Policy") or tags:
        answer["PackedPolicySize"] = min(100, len(params.get("Policy", "")) * 100 // PACKED_LIMIT)
    if session.source_identity:
        answer["SourceIdentity"] = session.source_identity
    return answer


def _session_tags(call: Call) -> dict[str, str]:
    """The tags of the new session: those that chain on, then those that are asked for."""
    own = {tag["Key"]: tag["Value"] for tag in call.params.get("Tags") or ()}
    before = call.principal.session
    if before is None:
        return own
    passed = {key: before.tags[key] for key in before.transitive_tags if key in before.tags}
    if set(passed) & set(own):
        raise AwsError(
            "InvalidParameterValue", "One of the specified transitive tag keys can't be set"
        )
    return passed | own


def _authorize(call: Call, role: Role, tags: dict[str, str]) -> None:
    """The role's trust policy and the caller's own policies, weighed together."""
    who = call.principal
    context = request_context(call, "sts:AssumeRole")
    trust, mine = shown_trust(call.cloud, role), policies_of(call.cloud, who)
    actions = ["sts:AssumeRole"]
    if tags:
        actions.append("sts:TagSession")
    if "SourceIdentity" in call.params:
        actions.append("sts:SetSourceIdentity")
    for action in actions:
        request = AuthRequest(who.arn, who.account.id, action, role.arn, context)
        if not assume_decision(request, trust, mine).allowed:
            raise refused(call, action, role.arn)


def account_of(call: Call) -> str:
    """Whose account a call concerns: for AssumeRole the role's, else the caller's."""
    parts = str(call.params.get("RoleArn", "")).split(":") if call.service == "sts" else []
    return parts[4] if len(parts) > 4 else call.account.id  # noqa: PLR2004 - the account's place in an ARN
