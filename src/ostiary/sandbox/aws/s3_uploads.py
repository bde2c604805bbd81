"""Multipart uploads that were begun: their parts lie in files on disk, with the digests that S3 keeps of them."""

from __future__ import annotations

import base64
import hashlib
import shutil
import tempfile
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.s3_digests import combined, digest

_COPY = 1024 * 1024
FULL, COMPOSITE = "FULL_OBJECT", "COMPOSITE"


@dataclass(frozen=True, slots=True)
class Part:
    """``checksum`` is of the upload's algorithm, or of the one that came with the part when the upload names none."""

    number: int
    file: Path
    size: int
    md5: bytes
    algorithm: str
    checksum: bytes
    modified: float

    @property
    def etag(self) -> str:
        return f'"{self.md5.hex()}"'

    @property
    def shown(self) -> dict[str, str]:
        """The checksum as a member of the model."""
        if not self.algorithm:
            return {}
        return {f"Checksum{self.algorithm}": base64.b64encode(self.checksum).decode()}


@dataclass(slots=True)
class Upload:
    """``algorithm`` and ``type`` as CreateMultipartUpload asked for them, "" where it did not."""

    id: str
    account_id: str
    bucket: str
    key: str
    began: float
    algorithm: str = ""
    type: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    parts: dict[int, Part] = field(default_factory=dict)

    def drop(self) -> None:
        for part in self.parts.values():
            part.file.unlink(missing_ok=True)
        self.parts.clear()


@dataclass(frozen=True, slots=True)
class Joined:
    """An object made of parts: a file without a name that lives as long as it is open.

    ``parts`` are what GetObjectAttributes tells of each; none where the upload asked for no checksums.
    """

    file: IO[bytes]
    size: int
    etag: str
    checksum: str
    parts: tuple[dict[str, Any], ...]


class Uploads:
    """Those of one Cloud. The folder goes when this object goes, or the process.

    ``made`` has the ETag and the parts of the last object of each bucket and key that was made of parts.
    """

    def __init__(self) -> None:
        self.open: dict[str, Upload] = {}
        self.made: dict[tuple[str, str], tuple[str, tuple[dict[str, Any], ...]]] = {}
        self._folder: Path | None = None

    @property
    def folder(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="ostiary-uploads-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder

    def put(self, upload: Upload, number: int, body: bytes, said: str, now: float) -> Part:
        """Keep a part in the place of a former one. ``said`` is the algorithm of the checksum that came with it."""
        algorithm = upload.algorithm or said
        former = upload.parts.get(number)
        with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as file:
            file.write(body)
        part = Part(
            number,
            Path(file.name),
            len(body),
            hashlib.md5(body, usedforsecurity=False).digest(),
            algorithm,
            digest(algorithm, body) if algorithm else b"",
            now,
        )
        upload.parts[number] = part
        if former is not None:
            former.file.unlink()
        return part

    def join(self, upload: Upload, parts: list[Part]) -> Joined:
        file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - it is the object's content from here on
        for part in parts:
            with part.file.open("rb") as source:
                shutil.copyfileobj(source, file, _COPY)
        size = file.tell()
        md5 = hashlib.md5(b"".join(part.md5 for part in parts), usedforsecurity=False).hexdigest()
        told = [{"PartNumber": one.number, "Size": one.size, **one.shown} for one in parts]
        return Joined(
            file,
            size,
            f"{md5}-{len(parts)}",
            _of_object(upload, parts),
            tuple(told) if upload.type == COMPOSITE else (),
        )

    def forget(self, bucket: str) -> None:
        """Drop the uploads of a bucket that is gone."""
        for upload in [one for one in self.open.values() if one.bucket == bucket]:
            upload.drop()
            del self.open[upload.id]
        self.made = {place: one for place, one in self.made.items() if place[0] != bucket}


def _of_object(upload: Upload, parts: list[Part]) -> str:
    """The checksum of the whole object in base64; "" when the upload asked for none."""
    if not upload.algorithm:
        return ""
    if upload.type == COMPOSITE:
        whole = digest(upload.algorithm, b"".join(part.checksum for part in parts))
        return f"{base64.b64encode(whole).decode()}-{len(parts)}"
    whole = parts[0].checksum
    for part in parts[1:]:
        whole = combined(upload.algorithm, whole, part.checksum, part.size)
    return base64.b64encode(whole).decode()


def checked_type(algorithm: str, asked: str) -> str:
    """The checksum type of an upload. Raises InvalidRequest for a pair that S3 does not have."""
    if not algorithm:
        return ""
    usual = FULL if algorithm == "CRC64NVME" else COMPOSITE
    found = asked or usual
    known = {"CRC64NVME": (FULL,), "SHA1": (COMPOSITE,), "SHA256": (COMPOSITE,)}
    if found not in known.get(algorithm, (FULL, COMPOSITE)):
        text = f"The {found} checksum type cannot be used with the {algorithm.lower()} checksum algorithm."
        raise AwsError("InvalidRequest", text)
    return found
