"""Object Lock: what a locked bucket asks of a write, and what nobody may do to a locked version. moto keeps mode and date.

Source: Amazon S3 User Guide, "Locking objects with Object Lock", "Object Lock considerations"; API Reference, PutObject,
PutObjectRetention, PutBucketVersioning. Unverified: the exact messages, which are those that clients report of S3.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from ostiary.sandbox.aws import behind
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.s3_buckets import bucket_of

OPERATIONS = frozenset({"PutObject", "PutObjectRetention", "DeleteObject", "PutBucketVersioning"})
MODES = ("GOVERNANCE", "COMPLIANCE")
_MODE, _UNTIL = "x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date"


def also_needed(call: Call) -> tuple[str, ...]:
    """Actions that a call with Object Lock in it must be allowed beside its own."""
    header = call.request.header
    if call.operation == "CreateBucket" and _asks_for_lock(call):
        return ("s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning")
    if call.operation == "PutObject" and (header(_MODE) or header(_UNTIL)):
        return ("s3:PutObjectRetention",)
    if call.operation == "DeleteObject" and call.request.query.get("versionId"):
        return ("s3:DeleteObjectVersion",)
    return ()


def check(call: Call) -> None:
    """Raise what S3 says where Object Lock forbids the call."""
    bucket = bucket_of(call, call.params["Bucket"])
    if call.operation == "PutObject":
        _check_put(call, bucket)
    elif call.operation == "PutObjectRetention":
        _check_retention(call, bucket)
    elif call.operation == "DeleteObject":
        _check_delete(call, bucket)
    elif bucket.object_lock_enabled and b"<Status>Suspended<" in call.request.body:
        text = "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
        raise AwsError("InvalidBucketState", text, 409)


def _asks_for_lock(call: Call) -> bool:
    return call.request.header("x-amz-bucket-object-lock-enabled").lower() == "true"


def _check_put(call: Call, bucket: Any) -> None:
    mode, until = call.request.header(_MODE), call.request.header(_UNTIL)
    if not mode and not until:
        return
    if not bucket.object_lock_enabled:
        raise _invalid("InvalidRequest", "Bucket is missing Object Lock Configuration")
    if not mode or not until:
        text = f"{_UNTIL} and {_MODE} must both be supplied"
        raise _invalid("InvalidArgument", text)
    _check_terms(call, mode, until)


def _check_retention(call: Call, bucket: Any) -> None:
    """In compliance mode a retention may only be made longer, by nobody shorter; moto would write whatever comes."""
    if not bucket.object_lock_enabled:
        raise _invalid("InvalidRequest", "Bucket is missing Object Lock Configuration")
    mode = _between(call.request.body, "Mode")
    until = _between(call.request.body, "RetainUntilDate")
    now = _version(call, bucket)
    if now is not None and _holds(now, call.now):
        shorter = not until or _seconds(until) < _seconds(now.lock_until)
        weaker = mode != now.lock_mode
        bypassed = (
            now.lock_mode == "GOVERNANCE"
            and call.request.header("x-amz-bypass-governance-retention").lower() == "true"
        )
        if (shorter or weaker) and not bypassed:
            raise _denied()
    if mode or until:
        _check_terms(call, mode, until)


def _check_terms(call: Call, mode: str, until: str) -> None:
    if mode not in MODES:
        raise _invalid("InvalidArgument", "Unknown wormMode directive.")
    if _seconds(until) <= call.now:
        raise _invalid("InvalidArgument", "The retain until date must be in the future!")


def _check_delete(call: Call, bucket: Any) -> None:
    """Without a version only a delete marker is made, which takes nothing away."""
    version = call.request.query.get("versionId")
    found = _version(call, bucket) if version else None
    if found is None or not getattr(found, "lock_mode", None):
        return
    if _holds(found, call.now):
        bypassed = call.request.header("x-amz-bypass-governance-retention").lower() == "true"
        if found.lock_mode == "COMPLIANCE" or not bypassed:
            raise _denied()
    else:
        found.lock_mode = (
            None  # the time is up by the clock of this world; moto goes by the machine's
        )


def _version(call: Call, bucket: Any) -> Any:
    """The version that the call names, or the newest; None where there is none."""
    wanted = call.request.query.get("versionId")
    with behind.entered(call.cloud, "s3"):
        kept = bucket.keys.getlist(call.params["Key"]) or []
    for one in reversed(kept):
        if not wanted or str(one.version_id) == wanted:
            return one
    return None


def _holds(version: Any, now: float) -> bool:
    mode, until = getattr(version, "lock_mode", None), getattr(version, "lock_until", None)
    return bool(mode and until and _seconds(until) > now)


def _seconds(text: str) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise _invalid(
            "InvalidArgument", "The retain until date must be provided in ISO 8601 format"
        ) from error
    return found.replace(tzinfo=found.tzinfo or UTC).timestamp()


def _between(body: bytes, name: str) -> str:
    found = re.search(rf"<{name}>([^<]*)</{name}>".encode(), body)
    return found[1].decode() if found else ""


def _invalid(code: str, text: str) -> AwsError:
    return AwsError(code, text, 400)


def _denied() -> AwsError:
    return AwsError("AccessDenied", "Access Denied because object protected by object lock.", 403)
