"""One object in parts: begun once, found again after a kill, every part checked by S3 against a checksum of ours.

Source: Amazon S3 User Guide, "Uploading and copying objects using multipart upload", "Checking object integrity".
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ostiary.aws.import_bucket import Bucket
from ostiary.aws.session import Aws
from ostiary.errors import Conflict, NotFound

MOST_PARTS = 10_000
LEAST_PART = 5 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """A part that S3 holds; ``crc32`` in base64, "" when S3 does not tell."""

    number: int
    size: int
    etag: str
    crc32: str


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as S3 tells of it; ``crc32`` is that of its parts' (``…-N``), "" when S3 does not tell."""

    size: int
    crc32: str


@dataclass(frozen=True, slots=True)
class Multipart:
    """An upload to ``key`` that was begun and not completed."""

    aws: Aws
    bucket: Bucket
    key: str
    upload_id: str

    def _where(self) -> dict[str, Any]:
        return {
            "region": self.bucket.region,
            "Bucket": self.bucket.name,
            "Key": self.key,
            "UploadId": self.upload_id,
            **_owner(self.bucket),
        }

    def parts(self) -> dict[int, Part]:
        """What S3 has of it, by number."""
        found: dict[int, Part] = {}
        more: dict[str, Any] = {}
        while True:
            page = self.aws.call("s3", "list_parts", **self._where(), **more)
            for one in page.get("Parts", ()):
                number = int(one["PartNumber"])
                crc = str(one.get("ChecksumCRC32", ""))
                found[number] = Part(number, int(one["Size"]), one["ETag"], crc)
            if not page.get("IsTruncated"):
                return found
            more = {"PartNumberMarker": page["NextPartNumberMarker"]}

    def put(self, number: int, data: bytes, crc32: str) -> Part:
        """Send one part. Conflict (BadDigest) when the bytes are not those of the checksum."""
        answer = self.aws.call(
            "s3",
            "upload_part",
            repeatable=True,
            **self._where(),
            PartNumber=number,
            Body=data,
            ChecksumCRC32=crc32,
        )
        return Part(number, len(data), answer["ETag"], crc32)

    def complete(self, parts: dict[int, Part]) -> None:
        """Make it an object. Repeating it after a lost answer is fine: then there is no such upload, and the object."""
        listed = [
            {"PartNumber": one.number, "ETag": one.etag, "ChecksumCRC32": one.crc32}
            for _, one in sorted(parts.items())
        ]
        try:
            self.aws.call(
                "s3",
                "complete_multipart_upload",
                repeatable=True,
                **self._where(),
                MultipartUpload={"Parts": listed},
            )
        except (NotFound, Conflict) as gone:
            if gone.code != "NoSuchUpload" or not self._became(parts):
                raise

    def _became(self, parts: dict[int, Part]) -> bool:
        """The object is there and made of these parts: only the answer was lost."""
        there = stored_object(self.aws, self.bucket, self.key)
        checksums = [one.crc32 for _, one in sorted(parts.items())]
        size = sum(one.size for one in parts.values())
        return there == StoredObject(size, composite(checksums))

    def abort(self) -> None:
        """Forget it and what was sent; gone already is fine."""
        try:
            self.aws.call("s3", "abort_multipart_upload", repeatable=True, **self._where())
        except (NotFound, Conflict) as gone:
            if gone.code != "NoSuchUpload":
                raise


def begin(
    aws: Aws, bucket: Bucket, key: str, metadata: Mapping[str, str] | None = None
) -> Multipart:
    """The upload to ``key``: the one that an earlier run began, or a new one with ``metadata``; never two."""
    known = uploads(aws, bucket, key)
    for spare in known[1:]:
        spare.abort()
    if known:
        return known[0]
    answer = aws.call(
        "s3",
        "create_multipart_upload",
        region=bucket.region,
        Bucket=bucket.name,
        Key=key,
        ChecksumAlgorithm="CRC32",
        ChecksumType="COMPOSITE",
        Metadata=dict(metadata or {}),
        **_owner(bucket),
    )
    return Multipart(aws, bucket, key, answer["UploadId"])


def uploads(aws: Aws, bucket: Bucket, key: str) -> list[Multipart]:
    """Every upload to ``key`` that was begun, the oldest first."""
    try:
        page = aws.call(
            "s3",
            "list_multipart_uploads",
            region=bucket.region,
            Bucket=bucket.name,
            Prefix=key,
            **_owner(bucket),
        )
    except (NotFound, Conflict) as none:
        # no bucket, no uploads; and NoSuchUpload is how some servers that speak S3 say that there are none
        if none.code not in ("NoSuchUpload", "NoSuchBucket"):
            raise
        return []
    found = [one for one in page.get("Uploads", ()) if one["Key"] == key]
    found.sort(key=lambda one: (one["Initiated"], one["UploadId"]))
    return [Multipart(aws, bucket, key, one["UploadId"]) for one in found]


def _owner(bucket: Bucket) -> dict[str, Any]:
    """S3 refuses when the bucket has become another account's in the meantime."""
    return {"ExpectedBucketOwner": bucket.account_id} if bucket.account_id else {}


def stored_object(aws: Aws, bucket: Bucket, key: str) -> StoredObject | None:
    """What is at ``key``, None when nothing is."""
    try:
        answer = aws.call(
            "s3",
            "head_object",
            region=bucket.region,
            Bucket=bucket.name,
            Key=key,
            ChecksumMode="ENABLED",
            **_owner(bucket),
        )
    except NotFound:
        return None
    return StoredObject(int(answer["ContentLength"]), str(answer.get("ChecksumCRC32", "")))


def composite(checksums: Sequence[str]) -> str:
    """The checksum of an object whose parts have these CRC32 (base64), as S3 tells it."""
    joined = zlib.crc32(b"".join(map(base64.b64decode, checksums)))
    return f"{base64.b64encode(joined.to_bytes(4, 'big')).decode()}-{len(checksums)}"


def delete_object(aws: Aws, bucket: Bucket, key: str) -> None:
    aws.call(
        "s3",
        "delete_object",
        region=bucket.region,
        repeatable=True,
        Bucket=bucket.name,
        Key=key,
        **_owner(bucket),
    )
