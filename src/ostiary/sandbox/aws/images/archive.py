"""The OVA that VM Import was given: its members, its manifest, its descriptor, by the standard library's tarfile.

Source: DMTF DSP0243, Open Virtualization Format 1.1, sections 5 and 6; the message for any misfit is as seen in
packer-plugin-amazon #457.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from ostiary.sandbox.aws.images.judge import Refused, convert
from ostiary.sandbox.aws.images.state import Disk

MOST_DISKS = 21
_OVF = "http://schemas.dmtf.org/ovf/envelope/1"
_UNSUPPORTED = "ClientError: Disk validation failed [Unsupported OVA format]"
_LINE = re.compile(r"(SHA1|SHA256|SHA512) ?\((.+)\) ?= *([0-9a-fA-F]+)")


def convert_ova(path: Path, folder: Path) -> list[Disk]:
    """The disks of an OVA, each checked and converted; Refused with the service's message."""
    inside, out = folder / "inside", folder / "out"
    inside.mkdir()
    out.mkdir()
    names = _unpack(path, inside)
    _check_manifest(inside, names)
    disks = _disks_of(inside / names[0])
    if not set(disks) <= set(names):
        raise Refused(_UNSUPPORTED)
    return [convert(inside / one, "vmdk", out / f"{n}.raw") for n, one in enumerate(disks)]


def _unpack(path: Path, folder: Path) -> list[str]:
    """Plain files in one folder, the descriptor first. Links, sparse members and paths are none of an OVA's."""
    try:
        with tarfile.open(path, "r:") as archive:
            members = archive.getmembers()
            names = [one.name for one in members]
            if not names or not names[0].endswith(".ovf") or len(names) != len(set(names)):
                raise Refused(_UNSUPPORTED)
            for one in members:
                if not one.isreg() or one.issparse() or "/" in one.name:
                    raise Refused(_UNSUPPORTED)
                content = archive.extractfile(one)
                if content is None:
                    raise Refused(_UNSUPPORTED)
                with content, (folder / one.name).open("xb") as out:
                    shutil.copyfileobj(content, out, 1024 * 1024)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise Refused(_UNSUPPORTED) from error
    return names


def _check_manifest(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        if not name.endswith(".mf"):
            continue
        for line in (folder / name).read_text(errors="replace").splitlines():
            match = _LINE.fullmatch(line.strip())
            if match is None or match[2] not in names:
                raise Refused(_UNSUPPORTED)
            with (folder / match[2]).open("rb") as file:
                found = hashlib.file_digest(file, match[1].lower()).hexdigest()
            if found != match[3].lower():
                raise Refused(_UNSUPPORTED)


def _disks_of(ovf: Path) -> list[str]:
    text = ovf.read_bytes()
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise Refused(_UNSUPPORTED)
    try:
        root = ET.fromstring(text)  # noqa: S314 - without a document type there are no entities to expand
    except ET.ParseError as error:
        raise Refused(_UNSUPPORTED) from error
    files = {
        one.get(f"{{{_OVF}}}id", ""): one.get(f"{{{_OVF}}}href", "")
        for one in root.iterfind(f"{{{_OVF}}}References/{{{_OVF}}}File")
    }
    disks = root.iterfind(f"{{{_OVF}}}DiskSection/{{{_OVF}}}Disk")
    found = [files.get(one.get(f"{{{_OVF}}}fileRef", ""), "") for one in disks]
    if not 1 <= len(found) <= MOST_DISKS or not all(found):
        raise Refused(_UNSUPPORTED)
    return found
