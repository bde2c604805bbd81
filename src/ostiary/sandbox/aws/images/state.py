"""Snapshots, AMIs and import tasks of every account and region. The bytes of snapshots lie in sparse files on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = 512 * 1024
GIB = 1024**3


@dataclass(slots=True)
class Snapshot:
    """``state`` is pending, completed or error. ``blocks`` are those put into it or inherited: index -> SHA-256, base64."""

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
    encrypted: bool = False
    kms_key: str = ""
    timeout: float = 0.0  # seconds after which a pending one fails, 0 when it is not of EBS direct
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
        return tuple(one["Ebs"]["SnapshotId"] for one in mappings if "Ebs" in one)


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
    converted: list[tuple[str, Path, int]] = field(default_factory=list)  # format, raw file, size
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
    """All of one Cloud. ``pace`` is how many seconds a whole import takes by the world's clock."""

    def __init__(self, new_hex: Callable[[int], str]) -> None:
        self._new_hex = new_hex
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.snapshots: dict[str, Snapshot] = {}
        self.images: dict[str, Image] = {}
        self.tasks: dict[str, Task] = {}
        self.faults = Faults()
        self.pace = 8.0

    def new_id(self, prefix: str) -> str:
        return f"{prefix}-{self._new_hex(17)}"

    @property
    def folder(self) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="ostiary-images-")
        return Path(self._folder.name)

    def new_file(self, name: str, size: int) -> Path:
        """A sparse file of ``size`` bytes."""
        path = self.folder / name
        with path.open("wb") as file:
            file.truncate(size)
        return path
