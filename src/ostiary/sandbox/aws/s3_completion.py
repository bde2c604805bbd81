"""The list of parts that completes an upload, held against what was sent.

Source: Amazon S3 API Reference, CompleteMultipartUpload; Amazon S3 User Guide, "Multipart upload limits".
"""

from __future__ import annotations

import base64
from typing import Any

from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.rest_xml import malformed_xml
from ostiary.sandbox.aws.s3_digests import LENGTHS
from ostiary.sandbox.aws.s3_uploads import COMPOSITE, Part, Upload

LEAST_PART = 5 * 1024 * 1024


def parts_of_list(upload: Upload, asked: list[dict[str, Any]]) -> list[Part]:
    """The parts of a completion. Raises MalformedXML, InvalidPartOrder, InvalidPart, InvalidRequest, EntityTooSmall."""
    if not asked or any("PartNumber" not in one or "ETag" not in one for one in asked):
        raise malformed_xml()
    numbers = [one["PartNumber"] for one in asked]
    if numbers != sorted(set(numbers)):
        raise AwsError(
            "InvalidPartOrder",
            "The list of parts was not in ascending order. The parts list must be specified in order by part number.",
            members={"UploadId": upload.id},
        )
    parts = [_checked(upload, one) for one in asked]
    for part in parts[:-1]:
        if part.size < LEAST_PART:
            raise AwsError(
                "EntityTooSmall",
                "Your proposed upload is smaller than the minimum allowed size",
                members={
                    "ETag": part.md5.hex(),
                    "MinSizeAllowed": str(LEAST_PART),
                    "PartNumber": str(part.number),
                    "ProposedSize": str(part.size),
                },
            )
    return parts


def _checked(upload: Upload, one: dict[str, Any]) -> Part:
    number, part = one["PartNumber"], upload.parts.get(one["PartNumber"])
    wrong = AwsError(
        "InvalidPart",
        "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified"
        " entity tag may not match the part's entity tag.",
        members={"ETag": one["ETag"].strip('"'), "PartNumber": str(number), "UploadId": upload.id},
    )
    if part is None or one["ETag"].strip('"') != part.md5.hex():
        raise wrong
    said = {name: one[f"Checksum{name}"] for name in LENGTHS if one.get(f"Checksum{name}")}
    if any(
        name != part.algorithm or base64.b64encode(part.checksum).decode() != text
        for name, text in said.items()
    ):
        raise wrong
    if upload.type == COMPOSITE and not said:
        raise AwsError(
            "InvalidRequest",
            f"The upload was created using a {upload.algorithm.lower()} checksum. The complete request must include the"
            f" checksum for each part. It was missing for part {number} in the request.",
        )
    return part
