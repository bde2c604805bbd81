"""Enabling, disabling and deleting of KMS keys: moto takes only bare ids here, and answers less than KMS.

Source: AWS KMS API Reference, "DisableKey", "ScheduleKeyDeletion", "CancelKeyDeletion"; AWS KMS Developer Guide, "Key states".
"""

from __future__ import annotations

from typing import Any

from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.kms_policy import LONGEST_WAIT, key_of

OPERATIONS = ("EnableKey", "DisableKey", "ScheduleKeyDeletion", "CancelKeyDeletion")
_DAY = 86400


def serve(call: Call) -> dict[str, Any]:
    """The answer to one of ``OPERATIONS``. Raises AwsError as KMS refuses."""
    key = key_of(call)
    if key is None:
        raise AwsError("NotFoundException", f"Key '{call.params['KeyArn']}' does not exist")
    deleted = key.key_state == "PendingDeletion"
    if deleted and call.operation != "CancelKeyDeletion":
        raise AwsError("KMSInvalidStateException", f"{key.arn} is pending deletion.")
    if call.operation == "CancelKeyDeletion":
        if not deleted:
            raise AwsError("KMSInvalidStateException", f"{key.arn} is not pending deletion.")
        _become(key, "Disabled")
        return {"KeyId": key.arn}
    if call.operation != "ScheduleKeyDeletion":
        _become(key, "Enabled" if call.operation == "EnableKey" else "Disabled")
        return {}
    days = int(call.params.get("PendingWindowInDays", LONGEST_WAIT))
    _become(key, "PendingDeletion")
    when = call.now + days * _DAY
    told = {"KeyState": "PendingDeletion", "PendingWindowInDays": days}
    return {"KeyId": key.arn, "DeletionDate": when, **told}


def _become(key: Any, state: str) -> None:
    key.key_state = state
    key.enabled = state == "Enabled"
