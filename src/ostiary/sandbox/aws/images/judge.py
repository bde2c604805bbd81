"""What VM Import makes of an uploaded file: it is really read, by qemu-img and debugfs and the standard library's tarfile.

Nothing of the product reads here, so that a misreading of ours meets another opinion. The verdict is the service's own
message. Source of messages: VM Import/Export User Guide, "Troubleshooting"; those of disks and kernels as seen in issues of
packer-plugin-amazon (#457), photon (#1489), sift (#465), packer (#8302).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from ostiary.sandbox.aws.iam_state import AwsError

SECONDS = 300
_PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DRIVERS = {"vmdk": "vmdk", "vhd": "vpc", "vhdx": "vhdx", "raw": "raw"}


class Refused(Exception):
    """The import ends here; the text is the service's StatusMessage."""


@dataclass(frozen=True, slots=True)
class Converted:
    """One disk as raw bytes in ``file``. ``table`` is gpt, mbr or none."""

    format: str
    file: Path
    size: int
    table: str


def needs(*tools: str) -> None:
    """NotImplemented, naming the package, where this machine cannot read images."""
    packages = {"qemu-img": "qemu-utils", "debugfs": "e2fsprogs", "sfdisk": "fdisk"}
    missing = [tool for tool in tools if shutil.which(tool, path=_PATHS) is None]
    if missing:
        raise AwsError(
            "NotImplemented",
            f"this sandbox reads images with {missing[0]}, which this machine lacks:"
            f" apt-get install {packages[missing[0]]}",
            501,
        )


def convert_ova(path: Path, folder: Path) -> list[Converted]:
    """The disks of an OVA, each checked and converted; Refused with the service's message."""
    try:
        with tarfile.open(path, "r:") as archive:
            members = archive.getmembers()
            names = [one.name for one in members]
            if not names or not names[0].endswith(".ovf"):
                raise Refused("ClientError: Disk validation failed [Unsupported OVA format]")
            for one in members:
                if not one.isreg() or "/" in one.name:
                    raise Refused("ClientError: Disk validation failed [Unsupported OVA format]")
                archive.extract(one, folder, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise Refused("ClientError: Disk validation failed [Unsupported OVA format]") from error
    _check_manifest(folder, names)
    disks = _disks_of(folder / names[0])
    for name in disks:
        if name not in names:
            raise Refused("ClientError: Disk validation failed [OVF references a missing file]")
    converted = [
        convert_disk(folder / name, "vmdk", folder / f"{n}.raw") for n, name in enumerate(disks)
    ]
    for name in names:
        (folder / name).unlink()
    return converted


def _check_manifest(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        if not name.endswith(".mf"):
            continue
        for line in (folder / name).read_text(errors="replace").splitlines():
            match = re.fullmatch(r"(SHA1|SHA256|SHA512)\((.+)\)= *([0-9a-fA-F]+)", line.strip())
            if match is None or match[2] not in names:
                raise Refused("ClientError: Disk validation failed [Unsupported OVA format]")
            with (folder / match[2]).open("rb") as file:
                found = hashlib.file_digest(file, match[1].lower()).hexdigest()
            if found != match[3].lower():
                raise Refused("ClientError: Disk validation failed [Manifest digest mismatch]")


def _disks_of(ovf: Path) -> list[str]:
    try:
        root = ET.parse(ovf).getroot()  # noqa: S314 - the sandbox's own disk; a bomb only slows a sandbox
    except ET.ParseError as error:
        raise Refused("ClientError: Disk validation failed [Unsupported OVA format]") from error
    ns = {"ovf": "http://schemas.dmtf.org/ovf/envelope/1"}
    files = {
        one.get(f"{{{ns['ovf']}}}id", ""): one.get(f"{{{ns['ovf']}}}href", "")
        for one in root.iterfind("ovf:References/ovf:File", ns)
    }
    references = [
        one.get(f"{{{ns['ovf']}}}fileRef", "")
        for one in root.iterfind("ovf:DiskSection/ovf:Disk", ns)
    ]
    found = [files[one] for one in references if one in files]
    if not found or len(found) > 21:  # noqa: PLR2004 - VM Import's limit
        raise Refused("ClientError: Disk validation failed [Unsupported OVA format]")
    return found


def convert_disk(path: Path, form: str, raw: Path) -> Converted:
    """One disk in the named format, as raw bytes."""
    driver = _DRIVERS.get(form)
    if driver is None or not path.stat().st_size:
        raise Refused("ClientError: Parameter disk-image-size=0 has an invalid format")
    if driver == "vmdk":
        _check_vmdk(path)
    code, _, said = _run(
        "qemu-img", "convert", "-f", driver, "-O", "raw", "-S", "4k", str(path), str(raw)
    )
    if code:
        if "decompress" in said or "Invalid argument" in said or "invalid" in said.lower():
            raise Refused("ClientError: Uncompressed data has invalid length")
        raise Refused(f"ClientError: Disk validation failed [{said[:80]}]")
    size = raw.stat().st_size
    return Converted(form.upper(), raw, size, _table(raw)[0])


def _check_vmdk(path: Path) -> None:
    """What VM Import asks of a VMDK beyond what qemu-img reads: streamOptimized, compressed, whole."""
    head = path.read_bytes()[:512] if path.stat().st_size < 1024 else _head(path)  # noqa: PLR2004
    if head[:4] != b"KDMV":
        raise Refused("ClientError: Disk validation failed [Unsupported VMDK File]")
    if int.from_bytes(head[77:79], "little") == 0:
        raise Refused("ClientError: File uses unsupported compression algorithm 0")
    code, out, said = _run("qemu-img", "info", "--output=json", "-f", "vmdk", str(path))
    if code:
        raise Refused(f"ClientError: Disk validation failed [{said[:80]}]")
    kind = json.loads(out).get("format-specific", {}).get("data", {}).get("create-type")
    if kind != "streamOptimized":
        raise Refused("ClientError: Disk validation failed [Unsupported VMDK File]")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def judge_guest(disk: Converted) -> str:
    """The boot mode of the root disk, once it is known to hold a system that is supported. Refused otherwise."""
    table, partitions = _table(disk.file)
    if table == "none" or not partitions:
        raise Refused("ClientError: No bootable partition found")
    esp = any(str(one.get("type", "")).lower() in ("ef", _ESP) for one in partitions)
    active = any(one.get("bootable") for one in partitions)
    bios_boot = any(str(one.get("type", "")).lower() == _BIOS_BOOT for one in partitions)
    if not (esp or active or bios_boot):
        raise Refused("ClientError: No bootable partition found")
    for one in partitions:
        at = int(one["start"]) * 512
        if _debugfs(disk.file, at, "stat /etc").startswith("Inode"):
            _judge_linux(disk.file, at)
            return "uefi" if esp and not active and not bios_boot else "legacy-bios"
    raise Refused("ClientError: Unknown OS / Missing OS files.")


_ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
_BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"


def _judge_linux(file: Path, at: int) -> None:
    if not _debugfs(file, at, "stat /etc/fstab").startswith("Inode"):
        raise Refused("ClientError: Invalid configuration - Could not read fstab")
    if not re.search(r"vmlinuz-\S+", _debugfs(file, at, "ls -p /boot")):
        raise Refused("ClientError: Unable to determine kernel version.")


def _debugfs(file: Path, at: int, request: str) -> str:
    _, out, _ = _run("debugfs", "-R", request, f"{file}?offset={at}")
    return out.strip()


def _table(file: Path) -> tuple[str, list[Mapping[str, Any]]]:
    code, out, _ = _run("sfdisk", "--json", str(file))
    if code:
        return "none", []
    table = json.loads(out)["partitiontable"]
    return ("gpt" if table["label"] == "gpt" else "mbr"), list(table.get("partitions", ()))


def _run(*command: str) -> tuple[int, str, str]:
    try:
        done = subprocess.run(  # noqa: S603 - argument lists of our own
            command,
            capture_output=True,
            timeout=SECONDS,
            env={"PATH": _PATHS, "LC_ALL": "C"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 124, "", "no end"
    said = (done.stderr.decode("utf-8", "replace").strip().splitlines() or [""])[-1]
    return done.returncode, done.stdout.decode("utf-8", "replace"), said
