"""Buckets as moto keeps them: whose one is and where, what a new one has.

Source: Amazon S3 User Guide, "Bucket owner condition", "Creating a bucket", "Default encryption FAQ", "Blocking public
access" (since April 2023 a new bucket has it all on), "Controlling ownership of objects".
"""

from __future__ import annotations

from typing import Any

from ostiary.sandbox.aws import behind
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.s3_requests import check_name, check_region


def check_bucket(call: Call) -> None:
    """The bucket that a call names is there, its owner's, the one expected, and in the region of the call."""
    name = call.params["Bucket"]
    found = bucket_of(call, name)
    home = str(found.region_name) if found is not None else None
    if call.operation == "CreateBucket":
        check_name(name)
        check_region(call.operation, call.request, call.region, home)
        if found is not None:
            _check_new(call, found)
        return
    if found is None:
        raise AwsError(
            "NoSuchBucket", "The specified bucket does not exist", 404, {"BucketName": name}
        )
    expected = call.request.header("x-amz-expected-bucket-owner")
    if call.account.id != found.account_id or expected not in ("", found.account_id):
        raise AwsError("AccessDenied", "Access Denied", 403)
    check_region(call.operation, call.request, call.region, home)


def _check_new(call: Call, found: Any) -> None:
    if found.account_id != call.account.id:
        raise AwsError(
            "BucketAlreadyExists",
            "The requested bucket name is not available. The bucket namespace is shared by all users of the system."
            " Please select a different name and try again.",
            409,
        )
    if call.region != "us-east-1" or found.region_name != call.region:
        raise AwsError(
            "BucketAlreadyOwnedByYou",
            "Your previous request to create the named bucket succeeded and you already own it.",
            409,
        )


def bucket_of(call: Call, name: str) -> Any:
    """moto's bucket of this name in the caller's partition, anybody's; None when there is none."""
    with behind.entered(call.cloud, "s3"):
        from moto.s3.models import s3_backends  # noqa: PLC0415 - see behind.py

        owner = s3_backends.bucket_accounts.get(name)
        if owner is None or owner[0] != call.account.partition:
            return None
        return s3_backends[owner[1]][owner[0]].buckets.get(name)


def settle(call: Call) -> None:
    """What a new bucket has by itself, and what goes with one that is deleted."""
    name = call.params["Bucket"]
    if call.operation == "DeleteBucket":
        call.cloud.uploads.forget(name)
        call.cloud.bucket_policies.pop(name, None)
        return
    from moto.s3.models import PublicAccessBlock  # noqa: PLC0415 - see behind.py

    bucket = bucket_of(call, name)
    if bucket.encryption is None:
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        bucket.encryption = {"Rule": rule | {"BucketKeyEnabled": "false"}}
        bucket.ownership_rule = bucket.ownership_rule or "BucketOwnerEnforced"
        bucket.public_access_block = PublicAccessBlock("true", "true", "true", "true")
