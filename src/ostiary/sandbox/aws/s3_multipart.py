"""Multipart uploads as S3 takes them: every part's digest checked, the order and the sizes of the list held to.

Source: Amazon S3 API Reference, CreateMultipartUpload, UploadPart, ListParts, ListMultipartUploads,
CompleteMultipartUpload, AbortMultipartUpload; Amazon S3 User Guide, "Checking object integrity". Unverified: the words
for a checksum of another kind than the upload's; what an upload that names no algorithm keeps of its parts' checksums.
"""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote

from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.s3_completion import parts_of_list
from ostiary.sandbox.aws.s3_digests import LENGTHS, told
from ostiary.sandbox.aws.s3_objects import keep_object
from ostiary.sandbox.aws.s3_uploads import Upload, checked_type

MOST_PARTS = 10_000
PAGE = 1000
_KEPT_HEADERS = ("content-type", "content-disposition", "content-language", "cache-control")


def create_multipart_upload(call: Call) -> dict[str, Any]:
    params = call.params
    algorithm = str(params.get("ChecksumAlgorithm", "")).upper()
    if algorithm and algorithm not in LENGTHS:
        raise AwsError("InvalidRequest", "Checksum algorithm provided is unsupported.")
    kept = {
        name: value
        for name, value in call.request.headers
        if name in _KEPT_HEADERS or name.startswith("x-amz-meta-")
    }
    uploads = call.cloud.uploads
    upload = Upload(
        call.cloud.new_secret(64).replace("/", "_").replace("+", "."),
        call.account.id,
        params["Bucket"],
        params["Key"],
        call.now,
        algorithm,
        checked_type(algorithm, params.get("ChecksumType", "")),
        kept,
    )
    uploads.open[upload.id] = upload
    return {
        "Bucket": upload.bucket,
        "Key": upload.key,
        "UploadId": upload.id,
        "ChecksumAlgorithm": upload.algorithm or None,
        "ChecksumType": upload.type or None,
    }


def upload_part(call: Call) -> dict[str, Any]:
    upload, number = _upload(call), call.params.get("PartNumber", 0)
    if not 1 <= number <= MOST_PARTS:
        raise AwsError(
            "InvalidArgument",
            "Part number must be an integer between 1 and 10000, inclusive",
            members={"ArgumentName": "partNumber", "ArgumentValue": str(number)},
        )
    said = told(call.request)
    if said and upload.algorithm and said[0] != upload.algorithm:
        raise AwsError(
            "InvalidRequest",
            f"Checksum Type mismatch occurred, expected checksum Type: {upload.algorithm.lower()},"
            f" actual checksum Type: {said[0].lower()}",
        )
    body = call.request.body
    part = call.cloud.uploads.put(upload, number, body, said[0] if said else "", call.now)
    return {"ETag": part.etag, **part.shown}


def list_parts(call: Call) -> dict[str, Any]:
    upload = _upload(call)
    after, most = call.params.get("PartNumberMarker", 0), _page_size(call, "MaxParts")
    left = [part for number, part in sorted(upload.parts.items()) if number > after]
    page = left[:most]
    owner = {"ID": canonical_id(upload.account_id)}
    return {
        "Bucket": upload.bucket,
        "Key": upload.key,
        "UploadId": upload.id,
        "PartNumberMarker": after,
        "NextPartNumberMarker": page[-1].number if page else 0,
        "MaxParts": most,
        "IsTruncated": len(left) > most,
        "Parts": [
            {
                "PartNumber": part.number,
                "LastModified": part.modified,
                "ETag": part.etag,
                "Size": part.size,
                **part.shown,
            }
            for part in page
        ],
        "Initiator": owner,
        "Owner": owner,
        "StorageClass": "STANDARD",
        "ChecksumAlgorithm": upload.algorithm or None,
        "ChecksumType": upload.type or None,
    }


def list_multipart_uploads(call: Call) -> dict[str, Any]:
    params = call.params
    if "Delimiter" in params:
        raise AwsError("NotImplemented", "ListMultipartUploads with a delimiter", 501)
    prefix, most = params.get("Prefix", ""), _page_size(call, "MaxUploads")
    marker = (params.get("KeyMarker", ""), params.get("UploadIdMarker", ""))
    found = sorted(
        (
            one
            for one in call.cloud.uploads.open.values()
            if one.bucket == params["Bucket"] and one.key.startswith(prefix)
        ),
        key=lambda one: (one.key, one.began, one.id),
    )
    place = next((n for n, one in enumerate(found, 1) if (one.key, one.id) == marker), None)
    if place is not None:
        found = found[place:]
    elif marker[0]:
        found = [one for one in found if one.key > marker[0]]
    page, cut = found[:most], len(found) > most
    shown = quote if params.get("EncodingType") == "url" else str
    owner = {"ID": canonical_id(call.account.id)}
    return {
        "Bucket": params["Bucket"],
        "Prefix": shown(prefix),
        "KeyMarker": shown(marker[0]),
        "UploadIdMarker": marker[1],
        "NextKeyMarker": shown(page[-1].key) if cut else None,
        "NextUploadIdMarker": page[-1].id if cut else None,
        "EncodingType": params.get("EncodingType"),
        "MaxUploads": most,
        "IsTruncated": cut,
        "Uploads": [
            {
                "UploadId": one.id,
                "Key": shown(one.key),
                "Initiated": one.began,
                "StorageClass": "STANDARD",
                "Owner": owner,
                "Initiator": owner,
                "ChecksumAlgorithm": one.algorithm or None,
                "ChecksumType": one.type or None,
            }
            for one in page
        ],
    }


def complete_multipart_upload(call: Call) -> dict[str, Any]:
    upload = _upload(call)
    parts = parts_of_list(upload, (call.params.get("MultipartUpload") or {}).get("Parts") or [])
    size = call.params.get("MpuObjectSize")
    if size is not None and int(size) != sum(part.size for part in parts):
        text = f"The provided 'x-amz-mp-object-size' header value {size} does not match what was computed"
        raise AwsError("InvalidRequest", text)
    joined = call.cloud.uploads.join(upload, parts)
    said = call.params.get(f"Checksum{upload.algorithm}") if upload.algorithm else None
    if said and said.partition("-")[0] != joined.checksum.partition("-")[0]:
        joined.file.close()
        raise AwsError(
            "BadDigest",
            f"The {upload.algorithm.lower()} you specified did not match the calculated checksum.",
        )
    try:
        keep_object(call, upload, joined)
    except AwsError:
        joined.file.close()
        raise
    del call.cloud.uploads.open[upload.id]
    upload.drop()
    host = f"{upload.bucket}.s3.{call.region}.amazonaws.com"
    return {
        "Location": f"https://{host}/{quote(upload.key)}",
        "Bucket": upload.bucket,
        "Key": upload.key,
        "ETag": f'"{joined.etag}"',
        **({f"Checksum{upload.algorithm}": joined.checksum} if upload.algorithm else {}),
        "ChecksumType": upload.type or None,
    }


def abort_multipart_upload(call: Call) -> dict[str, Any]:
    upload = _upload(call)
    del call.cloud.uploads.open[upload.id]
    upload.drop()
    return {}


def canonical_id(account_id: str) -> str:
    """A canonical user id: the same for every object of an account."""
    return hashlib.sha256(f"canonical {account_id}".encode()).hexdigest()


def _upload(call: Call) -> Upload:
    params = call.params
    found = call.cloud.uploads.open.get(params.get("UploadId", ""))
    if found is None or (found.bucket, found.key) != (params["Bucket"], params["Key"]):
        raise AwsError(
            "NoSuchUpload",
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or"
            " completed.",
            404,
            {"UploadId": params.get("UploadId", "")},
        )
    return found


def _page_size(call: Call, name: str) -> int:
    asked = call.params.get(name, PAGE)
    if asked < 0:
        text = f"Argument {name} must be an integer between 0 and 2147483647"
        raise AwsError("InvalidArgument", text)
    return min(int(asked), PAGE)
