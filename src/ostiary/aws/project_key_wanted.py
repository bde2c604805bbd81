"""The key of a project as it should be: its kind, and the statements of its policy that are ours.

Sources: AWS KMS Developer Guide, "Key policies" (a statement for the account's root lets IAM policies count), "AWS KMS
condition keys" (kms:SigningAlgorithm, kms:MessageType); IAM User Guide, "Policy evaluation logic" (Deny counts for all).
"""

from __future__ import annotations

from typing import Any

from ostiary.aws.policy_document import canonical
from ostiary.plan.resource import Key, Resource, Value

KIND = "kms-key"
NEXT = "/next"  # after a project's name, which has no slash: the key that its rotation goes to
ALGORITHMS = {"ECC_NIST_P256": "ECDSA_SHA_256", "RSA_2048": "RSASSA_PKCS1_V1_5_SHA_256"}
OURS = "Ostiary"  # how the Sid of each begins
# What an administrator of the account may be allowed by IAM policies. Signing is not among it, nor are grants to sign. What
# ends a key is, and counts once somebody has taken the statement away that denies it to all.
_ADMINISTRATION = (
    "kms:CancelKeyDeletion", "kms:CreateAlias", "kms:DeleteAlias", "kms:DescribeKey", "kms:DisableKey", "kms:EnableKey",
    "kms:GetKeyPolicy", "kms:GetPublicKey", "kms:ListGrants", "kms:ListKeyPolicies", "kms:ListResourceTags",
    "kms:PutKeyPolicy", "kms:RevokeGrant", "kms:ScheduleKeyDeletion", "kms:TagResource", "kms:UntagResource",
    "kms:UpdateAlias", "kms:UpdateKeyDescription",
)  # fmt: skip
_USE = ("kms:Sign", "kms:GetPublicKey", "kms:DescribeKey")
_ENDS = ("kms:DeleteImportedKeyMaterial", "kms:DisableKey", "kms:ScheduleKeyDeletion")


def wanted_key(
    account: str, region: str, project: str, *, signer: str, spec: str = "ECC_NIST_P256"
) -> Resource:
    """The key of a project as it should be: ``signer`` is the ARN of the control plane's role, and nobody else signs."""
    policy = canonical(_statements(account, signer, ALGORITHMS[spec]))
    wanted: dict[str, Value] = {"spec": spec, "enabled": True, "policy": policy}
    return Resource(_key(account, region, project), wanted)


def next_key(account: str, region: str, project: str, *, signer: str) -> Resource:
    """The key that a rotation of the project goes to, as ``wanted_key``: behind an alias of its own until it signs."""
    return wanted_key(account, region, f"{project}{NEXT}", signer=signer)


def named_key(account: str, region: str, project: str, arn: str) -> Resource:
    """That the project's alias names this key, which signs now."""
    return Resource(_key(account, region, project), {"arn": arn})


def _key(account: str, region: str, project: str) -> Key:
    return Key(KIND, account, f"{region}/{project}")


def _statements(account: str, signer: str, algorithm: str) -> list[dict[str, Any]]:
    """``signer`` is the ARN of the one that signs, by ``algorithm`` alone; the policy stays with the account."""
    partition = signer.split(":")[1]
    root = f"arn:{partition}:iam::{account}:root"
    one_way = {"kms:SigningAlgorithm": algorithm, "kms:MessageType": "RAW"}
    return [
        _statement("Administration", "Allow", {"AWS": root}, Action=list(_ADMINISTRATION)),
        _statement(
            "Sign",
            "Allow",
            {"AWS": signer},
            Action="kms:Sign",
            Condition={"StringEquals": one_way},
        ),
        _statement(
            "Look", "Allow", {"AWS": signer}, Action=["kms:GetPublicKey", "kms:DescribeKey"]
        ),
        _statement("NothingElse", "Deny", {"AWS": signer}, NotAction=list(_USE)),
        _statement("Stays", "Deny", "*", Action=list(_ENDS)),
    ]


def _statement(name: str, effect: str, principal: Any, **more: Any) -> dict[str, Any]:
    given = {"Sid": f"{OURS}{name}", "Effect": effect, "Principal": principal}
    return {**given, **more, "Resource": "*"}
