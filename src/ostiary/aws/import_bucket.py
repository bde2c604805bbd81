"""The bucket for appliance uploads: made rightly in whatever region, and recognised again.

Source: Amazon S3 User Guide, "Creating a bucket" (us-east-1 takes no LocationConstraint), "Verifying bucket ownership with
bucket owner condition", "Setting default server-side encryption behavior".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ostiary.aws import bucket_settings
from ostiary.aws.session import Aws
from ostiary.errors import Conflict, Denied, NotFound, OstiaryError

_NO_CONSTRAINT = "us-east-1"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of the account in the region of the import.

    ``kms_key`` is the key that its objects are encrypted with, as the bucket names it, "" for a key of S3's own.
    ``made`` says that the bucket is new.
    """

    name: str
    region: str
    account_id: str
    kms_key: str = ""
    made: bool = False


def default_name(account_id: str, region: str) -> str:
    """The same for everybody who imports into this account and region."""
    return f"ostiary-gateway-{account_id}-{region}"


def ensure_bucket(aws: Aws, name: str, region: str, account_id: str) -> Bucket:
    """The bucket, made if there is none. Conflict or Denied if it is somebody else's or in another region.

    One that was named by a person and is there is used as it is; of our own by its name, what it lacks is added.
    """
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
        why = f"it is not in {region}: {elsewhere.why}"
        raise _elsewhere(name, region, why, elsewhere.code) from elsewhere
    found = aws.call("s3", "get_bucket_location", region=region, **owner).get("LocationConstraint")
    home = {None: _NO_CONSTRAINT, "": _NO_CONSTRAINT, "EU": "eu-west-1"}.get(found, found)
    if home != region:
        why = f"it is in {home}, and VM Import reads only buckets of its own region, {region}"
        raise _elsewhere(name, region, why, "BucketRegion")
    if name == default_name(account_id, region):
        bucket_settings.settle(aws, name, region, account_id)  # a killed run may have made it half
    return Bucket(name, region, account_id, kms_key=_kms_key(aws, region, owner))


def _elsewhere(name: str, region: str, why: str, code: str) -> Conflict:
    return Conflict(
        f"cannot import from bucket {name} into {region}",
        why=why,
        fix="leave --bucket out: one is made in the right region",
        code=code,
    )


def _make(aws: Aws, name: str, region: str, account_id: str) -> Bucket:
    place: dict[str, Any] = {}
    if region != _NO_CONSTRAINT:
        place["CreateBucketConfiguration"] = {"LocationConstraint": region}
    try:
        aws.call("s3", "create_bucket", region=region, repeatable=True, Bucket=name, **place)
    except Conflict as taken:
        if taken.code != "BucketAlreadyOwnedByYou":  # another operator's run, or a lost answer
            raise Conflict(
                f"cannot make bucket {name}",
                why=taken.why,
                fix="name another one with --bucket",
                code=taken.code,
            ) from taken
    bucket_settings.settle(aws, name, region, account_id)
    return Bucket(name, region, account_id, made=True)


def _kms_key(aws: Aws, region: str, owner: dict[str, Any]) -> str:
    """The key of the bucket's default encryption; VM Import must be allowed to decrypt with it.

    Who may not read the setting gets "": then the service's own refusal says so.
    """
    try:
        answer = aws.call("s3", "get_bucket_encryption", region=region, **owner)
    except OstiaryError as unread:
        if isinstance(unread, Denied) or unread.code == bucket_settings.NO_ENCRYPTION:
            return ""
        raise
    for rule in answer["ServerSideEncryptionConfiguration"]["Rules"]:
        default = rule.get("ApplyServerSideEncryptionByDefault", {})
        if str(default.get("SSEAlgorithm", "")).startswith("aws:kms"):
            return str(default.get("KMSMasterKeyID", ""))
    return ""
