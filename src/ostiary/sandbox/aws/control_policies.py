"""Service control policies: written once, attached to a root, an OU or an account.

Source: AWS Organizations API Reference and "Quotas and service limits". A target to which nothing else was
attached has ``FullAWSAccess``, as with every Organization where the policy type is enabled.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from ostiary.sandbox.aws.account_state import ControlPolicy
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.documents import identity_policy
from ostiary.sandbox.aws.iam_state import AwsError, Document
from ostiary.sandbox.aws.organizations import find_managed, paged
from ostiary.sandbox.aws.state import AwsOrganization

KIND = "SERVICE_CONTROL_POLICY"
FULL_ACCESS = ControlPolicy(
    "p-FullAWSAccess",
    "FullAWSAccess",
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]},
    "Allows access to every operation",
)
MAX_SIZE = 5_120  # characters
MAX_ATTACHED = 5  # to one target
_ID = re.compile(r"p-[0-9A-Za-z_]{8,128}")


def list_policies(call: Call) -> dict[str, Any]:
    organization = find_managed(call)
    _check_kind(call.params["Filter"])
    answer = paged(call, "Policies", _known(organization), lambda one: one.id)
    answer["Policies"] = [_summary(organization, one) for one in answer["Policies"]]
    return answer


def list_policies_for_target(call: Call) -> dict[str, Any]:
    organization, target = find_managed(call), call.params["TargetId"]
    _check_target(call, organization, target)
    _check_kind(call.params["Filter"])
    answer = paged(call, "Policies", _attached(organization, target), lambda one: one.id)
    answer["Policies"] = [_summary(organization, one) for one in answer["Policies"]]
    return answer


def describe_policy(call: Call) -> dict[str, Any]:
    organization = find_managed(call)
    return {"Policy": _shown(organization, _policy(call, organization))}


def create_policy(call: Call) -> dict[str, Any]:
    organization, params = find_managed(call), call.params
    _check_kind(params["Type"])
    if params["Name"] in {one.name for one in _known(organization)}:
        raise AwsError("DuplicatePolicyException", "A policy with the same name already exists.")
    try:
        document = identity_policy(params["Content"], MAX_SIZE, f"policy {params['Name']}")
    except AwsError as error:
        raise AwsError(
            "MalformedPolicyDocumentException",
            "The provided policy document does not meet the requirements.",
        ) from error
    policy = ControlPolicy(
        f"p-{call.cloud.new_hex(8)}", params["Name"], document, params["Description"]
    )
    organization.policies[policy.id] = policy
    return {"Policy": _shown(organization, policy)}


def delete_policy(call: Call) -> dict[str, Any]:
    organization = find_managed(call)
    policy = _policy(call, organization)
    if policy is FULL_ACCESS:
        raise AwsError("AccessDeniedException", "You can't delete an AWS managed policy.")
    if any(one is policy.document for held in organization.scps.values() for one in held):
        raise AwsError("PolicyInUseException", "The policy is attached to one or more entities.")
    organization.policies.pop(policy.id, None)
    return {}


def attach_policy(call: Call) -> dict[str, Any]:
    organization, target = find_managed(call), call.params["TargetId"]
    policy = _policy(call, organization)
    _check_target(call, organization, target)
    attached = _attached(organization, target)
    if policy.id in {one.id for one in attached}:
        raise AwsError(
            "DuplicatePolicyAttachmentException",
            "The selected policy is already attached to the specified target.",
        )
    if len(attached) >= MAX_ATTACHED:
        raise _constraint("You have attached the maximum number of policies to the target.")
    organization.scps[target] = [one.document for one in (*attached, policy)]
    return {}


def detach_policy(call: Call) -> dict[str, Any]:
    """Never the last one: a target without a policy would be a target where nothing is allowed."""
    organization, target = find_managed(call), call.params["TargetId"]
    policy = _policy(call, organization)
    _check_target(call, organization, target)
    attached = _attached(organization, target)
    left = [one.document for one in attached if one.id != policy.id]
    if len(left) == len(attached):
        raise AwsError(
            "PolicyNotAttachedException", "The policy isn't attached to the specified target."
        )
    if not left:
        raise _constraint("You cannot remove the last policy attached to the specified target.")
    organization.scps[target] = left
    return {}


def _constraint(text: str) -> AwsError:
    return AwsError("ConstraintViolationException", text)


def _check_kind(kind: str) -> None:
    if kind != KIND:
        raise AwsError(
            "PolicyTypeNotEnabledException",
            "This operation can be performed only for enabled policy types.",
        )


def _check_target(call: Call, organization: AwsOrganization, target: str) -> None:
    account = call.cloud.accounts.get(target)
    member = account is not None and account.organization == organization.id
    if target != organization.root and target not in organization.ous and not member:
        raise AwsError("TargetNotFoundException", "You specified a target that doesn't exist.")


def _policy(call: Call, organization: AwsOrganization) -> ControlPolicy:
    wanted = call.params["PolicyId"]
    if not _ID.fullmatch(wanted):
        raise AwsError(
            "InvalidInputException",
            "You provided a value that does not match the required pattern.",
        )
    for policy in _known(organization):
        if policy.id == wanted:
            return policy
    raise AwsError("PolicyNotFoundException", "You specified a policy that doesn't exist.")


def _known(organization: AwsOrganization) -> list[ControlPolicy]:
    attached = (one for target in organization.scps for one in _attached(organization, target))
    every = (FULL_ACCESS, *organization.policies.values(), *attached)
    return list({one.id: one for one in every}.values())


def _attached(organization: AwsOrganization, target: str) -> list[ControlPolicy]:
    held = organization.scps.get(target, [FULL_ACCESS.document])
    return [_of(organization, document) for document in held]


def _of(organization: AwsOrganization, document: Document) -> ControlPolicy:
    """The policy whose document this is; a seed may attach documents that nobody created by a call."""
    for policy in organization.policies.values():
        if policy.document is document:
            return policy
    if document == FULL_ACCESS.document:
        return FULL_ACCESS
    name = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:8]
    return ControlPolicy(f"p-{name}", f"p-{name}", document)


def _shown(organization: AwsOrganization, policy: ControlPolicy) -> dict[str, Any]:
    return {
        "PolicySummary": _summary(organization, policy),
        "Content": json.dumps(policy.document, separators=(",", ":")),
    }


def _summary(organization: AwsOrganization, policy: ControlPolicy) -> dict[str, Any]:
    by_aws = policy is FULL_ACCESS
    kind = KIND.lower()
    if by_aws:
        tail = f"aws:policy/{kind}/{policy.id}"
    else:
        tail = f"{organization.management_id}:policy/{organization.id}/{kind}/{policy.id}"
    return {
        "Id": policy.id,
        "Arn": f"arn:{organization.partition}:organizations::{tail}",
        "Name": policy.name,
        "Description": policy.description,
        "Type": KIND,
        "AwsManaged": by_aws,
    }
