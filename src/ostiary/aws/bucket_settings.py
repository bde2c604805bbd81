"""How our bucket for uploads is set: nothing public, TLS alone, encrypted, nothing kept for long.

What is there already stays: rules, statements and tags of others are kept, ours are put beside them by id. The mark is
written last, so a bucket that bears it was settled wholly and is not written to again.
Source: Amazon S3 User Guide, "Blocking public access", "Managing the lifecycle of objects", "Security best practices"
(aws:SecureTransport), "Controlling ownership of objects".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ostiary.aws.ownership import TAG
from ostiary.aws.session import Aws
from ostiary.errors import OstiaryError

OWN = "gateway-import"
RULE = "ostiary-uploads"
SID = "OstiaryTlsOnly"
KEPT_DAYS = 7
NO_ENCRYPTION = "ServerSideEncryptionConfigurationNotFoundError"
_ABSENT = frozenset({"NoSuchTagSet", "NoSuchLifecycleConfiguration", "NoSuchBucketPolicy"})
_ABSENT |= {NO_ENCRYPTION}


def settle(aws: Aws, name: str, region: str, account_id: str) -> None:
    """Set what the bucket lacks. Repeating it changes nothing."""
    bucket = _Settings(aws, name, region, account_id)
    tags = list(bucket.read("get_bucket_tagging", "TagSet") or ())
    if {"Key": TAG, "Value": OWN} in tags:
        return
    bucket.write("put_public_access_block", PublicAccessBlockConfiguration=_NOTHING_PUBLIC)
    bucket.write(
        "put_bucket_ownership_controls",
        OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
    )
    if not bucket.read("get_bucket_encryption", "ServerSideEncryptionConfiguration"):
        bucket.write("put_bucket_encryption", ServerSideEncryptionConfiguration=_ENCRYPTED)
    rules = bucket.read("get_bucket_lifecycle_configuration", "Rules")
    bucket.write(
        "put_bucket_lifecycle_configuration",
        LifecycleConfiguration={"Rules": [*_others(rules, "ID", RULE), _KEPT_SHORT]},
    )
    policy = json.loads(bucket.read("get_bucket_policy", "Policy") or '{"Version": "2012-10-17"}')
    statements = policy.get("Statement", ())
    statements = statements if isinstance(statements, list) else [statements] if statements else []
    tls_only = _tls_only(f"arn:{aws.partition.name}:s3:::{name}")
    policy["Statement"] = [*_others(statements, "Sid", SID), tls_only]
    bucket.write("put_bucket_policy", Policy=json.dumps(policy))
    mark = {"Key": TAG, "Value": OWN}
    bucket.write("put_bucket_tagging", Tagging={"TagSet": [*_others(tags, "Key", TAG), mark]})


class _Settings:
    """One bucket's settings, read and written under the condition that the account owns it."""

    def __init__(self, aws: Aws, name: str, region: str, account_id: str) -> None:
        self._aws, self._region = aws, region
        self._owner: dict[str, Any] = {"Bucket": name, "ExpectedBucketOwner": account_id}

    def read(self, operation: str, member: str) -> Any:
        """A member of the answer, None where nothing was ever set."""
        try:
            return self._aws.call("s3", operation, region=self._region, **self._owner)[member]
        except OstiaryError as absent:
            if absent.code not in _ABSENT:
                raise
            return None

    def write(self, operation: str, **params: Any) -> None:
        self._aws.call(
            "s3", operation, region=self._region, repeatable=True, **self._owner, **params
        )


def _others(
    listed: Sequence[Mapping[str, Any]] | None, key: str, own: str
) -> list[Mapping[str, Any]]:
    return [one for one in listed or () if one.get(key) != own]


def _tls_only(arn: str) -> dict[str, Any]:
    return {
        "Sid": SID,
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


_NOTHING_PUBLIC = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
_ENCRYPTED = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
_KEPT_SHORT = {
    "ID": RULE,
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "Expiration": {"Days": KEPT_DAYS},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": KEPT_DAYS},
}
