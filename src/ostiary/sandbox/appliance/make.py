"""Makes the OVA: disks, descriptor, manifest, certificate, in the order that the OVF standard asks for.

The same ``Appliance`` gives the same bytes with the same version of mke2fs. Source: DMTF DSP0243, OVF 1.1.
"""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ostiary.errors import UsageError
from ostiary.sandbox.appliance.descriptor import descriptor
from ostiary.sandbox.appliance.disk import MadeDisk, digest_of, make_disk
from ostiary.sandbox.appliance.guest import MADE
from ostiary.sandbox.appliance.signing import signed_manifest
from ostiary.sandbox.appliance.wanted import FAULTS, Appliance, DiskSpec, check

__all__ = ["FAULTS", "Appliance", "DiskSpec", "Made", "MadeDisk", "make_ova"]

_MODE = 0o644


@dataclass(frozen=True, slots=True)
class Made:
    path: Path
    digest: str  # SHA-256 of the OVA
    disks: tuple[MadeDisk, ...]


def make_ova(path: Path, appliance: Appliance | None = None) -> Made:
    """Write the OVA, all of it or nothing. UsageError if a tool is missing, or it cannot be made or put there."""
    wanted = appliance or Appliance()
    check(wanted)
    try:
        with tempfile.TemporaryDirectory(prefix=".ostiary-appliance-", dir=path.parent) as name:
            folder = Path(name)
            disks = tuple(made for _, made in _pack(folder / "ova", folder, wanted))
            digest = digest_of(folder / "ova", "sha256")
            (folder / "ova").replace(path)
    except OSError as error:
        why = f"{error.strerror or error} ({type(error).__name__})"
        fix = "name a file in a folder that is there and has room"
        raise UsageError(f"cannot write the appliance {path}", why=why, fix=fix) from error
    return Made(path, digest, disks)


def _pack(ova: Path, folder: Path, wanted: Appliance) -> list[tuple[Path, MadeDisk]]:
    disks = [make_disk(folder, wanted, number) for number in range(len(wanted.disks))]
    text = folder / "ovf"
    text.write_bytes(descriptor(wanted.name, wanted.firmware, disks))
    files = [(made.name, file) for file, made in disks]
    first = (f"{wanted.name}.ovf", text)
    front = [first, *_manifest(folder, wanted, [first, *files])]
    members = [*files, *front] if "ovf-last" in wanted.faults else [*front, *files]
    if "outside-name" in wanted.faults:
        members.append(("../../etc/cron.d/oag", text))
    with ova.open("wb") as out:
        _archive(out, members)
    if "truncated" in wanted.faults:
        os.truncate(ova, ova.stat().st_size * 2 // 3)
    return disks


def _manifest(
    folder: Path, wanted: Appliance, files: list[tuple[str, Path]]
) -> list[tuple[str, Path]]:
    """The manifest, and its certificate if it is to be signed: members with where their content is."""
    if wanted.manifest is None:
        return []
    algorithm = wanted.manifest
    digests = [(name, digest_of(path, algorithm)) for name, path in files]
    if "bad-manifest" in wanted.faults:
        name, digest = digests[-1]
        digests[-1] = (name, digest[:-4] + ("0000" if digest[-4:] != "0000" else "1111"))
    if "missing-line" in wanted.faults:
        digests.pop()
    text = "".join(f"{algorithm.upper()}({name})= {digest}\n" for name, digest in digests)
    (folder / "mf").write_text(text)
    made = [(f"{wanted.name}.mf", folder / "mf")]
    if wanted.signed:
        signed = text.encode() + (b"\n" if "forged-signature" in wanted.faults else b"")
        certificate = signed_manifest(
            f"{wanted.name}.mf", signed, expired="expired-certificate" in wanted.faults
        )
        (folder / "cert").write_bytes(certificate)
        made.append((f"{wanted.name}.cert", folder / "cert"))
    return made


def _archive(out: io.BufferedWriter, members: list[tuple[str, Path]]) -> None:
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, path in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = path.stat().st_size, MADE, _MODE
            info.uname, info.gname = "someone", "someone"
            with path.open("rb") as content:
                archive.addfile(info, content)
