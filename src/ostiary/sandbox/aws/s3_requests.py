"""Which S3 operation a request is, and what S3 checks of it before anything is stored.

Source: Amazon S3 API Reference.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from lxml import etree

from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.http import Request

_AWS_HOST = re.compile(r"(?:(?P<bucket>.+)\.)?s3[.-].*amazonaws\.com(?:\.cn)?")
_LOCAL_HOST = re.compile(
    r"(?!(?:s3\.)?aws\.localhost)(?:(?P<bucket>.+?)\.)(?:s3\.)?(?:aws\.)?localhost"
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
    ("GET", "uploads"): "ListMultipartUploads",
}
_OBJECT_QUERIES = {
    ("POST", "uploads"): "CreateMultipartUpload",
    ("PUT", "uploadId"): "UploadPart",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
    ("GET", "uploadId"): "ListParts",
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
    elif key:
        name = (
            ""
            if request.header("x-amz-copy-source")
            else _OBJECT_OPERATIONS.get(request.method, "")
        )
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


def check_content(operation: str, request: Request) -> None:
    """The digests that a client sent with its bytes. Raises BadDigest; moto keeps what it is told."""
    if operation not in ("PutObject", "UploadPart") or "aws-chunked" in request.header(
        "content-encoding"
    ):
        return
    for name in ("sha256", "crc32"):
        told = request.header(f"x-amz-checksum-{name}")
        if told and told != base64.b64encode(_digest(name, request.body)).decode():
            raise AwsError(
                "BadDigest",
                f"The {name.upper()} you specified did not match the calculated checksum.",
                400,
            )


def _digest(name: str, body: bytes) -> bytes:
    if name == "crc32":
        return zlib.crc32(body).to_bytes(4, "big")
    return hashlib.sha256(body).digest()


def part_of(request: Request) -> tuple[str, str, str, str] | None:
    """(upload id, part number, member of ListParts, value) of the checksum that came with a part."""
    for name, member in (("crc32", "ChecksumCRC32"), ("sha256", "ChecksumSHA256")):
        if told := request.header(f"x-amz-checksum-{name}"):
            query = request.query
            return query["uploadId"], query["partNumber"], member, told
    return None


def with_checksums(body: bytes, known: Mapping[tuple[str, str], tuple[str, str]]) -> bytes:
    """A ListParts answer with the checksums of the parts, which moto leaves out."""
    root = etree.fromstring(body)
    upload = root.findtext("{*}UploadId") or ""
    for part in root.iterfind("{*}Part"):
        kept = known.get((upload, part.findtext("{*}PartNumber") or ""))
        if kept is not None:
            namespace = etree.QName(part).namespace
            tag = f"{{{namespace}}}{kept[0]}" if namespace else kept[0]
            etree.SubElement(part, tag).text = kept[1]
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


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
        raise AwsError(
            "AuthorizationHeaderMalformed",
            f"The authorization header is malformed; the region '{region}' is wrong; expecting '{home}'",
            400,
        )
