"""What an inspection found: the disks, the whole, and the documented JSON of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ostiary.doors.gateway.image.archive import Archive, Member
from ostiary.doors.gateway.image.guest import Guest
from ostiary.doors.gateway.image.manifest import Manifest
from ostiary.doors.gateway.image.ovf import Descriptor
from ostiary.doors.gateway.image.partitions import Partition
from ostiary.doors.gateway.image.problems import INFO, REFUSE, WARN, Problem

_ORDER = {REFUSE: 0, WARN: 1, INFO: 2}


@dataclass(frozen=True, slots=True)
class DiskReport:
    """One disk. ``format`` is the file's own, or the descriptor's when the file is not there."""

    file: str
    format: str
    capacity: int
    size: int
    boot_mode: str = "unknown"
    scheme: str = "unknown"
    partitions: tuple[tuple[Partition, str], ...] = ()  # with the file system of each
    guest: Guest = field(default_factory=Guest)
    member: Member | None = None

    def as_json(self) -> Mapping[str, object]:
        return {
            "file": self.file,
            "format": self.format,
            "capacity_bytes": self.capacity,
            "size_bytes": self.size,
            "boot_mode": self.boot_mode,
            "partition_table": self.scheme,
            "partitions": [
                {
                    "number": one.number,
                    "kind": one.kind,
                    "start_bytes": one.start,
                    "size_bytes": one.size,
                    "bootable": one.bootable,
                    "filesystem": kind,
                }
                for one, kind in self.partitions
            ],
            "guest": self.guest.as_json(),
        }


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an appliance file is. ``kind`` is ova or ovf; ``digest`` the SHA-256 of the file, "" when not computed."""

    file: str
    kind: str
    size: int
    archive: Archive
    manifest: Manifest | None
    manifest_text: bytes
    descriptor: Descriptor
    disks: tuple[DiskReport, ...]
    problems: tuple[Problem, ...]
    digest: str = ""

    @property
    def verdict(self) -> str:
        severities = {one.severity for one in self.problems}
        return "refuse" if REFUSE in severities else "warn" if WARN in severities else "ok"

    @property
    def refusals(self) -> tuple[Problem, ...]:
        return tuple(one for one in self.problems if one.severity == REFUSE)

    def as_json(self) -> Mapping[str, object]:
        """The documented shape of ``gateway inspect --json``; every key is always there."""
        signer = self.manifest.signer if self.manifest else None
        return {
            "file": self.file,
            "kind": self.kind,
            "size_bytes": self.size,
            "verdict": self.verdict,
            "problems": [one.as_json() for one in self.problems],
            "manifest": {
                "file": self.manifest.file if self.manifest else None,
                "algorithm": self.manifest.algorithm if self.manifest else None,
                "digests": [
                    {"file": name, "status": status}
                    for name, status in (self.manifest.status.items() if self.manifest else ())
                ],
                "certificate": {
                    "subject": signer.subject,
                    "not_before": signer.not_before,
                    "not_after": signer.not_after,
                    "sha256": signer.fingerprint,
                    "verified": signer.verified,
                }
                if signer
                else None,
            },
            "disks": [one.as_json() for one in self.disks],
            "system": {
                "name": self.descriptor.name or None,
                "os_type": self.descriptor.os_type or None,
                "type": self.descriptor.system_type or None,
                "firmware": self.descriptor.firmware,
                "network_interfaces": self.descriptor.nics,
                "cpus": self.descriptor.cpus,
                "memory_bytes": self.descriptor.memory,
            },
            "members": [
                {"name": one.name, "offset": one.offset, "size_bytes": one.size}
                for one in self.archive.members
            ],
            "digest": self.digest or None,
        }


def sorted_problems(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The worst first, each once."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda one: _ORDER[one.severity]))
