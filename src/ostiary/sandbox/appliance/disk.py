"""The disks of an appliance: bytes as the guest sees them, then packed into a VMDK."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ostiary.sandbox.appliance.fat import fat16
from ostiary.sandbox.appliance.guest import files_of, make_ext4
from ostiary.sandbox.appliance.partitioning import GPT_TAIL, MIB, Partition, gpt, mbr
from ostiary.sandbox.appliance.vmdk import write_vmdk
from ostiary.sandbox.appliance.wanted import Appliance, DiskSpec

LOADER = "EFI/BOOT/BOOTX64.EFI"  # UEFI Specification 2.10, 3.5.1.1: where firmware looks on a disk it does not know
_ESP_SIZE = 9 * MIB  # FAT16 begins at 4,085 clusters of 1 KiB
_COMPRESSION_AT = 77  # in a VMDK header and its footer
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class MadeDisk:
    """``name`` in the archive; ``raw_digest`` is the SHA-256 of the disk as the guest sees it."""

    name: str
    capacity: int
    raw_digest: str


def make_disk(folder: Path, wanted: Appliance, number: int) -> tuple[Path, MadeDisk]:
    """Disk ``number`` of an appliance, 0 the root disk, as a VMDK in ``folder``."""
    spec = wanted.disks[number]
    name = f"{wanted.name}-disk{number + 1}.vmdk"
    raw = folder / f"disk{number + 1}.raw"
    with raw.open("wb") as file:
        file.truncate(spec.size)
    if number == 0:
        _root_disk(raw, wanted, spec.size)
    else:
        _data_disk(raw, wanted, spec, number)
    packed = folder / name
    with raw.open("rb") as disk, packed.open("w+b") as out:
        write_vmdk(out, disk, spec.size, variant=wanted.variant, name=name)
        if "compression-0" in wanted.faults:
            _say_uncompressed(out, wanted.variant)
    made = MadeDisk(name, spec.size, digest_of(raw, "sha256"))
    raw.unlink()
    return packed, made


def _say_uncompressed(out: io.BufferedRandom, variant: str) -> None:
    footer = out.seek(0, os.SEEK_END) - 1024
    for begin in (0, footer) if variant == "footer" else (0,):
        out.seek(begin + _COMPRESSION_AT)
        out.write(b"\0\0")


def _root_disk(raw: Path, wanted: Appliance, size: int) -> None:
    partitions = _partitions(wanted, size)
    root = partitions[-1]
    files = files_of(wanted.guest, wanted.name, wanted.faults)
    files["opt/oag/version"] = f"{wanted.version}\n".encode() * 100
    make_ext4(raw, root.start, root.size, files, wanted.name)
    with raw.open("r+b") as file:
        for at, data in _table(wanted, partitions, size).items():
            file.seek(at)
            file.write(data)
        for one in partitions:
            if one.kind == "esp":
                file.seek(one.start)
                loader = {} if "no-loader" in wanted.faults else {LOADER: b"MZ" + bytes(510)}
                file.write(fat16(one.size, loader))


def _table(wanted: Appliance, partitions: list[Partition], size: int) -> dict[int, bytes]:
    """Offset -> bytes."""
    if "no-partitions" in wanted.faults:
        return {}
    if wanted.table == "gpt":
        return dict(gpt(partitions, size, wanted.name))
    return {0: mbr(partitions, wanted.name)}


def _partitions(wanted: Appliance, size: int) -> list[Partition]:
    """From 1 MiB to where a backup GPT would begin; the root file system is the last."""
    found = []
    at = MIB
    bootable = wanted.firmware == "bios" and "no-boot-flag" not in wanted.faults
    if wanted.firmware == "uefi":
        found.append(Partition("esp", at, _ESP_SIZE))
        at += _ESP_SIZE
    elif wanted.table == "gpt" and bootable:
        found.append(Partition("bios-boot", at, MIB))
        at += MIB
    end = (size - GPT_TAIL) // MIB * MIB
    return [*found, Partition("linux", at, end - at, bootable)]


def _data_disk(raw: Path, wanted: Appliance, spec: DiskSpec, number: int) -> None:
    """Noise at regular places and nothing in between: a sparse disk."""
    with raw.open("r+b") as file:
        for at in range(0, spec.size - spec.noise, spec.every * MIB):
            seed = f"{wanted.name}/{wanted.version}/{number}/{at}".encode()
            file.seek(at)
            file.write(hashlib.shake_128(seed).digest(spec.noise))


def digest_of(path: Path, algorithm: str) -> str:
    """In hex."""
    digest = hashlib.new(algorithm)
    with path.open("rb") as file:
        for chunk in _chunks(file):
            digest.update(chunk)
    return digest.hexdigest()


def _chunks(file: io.BufferedReader) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk
