"""Which S3 operation a request is, and what S3 checks of it before anything is stored.

Source: Amazon S3 API Reference.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, unquote

from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.http import Request

_AWS_HOST = re.compile(r"(?:(?P<bucket>.+)\.)?s3[.-].*amazonaws\.com(?:\.cn)?")
_LOCAL_HOST = re.compile(
    r"(?!(?:s3\.)?aws\.localhost)(?:(?P<bucket>.+?)\.)(?:s3\.)?(?:aws\.)?localhost"
)
_NAME = re.compile(
    r"(?!\d+\.\d+\.\d+\.\d+$)(?!xn--|sthree-|amzn-s3-demo-)(?!.*\.\.)(?!.*(?:-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)$)"
    r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
)
_BUCKET_QUERIES = {
    ("GET", "location"): "GetBucketLocation",
    ("PUT", "publicAccessBlock"): "PutPublicAccessBlock",
    ("GET", "publicAccessBlock"): "GetPublicAccessBlock",
    ("PUT", "encryption"): "PutBucketEncryption",
    ("GET", "encryption"): "GetBucketEncryption",
    ("PUT", "versioning"): "PutBucketVersioning",
    ("GET", "versioning"): "GetBucketVersioning",
    ("PUT", "lifecycle"): "PutBucketLifecycleConfiguration",
    ("GET", "lifecycle"): "GetBucketLifecycleConfiguration",
    ("PUT", "ownershipControls"): "PutBucketOwnershipControls",
    ("GET", "ownershipControls"): "GetBucketOwnershipControls",
    ("PUT", "tagging"): "PutBucketTagging",
    ("GET", "tagging"): "GetBucketTagging",
    ("PUT", "object-lock"): "PutObjectLockConfiguration",
    ("GET", "object-lock"): "GetObjectLockConfiguration",
    ("GET", "uploads"): "ListMultipartUploads",
    ("PUT", "policy"): "PutBucketPolicy",
    ("GET", "policy"): "GetBucketPolicy",
    ("DELETE", "policy"): "DeleteBucketPolicy",
}
_OBJECT_QUERIES = {
    ("POST", "uploads"): "CreateMultipartUpload",
    ("PUT", "uploadId"): "UploadPart",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
    ("GET", "uploadId"): "ListParts",
    ("GET", "attributes"): "GetObjectAttributes",
    ("PUT", "retention"): "PutObjectRetention",
}
_BUCKET_OPERATIONS = {"PUT": "CreateBucket", "HEAD": "HeadBucket", "DELETE": "DeleteBucket"}
_OBJECT_OPERATIONS = {
    "PUT": "PutObject",
    "GET": "GetObject",
    "HEAD": "HeadObject",
    "DELETE": "DeleteObject",
}
_PLAIN_QUERY = {"x-id", "list-type", "prefix", "delimiter", "max-keys", "continuation-token"}
_PLAIN_QUERY |= {"start-after", "encoding-type", "fetch-owner", "versionId", "max-buckets"}
_PLAIN_QUERY |= {"partNumber", "max-parts", "part-number-marker", "max-uploads", "key-marker"}
_PLAIN_QUERY |= {"upload-id-marker"}


def s3_operation(request: Request) -> tuple[str, dict[str, Any]]:
    """The S3 operation of a request, its Bucket and Key: virtual-host or path style. "" if not known."""
    path, _, raw_query = request.target.partition("?")
    bucket, key = by_host(request), path[1:]
    if not bucket:
        bucket, _, key = key.partition("/")
    query = parse_qs(raw_query, keep_blank_values=True)
    params: dict[str, Any] = {"Bucket": unquote(bucket), "Key": unquote(key)}
    if "prefix" in query:
        params["Prefix"] = query["prefix"][0]
    special = [name for name in query if name not in _PLAIN_QUERY]
    if special:
        known = _OBJECT_QUERIES if key else _BUCKET_QUERIES
        name = known.get((request.method, special[0]), "")
        if request.header("x-amz-copy-source"):
            name = ""  # UploadPartCopy
    elif key:
        strange = request.header("x-amz-copy-source") or "partNumber" in query
        name = "" if strange else _OBJECT_OPERATIONS.get(request.method, "")
    elif bucket and request.method == "GET":
        name = "ListObjectsV2" if query.get("list-type") == ["2"] else ""
    elif bucket:
        name = _BUCKET_OPERATIONS.get(request.method, "")
    else:
        name = "ListBuckets" if request.method == "GET" else ""
    return name, params


def by_host(request: Request) -> str:
    """The bucket that the Host header names, "" in path style."""
    host = request.header("host").rsplit(":", 1)[0].lower()
    found = _AWS_HOST.fullmatch(host) or _LOCAL_HOST.fullmatch(host)
    return (found["bucket"] or "") if found else ""


def check_name(name: str) -> None:
    """A new bucket's name by the rules for general purpose buckets."""
    if not _NAME.fullmatch(name):
        raise AwsError(
            "InvalidBucketName", "The specified bucket is not valid.", members={"BucketName": name}
        )


def check_region(operation: str, request: Request, region: str, home: str | None) -> None:
    """A bucket is made in the region asked for and reached only through its own.

    ``home`` is the region of the bucket that the request names, None when there is none.
    """
    if operation == "CreateBucket":
        found = re.search(rb"<LocationConstraint[^>]*>([^<]*)</", request.body)
        asked = found[1].decode() if found else ""
        if region == "us-east-1" and asked == "us-east-1":
            raise AwsError(
                "InvalidLocationConstraint", "The specified location-constraint is not valid", 400
            )
        if region not in (asked, "us-east-1"):
            raise AwsError(
                "IllegalLocationConstraintException",
                f"The {asked or 'unspecified'} location constraint is incompatible for the region specific endpoint"
                " this request was sent to.",
                400,
            )
    elif home is not None and home != region and operation != "GetBucketLocation":
        raise _elsewhere(request, region, home)


def _elsewhere(request: Request, region: str, home: str) -> AwsError:
    """What the endpoint of a region, or one for all regions, says of a bucket that is in another."""
    where = {"x-amz-bucket-region": home}
    if _AWS_HOST.fullmatch(request.header("host").lower()):
        return AwsError(
            "PermanentRedirect",
            "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all"
            " future requests to this endpoint.",
            301,
            where | {"Endpoint": f"s3.{home}.amazonaws.com"},
        )
    return AwsError(
        "AuthorizationHeaderMalformed",
        f"The authorization header is malformed; the region '{region}' is wrong; expecting '{home}'",
        400,
        where | {"Region": home},
    )
