"""Makes the OVA: disks, descriptor, manifest, certificate, in the order that the OVF standard asks for.

The same ``Appliance`` gives the same bytes, the certificate of a signed one apart. Source: DMTF DSP0243, OVF 1.1.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ostiary.errors import UsageError
from ostiary.sandbox.appliance.descriptor import descriptor
from ostiary.sandbox.appliance.fat import fat16
from ostiary.sandbox.appliance.guest import MADE, Guest, files_of, make_ext4
from ostiary.sandbox.appliance.partitioning import GPT_TAIL, MIB, Partition, gpt, mbr
from ostiary.sandbox.appliance.signing import signed_manifest
from ostiary.sandbox.appliance.vmdk import write_vmdk

FAULTS = frozenset(
    {"bad-manifest", "compression-0", "missing-line", "no-boot-flag", "no-fstab", "no-kernel"}
    | {"no-partitions", "ovf-last", "truncated"}
)
_ESP_SIZE = 9 * MIB
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class DiskSpec:
    """``size`` in bytes, whole MiB. ``noise`` bytes of every ``every`` MiB of a data disk hold something."""

    size: int = 64 * MIB
    noise: int = 70_000
    every: int = 4


@dataclass(frozen=True, slots=True)
class Appliance:
    """What to make. ``firmware`` bios or uefi; ``table`` gpt or mbr; ``variant`` footer or header (see ``vmdk.py``).

    ``manifest`` sha1, sha256, sha512 or None. The first disk is the root disk; others hold noise. ``version`` changes
    the payload, as a next release would. ``faults`` are of ``FAULTS``.
    """

    name: str = "oag"
    firmware: str = "bios"
    table: str = "mbr"
    disks: tuple[DiskSpec, ...] = (DiskSpec(),)
    variant: str = "footer"
    manifest: str | None = "sha256"
    signed: bool = False
    guest: Guest = field(default_factory=Guest)
    version: int = 1
    faults: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class MadeDisk:
    """``name`` in the archive; ``raw_digest`` is the SHA-256 of the disk as the guest sees it."""

    name: str
    capacity: int
    raw_digest: str


@dataclass(frozen=True, slots=True)
class Made:
    path: Path
    digest: str  # SHA-256 of the OVA
    disks: tuple[MadeDisk, ...]


def make_ova(path: Path, appliance: Appliance | None = None) -> Made:
    """Write the OVA. UsageError if a tool is missing or the description makes no sense."""
    appliance = appliance or Appliance()
    if strange := appliance.faults - FAULTS:
        raise UsageError(
            f"no fault is named {min(strange)}", fix=f"use one of: {', '.join(sorted(FAULTS))}"
        )
    with tempfile.TemporaryDirectory(prefix="ostiary-appliance-") as name:
        folder = Path(name)
        disks = [_disk(folder, appliance, number) for number in range(len(appliance.disks))]
        text = descriptor(
            appliance.name, appliance.firmware, [(file, made) for file, made in disks]
        )
        members: list[tuple[str, Path]] = [(f"{appliance.name}.ovf", folder / "ovf")]
        (folder / "ovf").write_bytes(text)
        files = [(made.name, file) for file, made in disks]
        members += _manifest(folder, appliance, [members[0], *files])
        members = [*files, *members] if "ovf-last" in appliance.faults else [*members, *files]
        with path.open("wb") as out:
            _archive(out, members)
        if "truncated" in appliance.faults:
            os.truncate(path, path.stat().st_size * 2 // 3)
    return Made(path, _file_digest(path, "sha256"), tuple(made for _, made in disks))


def _disk(folder: Path, appliance: Appliance, number: int) -> tuple[Path, MadeDisk]:
    spec = appliance.disks[number]
    name = f"{appliance.name}-disk{number + 1}.vmdk"
    raw = folder / f"disk{number + 1}.raw"
    with raw.open("wb") as file:
        file.truncate(spec.size)
    if number == 0:
        _root_disk(raw, appliance, spec.size)
    else:
        _data_disk(raw, appliance, spec, number)
    packed = folder / name
    with raw.open("rb") as disk, packed.open("w+b") as out:
        write_vmdk(out, disk, spec.size, variant=appliance.variant, name=name)
        if "compression-0" in appliance.faults:
            for at in (77, out.seek(0, os.SEEK_END) - 1024 + 77):
                out.seek(at)
                out.write(b"\0\0")
    made = MadeDisk(name, spec.size, _file_digest(raw, "sha256"))
    raw.unlink()
    return packed, made


def _root_disk(raw: Path, appliance: Appliance, size: int) -> None:
    partitions = _partitions(appliance, size)
    root = partitions[-1]
    files = files_of(appliance.guest, appliance.name, appliance.faults)
    files["opt/oag/version"] = f"{appliance.version}\n".encode() * 100
    make_ext4(raw, root.start, root.size, files, appliance.name)
    with raw.open("r+b") as file:
        if "no-partitions" not in appliance.faults:
            if appliance.table == "gpt":
                for at, data in gpt(partitions, size, appliance.name).items():
                    file.seek(at)
                    file.write(data)
            else:
                file.write(mbr(partitions, appliance.name))
        for one in partitions:
            if one.kind == "esp":
                file.seek(one.start)
                file.write(fat16(one.size, {"EFI/BOOT/BOOTX64.EFI": b"MZ" + bytes(510)}))


def _partitions(appliance: Appliance, size: int) -> list[Partition]:
    found = []
    at = MIB
    if appliance.firmware == "uefi":
        found.append(Partition("esp", at, _ESP_SIZE))
        at += _ESP_SIZE
    elif appliance.table == "gpt":
        found.append(Partition("bios-boot", at, MIB))
        at += MIB
    end = (size - GPT_TAIL) // MIB * MIB
    bootable = appliance.firmware == "bios" and "no-boot-flag" not in appliance.faults
    return [*found, Partition("linux", at, end - at, bootable)]


def _data_disk(raw: Path, appliance: Appliance, spec: DiskSpec, number: int) -> None:
    """Noise at regular places and nothing in between: a sparse disk."""
    with raw.open("r+b") as file:
        for at in range(0, spec.size - spec.noise, spec.every * MIB):
            seed = f"{appliance.name}/{appliance.version}/{number}/{at}".encode()
            file.seek(at)
            file.write(hashlib.shake_128(seed).digest(spec.noise))


def _manifest(
    folder: Path, appliance: Appliance, files: list[tuple[str, Path]]
) -> list[tuple[str, Path]]:
    if appliance.manifest is None:
        return []
    algorithm = appliance.manifest
    digests = [(name, _file_digest(path, algorithm)) for name, path in files]
    if "bad-manifest" in appliance.faults:
        name, digest = digests[-1]
        digests[-1] = (name, digest[:-4] + ("0000" if digest[-4:] != "0000" else "1111"))
    if "missing-line" in appliance.faults:
        digests.pop()
    text = "".join(f"{algorithm.upper()}({name})= {digest}\n" for name, digest in digests)
    (folder / "mf").write_text(text)
    made = [(f"{appliance.name}.mf", folder / "mf")]
    if appliance.signed:
        (folder / "cert").write_bytes(signed_manifest(f"{appliance.name}.mf", text.encode()))
        made.append((f"{appliance.name}.cert", folder / "cert"))
    return made


def _archive(out: io.BufferedWriter, members: list[tuple[str, Path]]) -> None:
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, path in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = path.stat().st_size, MADE, 0o644
            info.uname, info.gname = "someone", "someone"
            with path.open("rb") as content:
                archive.addfile(info, content)


def _file_digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm)
    with path.open("rb") as file:
        for chunk in _chunks(file):
            digest.update(chunk)
    return digest.hexdigest()


def _chunks(file: io.BufferedReader) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk
