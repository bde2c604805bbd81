"""Key policies: what KMS accepts as one, and what it has to say about a call.

moto keeps the policy of a key and hardly asks it. Sources: AWS KMS API Reference, "CreateKey", "PutKeyPolicy"; AWS KMS
Developer Guide, "Key policies", "AWS KMS condition keys", "Default key policy" (the lockout safety check), "Update aliases". The
texts of the errors are from memory: unverified, as is the code of an alias's refusal to move. That ``kms:MessageType`` is RAW where a request says nothing is unverified too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ostiary.model.policy import AuthRequest, Policies, decide
from ostiary.sandbox.aws import behind, kms_keys
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.documents import malformed, named_principals, parsed, statements
from ostiary.sandbox.aws.iam_state import AwsError, Document

LARGEST = 32_768  # bytes of a key policy
SHORTEST_WAIT, LONGEST_WAIT = 7, 30  # days before a key is deleted
_OF_ALIAS = ("CreateAlias", "UpdateAlias", "DeleteAlias")
_NOT_OF_DELETED = ("TagResource", "UntagResource", "CreateAlias", "UpdateAlias")
_ENCRYPTING = ("Encrypt", "Decrypt", "GenerateDataKey")


def key_of(call: Call) -> Any:
    """moto's key that the call means; None where there is none."""
    return _key_at(call, str(call.params.get("KeyArn", "")))


def _key_at(call: Call, arn: str) -> Any:
    from moto.kms.models import kms_backends  # noqa: PLC0415 - see behind.py

    with behind.entered(call.cloud, "kms"):
        return kms_backends[call.account.id][call.region].keys.get(arn.rpartition("/")[2])


def policy_of(call: Call) -> Document | None:
    """The policy of the key that the call means. It must allow: without it no policy of IAM counts."""
    key = key_of(call)
    return None if key is None else json.loads(key.policy)


def alias_arn(call: Call) -> str:
    """Whoever gives, moves or takes an alias needs to be allowed that on the alias too; "" for other calls."""
    if call.operation not in _OF_ALIAS:
        return ""
    place = f"arn:{call.account.partition}:kms:{call.region}:{call.account.id}"
    return f"{place}:{call.params['AliasName']}"


def context_of(call: Call) -> Mapping[str, Any]:
    """KMS's own condition keys of a call."""
    params, key = call.params, key_of(call)
    context: dict[str, Any] = {"kms:CallerAccount": call.account.id}
    if call.operation in ("Sign", "Verify"):
        context["kms:MessageType"] = params.get("MessageType") or "RAW"
        context["kms:SigningAlgorithm"] = params["SigningAlgorithm"]
    if call.operation == "ScheduleKeyDeletion":
        days = str(params.get("PendingWindowInDays", LONGEST_WAIT))
        context["kms:ScheduleKeyDeletionPendingWindowInDays"] = days
    if str(params.get("KeyId", "")).startswith("alias/"):
        context["kms:RequestAlias"] = params["KeyId"]
    context["kms:KeySpec"] = key.key_spec if key else params.get("KeySpec", "SYMMETRIC_DEFAULT")
    context["kms:KeyUsage"] = key.key_usage if key else params.get("KeyUsage", "ENCRYPT_DECRYPT")
    if key is not None:
        context["kms:ResourceAliases"] = tuple(key.aliases)
        for tag in tags_of(call, key):
            context[f"aws:ResourceTag/{tag['TagKey']}"] = tag["TagValue"]
    elif tags := params.get("Tags"):
        context |= {f"aws:RequestTag/{tag['TagKey']}": tag["TagValue"] for tag in tags}
        context["aws:TagKeys"] = tuple(tag["TagKey"] for tag in tags)
    return context


def tags_of(call: Call, key: Any) -> list[dict[str, str]]:
    """The tags of a key as KMS lists them."""
    from moto.kms.models import kms_backends  # noqa: PLC0415 - see behind.py

    with behind.entered(call.cloud, "kms"):
        backend = kms_backends[call.account.id][call.region]
        found: list[dict[str, str]] = backend.list_resource_tags(key.id)["Tags"]
        return found


def check(call: Call) -> None:
    """Refuse what KMS refuses and moto takes. Raises AwsError."""
    params = call.params
    if call.operation == "CreateKey":
        _check_new(params)
    if call.operation in ("GetKeyPolicy", "PutKeyPolicy"):
        params.setdefault("PolicyName", "default")  # the only one that there is
    if call.operation in ("CreateKey", "PutKeyPolicy") and "Policy" in params:
        _check_policy(call, str(params["Policy"]))
    if call.operation == "ScheduleKeyDeletion":
        days = int(params.get("PendingWindowInDays", LONGEST_WAIT))
        if not SHORTEST_WAIT <= days <= LONGEST_WAIT:
            text = f"PendingWindowInDays is {days}; it is {SHORTEST_WAIT} to {LONGEST_WAIT}"
            raise AwsError("ValidationException", text)
    _check_state(call)
    if call.operation == "UpdateAlias":
        _check_moves(call)


def _check_moves(call: Call) -> None:
    """An alias goes to a key of the same type and usage only: who uses it would fail otherwise."""
    new, old = key_of(call), _key_at(call, kms_keys.left_behind(call))
    if new is None or old is None:
        return
    kinds = [(_type(key.key_spec), str(key.key_usage)) for key in (old, new)]
    if kinds[0] != kinds[1]:
        (was, used), (would, use) = kinds
        raise AwsError(
            "ValidationException",
            f"Alias {call.params['AliasName']} of a {was} {used} key cannot be updated to a {would} {use} key",
        )


def _type(spec: str) -> str:
    if spec.startswith("HMAC"):
        return "HMAC"
    return "symmetric" if spec == "SYMMETRIC_DEFAULT" else "asymmetric"


def _check_new(params: dict[str, Any]) -> None:
    """Only a symmetric key may leave its usage unsaid; an elliptic key does not encrypt."""
    spec, usage = str(params.get("KeySpec", "SYMMETRIC_DEFAULT")), params.get("KeyUsage")
    if spec == "SYMMETRIC_DEFAULT":
        usage = params.setdefault("KeyUsage", "ENCRYPT_DECRYPT")  # moto would keep none
    if usage is None:
        text = "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."
        raise AwsError("ValidationException", text)
    signs = spec.startswith(("RSA", "ECC", "SM2"))
    encrypts = spec == "SYMMETRIC_DEFAULT" or spec.startswith(("RSA", "SM2"))
    fits = {"SIGN_VERIFY": signs, "ENCRYPT_DECRYPT": encrypts}
    if usage in fits and not fits[str(usage)]:
        raise AwsError(
            "ValidationException", f"The KeyUsage {usage} is not compatible with KeySpec {spec}"
        )


def _check_policy(call: Call, text: str) -> None:
    """Grammar and size; and unless told otherwise, that the caller may still change it afterwards."""
    if len(text.encode()) > LARGEST:
        raise AwsError("LimitExceededException", f"The policy is larger than {LARGEST} bytes.")
    try:
        document = parsed(text)
        for one in statements(document):
            _check_statement(call, one)
    except AwsError as error:
        raise AwsError("MalformedPolicyDocumentException", error.message) from error
    if call.params.get("BypassPolicyLockoutSafetyCheck"):
        return
    asked = AuthRequest(call.principal.arn, call.account.id, "kms:PutKeyPolicy", "*")
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    rights = Policies(
        identity=({"Version": "2012-10-17", "Statement": [everything]},),
        resource=document,
        resource_must_allow=True,
    )
    if not decide(asked, rights).allowed:
        raise AwsError(
            "MalformedPolicyDocumentException",
            "The new key policy will not allow you to update the key policy in the future.",
        )


def _check_statement(call: Call, statement: object) -> None:
    needed = {"Effect", "Principal", "Action", "Resource"}
    if not isinstance(statement, dict):
        raise malformed("Syntax errors in policy.")
    if missing := needed - {name.removeprefix("Not") for name in statement}:
        raise malformed(f"Missing required field {min(missing)}")
    try:
        named_principals(call.cloud, call.account, statement)
    except AwsError as error:
        text = "Policy contains a statement with one or more invalid principals."
        raise malformed(text) from error


def _check_state(call: Call) -> None:
    key = key_of(call)
    if key is None:
        return
    deleted = key.key_state == "PendingDeletion"
    if deleted and call.operation in (*_ENCRYPTING, *_NOT_OF_DELETED):
        raise AwsError("KMSInvalidStateException", f"{key.arn} is pending deletion.")
    if call.operation in _ENCRYPTING:
        if not key.enabled:
            raise AwsError("DisabledException", f"{key.arn} is disabled.")
        if key.key_usage != "ENCRYPT_DECRYPT":
            raise AwsError(
                "InvalidKeyUsageException",
                f"{key.arn} key usage is {key.key_usage} which is not valid for {call.operation}.",
            )
