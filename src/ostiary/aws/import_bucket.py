"""The bucket for appliance uploads: made rightly in whatever region, and recognised again.

Source: Amazon S3 User Guide, "Creating a bucket" (us-east-1 takes no LocationConstraint), "Blocking public access",
"Managing your storage lifecycle", "Verifying bucket ownership with bucket owner condition".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ostiary.aws.ownership import TAG
from ostiary.aws.session import Aws
from ostiary.errors import Conflict, Denied, NotFound

OWN = "gateway-import"
KEPT_DAYS = 7
_NO_CONSTRAINT = "us-east-1"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of the account in the region of the import. ``made`` says that it is new."""

    name: str
    region: str
    account_id: str
    made: bool = False


def default_name(account_id: str, region: str) -> str:
    """The same for everybody who imports into this account and region."""
    return f"ostiary-gateway-{account_id}-{region}"


def ensure_bucket(aws: Aws, name: str, region: str, account_id: str) -> Bucket:
    """The bucket, made if there is none. Conflict or Denied if it is somebody else's or in another region."""
    owner: dict[str, Any] = {"Bucket": name, "ExpectedBucketOwner": account_id}
    try:
        aws.call("s3", "head_bucket", region=region, **owner)
    except NotFound:
        return _make(aws, name, region, account_id)
    except Denied as denied:
        raise Denied(
            f"cannot use bucket {name}",
            why=f"it belongs to another account, or this caller may not read it ({denied.code})",
            fix="name another one with --bucket, or leave --bucket out",
            code=denied.code,
        ) from denied
    except Conflict as elsewhere:
        raise _elsewhere(name, region, elsewhere) from elsewhere
    found = aws.call("s3", "get_bucket_location", region=region, **owner).get("LocationConstraint")
    home = {None: _NO_CONSTRAINT, "": _NO_CONSTRAINT, "EU": "eu-west-1"}.get(found, found)
    if home != region:
        raise Conflict(
            f"cannot import from bucket {name}",
            why=f"it is in {home}, and VM Import reads only buckets of its own region, {region}",
            fix="leave --bucket out: one is made in the right region",
            code="BucketRegion",
        )
    if name == default_name(account_id, region):
        _settle(aws, name, region, account_id)  # a run that was killed may have made it half
    return Bucket(name, region, account_id)


def _elsewhere(name: str, region: str, error: Conflict) -> Conflict:
    return Conflict(
        f"cannot import from bucket {name}",
        why=f"it is not in {region}: {error.why}",
        fix="leave --bucket out: one is made in the right region",
        code=error.code,
    )


def _make(aws: Aws, name: str, region: str, account_id: str) -> Bucket:
    place: dict[str, Any] = {}
    if region != _NO_CONSTRAINT:
        place["CreateBucketConfiguration"] = {"LocationConstraint": region}
    try:
        aws.call("s3", "create_bucket", region=region, repeatable=True, Bucket=name, **place)
    except Conflict as taken:
        if taken.code != "BucketAlreadyOwnedByYou":
            raise Conflict(
                f"cannot make bucket {name}",
                why=taken.why,
                fix="name another one with --bucket",
                code=taken.code,
            ) from taken
    _settle(aws, name, region, account_id)
    return Bucket(name, region, account_id, made=True)


def _settle(aws: Aws, name: str, region: str, account_id: str) -> None:
    """Nothing public, everything encrypted, nothing kept for long; repeating it changes nothing."""
    settings: tuple[tuple[str, dict[str, Any]], ...] = (
        (
            "put_public_access_block",
            {
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": True,
                    "IgnorePublicAcls": True,
                    "BlockPublicPolicy": True,
                    "RestrictPublicBuckets": True,
                }
            },
        ),
        (
            "put_bucket_ownership_controls",
            {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}},
        ),
        (
            "put_bucket_encryption",
            {
                "ServerSideEncryptionConfiguration": {
                    "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
                }
            },
        ),
        (
            "put_bucket_lifecycle_configuration",
            {
                "LifecycleConfiguration": {
                    "Rules": [
                        {
                            "ID": "uploads",
                            "Status": "Enabled",
                            "Filter": {"Prefix": ""},
                            "Expiration": {"Days": KEPT_DAYS},
                            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": KEPT_DAYS},
                        }
                    ]
                }
            },
        ),
        ("put_bucket_tagging", {"Tagging": {"TagSet": [{"Key": TAG, "Value": OWN}]}}),
    )
    for operation, params in settings:
        aws.call(
            "s3",
            operation,
            region=region,
            repeatable=True,
            Bucket=name,
            ExpectedBucketOwner=account_id,
            **params,
        )
