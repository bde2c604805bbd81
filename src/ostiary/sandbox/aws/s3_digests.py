"""The digests that S3 keeps of bytes, and the bodies that carry theirs behind them.

Sources: Amazon S3 User Guide, "Checking object integrity"; Amazon S3 API Reference, "Signature calculations: transferring
payload in multiple chunks", for the aws-chunked form and its trailer. CRC-32C and CRC-64/NVME are RFC 3720 and the NVM
Express specification; the widths and polynomials are theirs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from dataclasses import replace
from functools import cache

from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.http import Request

_POLYNOMIALS = {
    "CRC32": (32, 0xEDB88320),
    "CRC32C": (32, 0x82F63B78),
    "CRC64NVME": (64, 0x9A6C9329AC4BC9B5),
}
LENGTHS = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}
_HEADERS = {f"x-amz-checksum-{name.lower()}" for name in (*LENGTHS, "algorithm", "type", "mode")}
_MD5_LENGTH = 16
_UNSIGNED = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_CHUNKED_ONLY = (
    "x-amz-content-sha256",
    "x-amz-trailer",
    "x-amz-decoded-content-length",
    "content-encoding",
)


def digest(algorithm: str, data: bytes) -> bytes:
    if algorithm == "SHA256":
        return hashlib.sha256(data).digest()
    if algorithm == "SHA1":
        return hashlib.sha1(data, usedforsecurity=False).digest()
    if algorithm == "CRC32":
        return zlib.crc32(data).to_bytes(4, "big")
    width, _ = _POLYNOMIALS[algorithm]
    table, crc = _table(algorithm), (1 << width) - 1
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return (crc ^ ((1 << width) - 1)).to_bytes(width // 8, "big")


@cache
def _table(algorithm: str) -> tuple[int, ...]:
    _, polynomial = _POLYNOMIALS[algorithm]
    table = []
    for number in range(256):
        value = number
        for _ in range(8):
            value = (value >> 1) ^ (polynomial if value & 1 else 0)
        table.append(value)
    return tuple(table)


def combined(algorithm: str, first: bytes, second: bytes, length: int) -> bytes:
    """The CRC of two texts in a row, of the CRC of each; ``length`` is the second's in bytes. As zlib combines them."""
    width, polynomial = _POLYNOMIALS[algorithm]
    one_zero_bit = [polynomial, *(1 << bit for bit in range(width - 1))]
    zeros = _squared(_squared(_squared(one_zero_bit)))
    crc = int.from_bytes(first, "big")
    while length:
        if length & 1:
            crc = _times(zeros, crc)
        zeros, length = _squared(zeros), length >> 1
    return (crc ^ int.from_bytes(second, "big")).to_bytes(width // 8, "big")


def _times(matrix: list[int], vector: int) -> int:
    total, row = 0, 0
    while vector:
        if vector & 1:
            total ^= matrix[row]
        vector, row = vector >> 1, row + 1
    return total


def _squared(matrix: list[int]) -> list[int]:
    return [_times(matrix, row) for row in matrix]


def told(request: Request) -> tuple[str, bytes] | None:
    """The algorithm and the digest that a request says its bytes have; None when it says nothing."""
    found = [
        (name, text)
        for name in LENGTHS
        if (text := request.header(f"x-amz-checksum-{name.lower()}"))
    ]
    others = {name for name, _ in request.headers if name.startswith("x-amz-checksum-")}
    if strange := sorted(others - _HEADERS):
        raise AwsError("NotImplemented", f"The header {strange[0]} is not served here", 501)
    if not found:
        return None
    if len(found) > 1:
        raise AwsError(
            "InvalidRequest",
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        )
    name, text = found[0]
    value = _decoded64(text)
    if value is None or len(value) != LENGTHS[name]:
        raise AwsError(
            "InvalidRequest", f"Value for x-amz-checksum-{name.lower()} header is invalid."
        )
    return name, value


def check_digests(request: Request) -> None:
    """Raises BadDigest where the bytes are not those that the client means; moto keeps what it is told."""
    if text := request.header("content-md5"):
        value = _decoded64(text)
        if value is None or len(value) != _MD5_LENGTH:
            raise AwsError("InvalidDigest", "The Content-MD5 you specified was invalid.")
        if value != hashlib.md5(request.body, usedforsecurity=False).digest():
            raise AwsError(
                "BadDigest", "The Content-MD5 you specified did not match what we received."
            )
    said = told(request)
    if said and digest(said[0], request.body) != said[1]:
        raise AwsError(
            "BadDigest", f"The {said[0]} you specified did not match the calculated checksum."
        )


def _decoded64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None


def unchunked(request: Request) -> Request:
    """The request as if its body had come whole: chunks joined, the trailer's checksum among the headers."""
    form = request.header("x-amz-content-sha256")
    if not form.startswith("STREAMING-"):
        return request
    if form != _UNSIGNED:
        raise AwsError(
            "NotImplemented", f"A body in chunks of the form {form} is not served here", 501
        )
    body, trailer = _parts(request.body)
    if request.header("x-amz-decoded-content-length") != str(len(body)):
        raise AwsError(
            "IncompleteBody",
            "You did not provide the number of bytes specified by the Content-Length HTTP header",
        )
    promised = {name.strip().lower() for name in request.header("x-amz-trailer").split(",") if name}
    if promised != set(trailer):
        raise _malformed()
    headers = [one for one in request.headers if one[0] not in _CHUNKED_ONLY]
    headers.append(("x-amz-content-sha256", "UNSIGNED-PAYLOAD"))
    encodings = [name.strip() for name in request.header("content-encoding").split(",")]
    if kept := [name for name in encodings if name not in ("", "aws-chunked")]:
        headers.append(("content-encoding", ",".join(kept)))
    return replace(request, body=body, headers=(*headers, *trailer.items()))


def _parts(raw: bytes) -> tuple[bytes, dict[str, str]]:
    """The joined chunks and the trailer of an aws-chunked body."""
    chunks: list[bytes] = []
    at = 0
    while True:
        end = raw.find(b"\r\n", at)
        try:
            size = int(raw[at:end].partition(b";")[0], 16) if end >= 0 else -1
        except ValueError as error:
            raise _malformed() from error
        at = end + 2
        if size == 0:
            break
        if size < 0 or raw[at + size : at + size + 2] != b"\r\n":
            raise AwsError("IncompleteBody", "The request body terminated unexpectedly")
        chunks.append(raw[at : at + size])
        at += size + 2
    trailer = {}
    for line in raw[at:].decode("latin-1").split("\r\n"):
        if line:
            name, _, value = line.partition(":")
            trailer[name.strip().lower()] = value.strip()
    return b"".join(chunks), trailer


def _malformed() -> AwsError:
    return AwsError(
        "MalformedTrailerError",
        "The request contained trailing data that was not well-formed or did not conform to our published schema.",
    )
