"""The role that VM Import works as: may the service assume it, and may the role do what an import needs?

Source: VM Import/Export User Guide, "Required service role"; IAM User Guide, "The confused deputy problem".
"""

from __future__ import annotations

from collections.abc import Iterable

from ostiary.model.policy import AuthRequest, Caller, Policies, decide, trust_decision
from ostiary.sandbox.aws.authorize import NOTHING, organization_levels
from ostiary.sandbox.aws.call import Call, identity_policies, policy_document
from ostiary.sandbox.aws.documents import shown_trust
from ostiary.sandbox.aws.iam_state import AwsError, Role

SERVICE = "vmie.amazonaws.com"
_EC2 = (
    "ec2:ModifySnapshotAttribute",
    "ec2:CopySnapshot",
    "ec2:RegisterImage",
    "ec2:DescribeImages",
)
_KMS: tuple[str, ...] = (
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKeyWithoutPlaintext",
)
_KMS += ("kms:ReEncryptFrom", "kms:ReEncryptTo")


def missing(name: str) -> AwsError:
    return AwsError(
        "InvalidParameter",
        f"The service role {name} provided does not exist or does not have sufficient permissions",
    )


def check(call: Call, name: str, bucket: str, key: str, kms_key: str) -> Role:
    """The role, if the service may use it for this object. InvalidParameter, in the service's words, if not."""
    role = call.account.roles.seen(name, call.now)
    if role is None or not _trusts(call, role):
        raise missing(name)
    partition = call.account.partition
    bucket_arn = f"arn:{partition}:s3:::{bucket}"
    wanted: list[tuple[str, str]] = [
        ("s3:GetBucketLocation", bucket_arn),
        ("s3:ListBucket", bucket_arn),
        ("s3:GetObject", f"{bucket_arn}/{key}"),
        *((action, "*") for action in _EC2),
        *((action, kms_key) for action in _KMS if kms_key),
    ]
    if not _may(call, role, wanted):
        raise missing(name)
    return role


def _trusts(call: Call, role: Role) -> bool:
    account = call.account
    decision = trust_decision(
        shown_trust(call.cloud, role),
        caller=Caller("service", SERVICE),
        action="sts:AssumeRole",
        context={
            "sts:ExternalId": "vmimport",
            "aws:SourceAccount": account.id,
            "aws:SourceArn": f"arn:{account.partition}:vmie:{call.region}:{account.id}:task/import",
        },
        role_account=account.id,
    )
    return decision.allowed


def _may(call: Call, role: Role, wanted: Iterable[tuple[str, str]]) -> bool:
    account = call.account
    boundary = None
    if role.boundary:
        boundary = policy_document(call.cloud, account, role.boundary) or NOTHING
    policies = Policies(
        identity=identity_policies(call.cloud, account, role),
        boundary=boundary,
        scps=organization_levels(call.cloud, account),
    )
    arn = f"arn:{call.account.partition}:sts::{call.account.id}:assumed-role/{role.name}/vmimport"
    context = {"aws:PrincipalArn": role.arn, "aws:RequestedRegion": call.region}
    for action, resource in wanted:
        request = AuthRequest(arn, call.account.id, action, resource, context)
        if not decide(request, policies).allowed:
            return False
    return True
