"""Snapshots, AMIs and import tasks of every account and region. The bytes of snapshots lie in sparse files on disk."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = 512 * 1024
GIB = 1024**3


@dataclass(slots=True)
class Snapshot:
    """``state`` is pending, completed or error. ``blocks`` are those put into it or inherited: index -> SHA-256, base64.

    ``put`` are its own; the bytes of the others are read from ``base``, which outlives its own deletion.
    """

    id: str
    account_id: str
    region: str
    size: int  # GiB
    file: Path
    started: float
    state: str = "pending"
    message: str = ""
    description: str = ""
    parent: str = ""
    base: Snapshot | None = field(default=None, repr=False)
    encrypted: bool = False
    kms_key: str = ""
    timeout: float = 0.0  # seconds without a block after which a pending one fails, 0 when it is not of EBS direct
    touched: float = 0.0  # when the last block came, or when it was started
    sealed: float = 0.0  # when it was completed by its writer, 0 while blocks may come
    token: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict)
    put: dict[int, str] = field(default_factory=dict)
    blocks: dict[int, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def write(self, index: int, data: bytes) -> None:
        with self.file.open("r+b") as file:
            file.seek(index * BLOCK)
            file.write(data)

    def read(self, index: int) -> bytes:
        if self.base is not None and index not in self.put:
            return self.base.read(index)
        with self.file.open("rb") as file:
            file.seek(index * BLOCK)
            return file.read(BLOCK).ljust(BLOCK, b"\0")


@dataclass(slots=True)
class Image:
    """An AMI as DescribeImages shows it; ``facts`` are the model's members of ec2 Image."""

    id: str
    account_id: str
    region: str
    name: str
    facts: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)
    state: str = "available"

    @property
    def snapshots(self) -> tuple[str, ...]:
        mappings = self.facts.get("BlockDeviceMappings") or ()
        ids = (one.get("Ebs", {}).get("SnapshotId") for one in mappings)
        return tuple(one for one in ids if one)


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk of an upload: ``size`` bytes raw in ``file``, made of a file of ``stored`` bytes in ``format``."""

    format: str
    file: Path
    size: int
    stored: int


def device_of(number: int) -> str:
    """Where VM Import attaches the disk: the root disk first, the others from /dev/sdf on."""
    return "/dev/sda1" if number == 0 else f"/dev/sd{chr(ord('f') + number - 1)}"


def place_of(container: Mapping[str, Any]) -> tuple[str, str]:
    """Bucket and key of a disk container, by UserBucket or an s3:// URL; empty where there is neither."""
    if bucket := container.get("UserBucket"):
        return bucket.get("S3Bucket", ""), bucket.get("S3Key", "")
    scheme, _, place = container.get("Url", "").partition("://")
    bucket, _, key = place.partition("/")
    return (bucket, key) if scheme == "s3" else ("", "")


@dataclass(slots=True)
class Task:
    """An import. ``kind`` is image or snapshot; ``status`` and ``message`` are the service's own words.

    ``judged`` is "" until the disks were looked at, then "ok" or the message that it fails with.
    """

    id: str
    kind: str
    account_id: str
    region: str
    asked: Mapping[str, Any]
    started: float
    token: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    status: str = "active"
    message: str = "pending"
    progress: int = 2
    judged: str = ""
    ended: float = 0.0
    converted: list[Disk] = field(default_factory=list)
    snapshot_ids: list[str] = field(default_factory=list)
    image_id: str = ""
    boot_mode: str = ""


@dataclass(slots=True)
class Faults:
    """What VM Import does wrong on purpose, for tests; none of it happens unasked."""

    stuck_at: int = 0  # percent at which a task stays for ever
    no_image_id: bool = False  # a task completes without telling its AMI
    silent_for: float = 0.0  # seconds in which describing a new task finds nothing
    breaks: str = ""  # the message with which every task fails


class Images:
    """All of one Cloud. ``pace`` is how many seconds a whole import takes by the world's clock; 0 is no time at all."""

    def __init__(self, new_hex: Callable[[int], str]) -> None:
        self._new_hex = new_hex
        self._folder: Path | None = None
        self.snapshots: dict[str, Snapshot] = {}
        self.images: dict[str, Image] = {}
        self.tasks: dict[str, Task] = {}
        self.faults = Faults()
        self.pace = 8.0
        self.settling = (
            0.5  # seconds that a snapshot stays pending after its completion was asked for
        )

    def new_id(self, prefix: str) -> str:
        return f"{prefix}-{self._new_hex(17)}"

    @property
    def folder(self) -> Path:
        """Where the bytes lie; it goes when this object goes, or the process."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="ostiary-images-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder

    def new_file(self, name: str, size: int) -> Path:
        """A sparse file of ``size`` bytes."""
        path = self.folder / name
        with path.open("wb") as file:
            file.truncate(size)
        return path
