"""Objects as moto keeps them: one made of parts, what S3 tells of it, its bytes for a service that reads them.

Source: Amazon S3 API Reference, CompleteMultipartUpload, GetObjectAttributes, HeadObject.
"""

from __future__ import annotations

import io
import os
from typing import IO, Any, cast

from ostiary.sandbox.aws import behind
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.s3_buckets import bucket_of
from ostiary.sandbox.aws.s3_uploads import COMPOSITE, Joined, Upload
from ostiary.sandbox.http import Response

_PARTS = 1000


def keep_object(call: Call, upload: Upload, joined: Joined) -> None:
    """Make what the parts gave an object. It stays in its file: nothing of it comes into memory."""
    with behind.entered(call.cloud, "s3"):
        from moto.s3.models import s3_backends  # noqa: PLC0415 - see behind.py

        backend = s3_backends[call.account.id][call.account.partition]
        there = upload.key in backend.get_bucket(upload.bucket).keys
        if call.request.header("if-none-match") == "*" and there:
            raise AwsError(
                "PreconditionFailed",
                "At least one of the pre-conditions you specified did not hold",
                412,
                {"Condition": "If-None-Match"},
            )
        kept = backend.put_object(upload.bucket, upload.key, b"", etag=joined.etag)
        kept._value_buffer.close()  # noqa: SLF001 - moto takes bytes only; a file of gigabytes must stay one
        kept._value_buffer = cast(Any, joined.file)  # noqa: SLF001
        kept.contentsize = joined.size
        kept.set_metadata(dict(upload.headers))
        call.cloud.uploads.made[upload.bucket, upload.key] = (joined.etag, joined.parts)
        if upload.algorithm:
            kept.checksum_algorithm = upload.algorithm
            kept.checksum_type = upload.type
            kept.checksum_value, _, count = joined.checksum.partition("-")
            kept.checksum_parts = int(count or 0)


def get_object_attributes(call: Call) -> dict[str, Any]:
    """ETag, checksum, size and parts, as far as they were asked for."""
    key, asked = call.params["Key"], call.params.get("ObjectAttributes") or []
    with behind.entered(call.cloud, "s3"):
        found = bucket_of(call, call.params["Bucket"]).keys.get(key)
        if found is None:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404, {"Key": key})
        kind = found.checksum_type or "FULL_OBJECT"
        told = {f"Checksum{found.checksum_algorithm}": found.checksum_value, "ChecksumType": kind}
        answer = {
            "ETag": found.etag.strip('"'),
            "Checksum": told if found.checksum_algorithm else None,
            "ObjectParts": _parts(call, found),
            "StorageClass": "STANDARD",
            "ObjectSize": found.contentsize,
        }
    if strange := sorted(set(asked) - set(answer)) or not asked:
        text = "Invalid attribute name specified."
        raise AwsError("InvalidArgument", text, members={"ArgumentValue": str(strange)})
    return {name: value for name, value in answer.items() if name in asked}


def _parts(call: Call, found: Any) -> dict[str, Any] | None:
    """Of an object made of parts: their number, and each if the upload asked for checksums."""
    made = call.cloud.uploads.made.get((found.bucket_name, found.name))
    if made is None or f'"{made[0]}"' != found.etag:
        return None
    after = call.params.get("PartNumberMarker", 0)
    most = min(call.params.get("MaxParts", _PARTS), _PARTS)
    left = [one for one in made[1] if one["PartNumber"] > after]
    return {
        "TotalPartsCount": int(made[0].rpartition("-")[2]),
        "PartNumberMarker": after,
        "NextPartNumberMarker": left[:most][-1]["PartNumber"] if left[:most] else 0,
        "MaxParts": most,
        "IsTruncated": len(left) > most,
        "Parts": left[:most],
    }


def with_checksum_of_parts(call: Call, response: Response) -> Response:
    """HeadObject tells the checksum of a composite one as GetObject does: with the number of its parts."""
    found = bucket_of(call, call.params["Bucket"]).keys.get(call.params["Key"])
    if found is None or found.checksum_type != COMPOSITE or not found.checksum_parts:
        return response
    name = f"x-amz-checksum-{found.checksum_algorithm.lower()}"
    headers = [
        (one, f"{value}-{found.checksum_parts}" if one == name else value)
        for one, value in response.headers
    ]
    return Response(response.status, response.body, tuple(headers))


def stored_object(call: Call, bucket: str, key: str) -> tuple[str, str, IO[bytes]] | None:
    """(owner's account, region, content) of an object, for a service that reads it; None when there is none.

    The content is a file of its own descriptor: it outlives the object.
    """
    place = bucket_of(call, bucket)
    content = place.keys.get(key) if place is not None else None
    if place is None or content is None:
        return None
    buffer: Any = content._value_buffer  # noqa: SLF001 - ``value`` would read gigabytes into memory
    with content.lock:
        buffer.flush()
        reader = io.BufferedReader(_Content(os.dup(buffer.fileno())), 1024 * 1024)
    return place.account_id, place.region_name, reader


class _Content(io.RawIOBase):
    """A file read from its beginning, whatever others do with the descriptor that it was duplicated from."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = os.pread(self._descriptor, len(buffer), self._at)
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()
