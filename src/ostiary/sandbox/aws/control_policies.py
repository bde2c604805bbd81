"""Service control policies as Organizations shows them: what is attached to a root, an OU or an account.

Source: AWS Organizations API Reference, ListPoliciesForTarget and DescribePolicy. A target to which nothing else
was attached has ``FullAWSAccess``, as with every Organization where the policy type is enabled.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ostiary.model.policy import Document
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.organizations import find_managed
from ostiary.sandbox.aws.state import AwsOrganization

FULL_ACCESS: Document = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}
KIND = "SERVICE_CONTROL_POLICY"


def list_policies_for_target(call: Call) -> dict[str, Any]:
    organization, target = find_managed(call), call.params["TargetId"]
    account = call.cloud.accounts.get(target)
    member = account is not None and account.organization == organization.id
    if target != organization.root and target not in organization.ous and not member:
        raise AwsError("TargetNotFoundException", "You specified a target that doesn't exist.")
    if call.params["Filter"] != KIND:
        raise AwsError("PolicyTypeNotEnabledException", "The policy type is not enabled.")
    attached = organization.scps.get(target, [FULL_ACCESS])
    return {"Policies": [_summary(organization, document) for document in attached]}


def describe_policy(call: Call) -> dict[str, Any]:
    organization, policy_id = find_managed(call), call.params["PolicyId"]
    known = [FULL_ACCESS, *(one for attached in organization.scps.values() for one in attached)]
    for document in known:
        summary = _summary(organization, document)
        if summary["Id"] == policy_id:
            return {"Policy": {"PolicySummary": summary, "Content": json.dumps(document)}}
    raise AwsError("PolicyNotFoundException", "You specified a policy that doesn't exist.")


def _summary(organization: AwsOrganization, document: Document) -> dict[str, Any]:
    if document == FULL_ACCESS:
        name, policy_id, owner = "FullAWSAccess", "p-FullAWSAccess", "aws"
    else:
        text = json.dumps(document, sort_keys=True).encode()
        name = policy_id = f"p-{hashlib.sha256(text).hexdigest()[:8]}"
        owner = f"{organization.management_id}"
    tail = f"policy/{KIND.lower()}/{policy_id}"
    if owner != "aws":
        tail = tail.replace("policy/", f"policy/{organization.id}/", 1)
    return {
        "Id": policy_id,
        "Arn": f"arn:{organization.partition}:organizations::{owner}:{tail}",
        "Name": name,
        "Description": "Allows access to every operation" if owner == "aws" else "",
        "Type": KIND,
        "AwsManaged": owner == "aws",
    }
