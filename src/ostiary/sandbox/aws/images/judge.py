"""What VM Import makes of an uploaded file: it is really read, by qemu-img and debugfs and sfdisk.

Nothing of the product reads here, so that a misreading of ours meets another opinion. The verdict is the service's own
message. Source of messages: VM Import/Export User Guide, "Troubleshooting"; those of partitions and kernels as seen in issues
of photon (#1489), remnux-cli (#156), sift (#465), packer (#8302).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.images.esp import has_loader
from ostiary.sandbox.aws.images.state import Disk

SECONDS = 120  # that one tool may take over one disk
SECTOR = 512
MOST_BYTES = 16 * 1024**4
_PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PACKAGES = {"qemu-img": "qemu-utils", "debugfs": "e2fsprogs", "sfdisk": "fdisk"}
_DRIVERS = {"vmdk": "vmdk", "vhd": "vpc", "vhdx": "vhdx", "raw": "raw"}
_ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
_BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"
_DISK = "ClientError: Disk validation failed [Unsupported VMDK File]"


class Refused(Exception):
    """The import ends here; the text is the service's StatusMessage."""


def needs(*tools: str) -> None:
    """NotImplemented, naming the package, where this machine cannot read images."""
    missing = [tool for tool in tools if shutil.which(tool, path=_PATHS) is None]
    if missing:
        raise AwsError(
            "NotImplemented",
            f"this sandbox reads images with {missing[0]}, which this machine lacks:"
            f" apt-get install {_PACKAGES[missing[0]]}",
            501,
        )


def convert(path: Path, form: str, raw: Path) -> Disk:
    """One disk in the named format, as raw bytes in ``raw``."""
    driver = _DRIVERS.get(form)
    stored = path.stat().st_size
    if driver is None or not stored:
        raise Refused("ClientError: Parameter disk-image-size=0 has an invalid format")
    if driver == "vmdk":
        _check_vmdk_header(path)
    about = _about(path, driver)
    if driver == "vmdk":
        kind = about.get("format-specific", {}).get("data", {}).get("create-type")
        # qemu would follow the name of a parent to any file of this machine.
        if kind != "streamOptimized" or "backing-filename" in about:
            raise Refused(_DISK)
    if not 0 < about["virtual-size"] <= MOST_BYTES:
        raise Refused("ClientError: Disk validation failed [Disk size exceeds the limit]")
    code, _, said = _run(
        "qemu-img", "convert", "-f", driver, "-O", "raw", "-S", "4k", str(path), str(raw)
    )
    if code:
        lost = "ompress" in said or "Invalid argument" in said or "Input/output error" in said
        raise Refused("ClientError: Uncompressed data has invalid length" if lost else _DISK)
    return Disk(form.upper(), raw, raw.stat().st_size, stored)


def _about(path: Path, driver: str) -> Mapping[str, Any]:
    code, out, _ = _run("qemu-img", "info", "--output=json", "-f", driver, str(path))
    if code and driver == "vpc":
        raise Refused("ClientError: Footers not identical")
    if code:
        raise Refused(_DISK)
    found: Mapping[str, Any] = json.loads(out)
    return found


def _check_vmdk_header(path: Path) -> None:
    """A sparse extent that is compressed: qemu-img takes others too, a bare descriptor among them.

    Source: VMware Virtual Disk Format 1.1, "Hosted sparse extents": compressAlgorithm at byte 77.
    """
    with path.open("rb") as file:
        head = file.read(SECTOR)
    if len(head) < SECTOR or head[:4] != b"KDMV":
        raise Refused(_DISK)
    if head[77:79] == b"\0\0":
        raise Refused("ClientError: File uses unsupported compression algorithm 0")


def judge_guest(disk: Disk) -> str:
    """The boot mode of the root disk, once it is known to hold a system that is supported. Refused otherwise."""
    partitions = _partitions(disk.file)
    if not partitions:
        raise Refused("ClientError: No valid partitions. Not a valid volume.")
    kinds = [str(one.get("type", "")).lower() for one in partitions]
    bios = _BIOS_BOOT in kinds or any(one.get("bootable") for one in partitions)
    uefi = any(
        kind in ("ef", _ESP) and has_loader(disk.file, int(one["start"]) * SECTOR)
        for kind, one in zip(kinds, partitions, strict=True)
    )
    if not (uefi or bios):
        raise Refused("ClientError: No bootable partition found")
    for one in partitions:
        at = int(one["start"]) * SECTOR
        if _exists(disk.file, at, "/etc"):
            _judge_linux(disk.file, at)
            return "legacy-bios" if bios else "uefi"
    raise Refused("ClientError: Unknown OS / Missing OS files.")


def _judge_linux(file: Path, at: int) -> None:
    if not _exists(file, at, "/etc/fstab"):
        raise Refused("ClientError: Invalid configuration - Could not read fstab")
    if not re.search(r"/vmlinuz-\S+?/", _debugfs(file, at, "ls -p /boot")):
        raise Refused("ClientError: Unable to determine kernel version.")


def _exists(file: Path, at: int, name: str) -> bool:
    return _debugfs(file, at, f"stat {name}").startswith("Inode")


def _debugfs(file: Path, at: int, request: str) -> str:
    _, out, _ = _run("debugfs", "-R", request, f"{file}?offset={at}")
    return out.strip()


def _partitions(file: Path) -> list[Mapping[str, Any]]:
    code, out, _ = _run("sfdisk", "--json", str(file))
    return [] if code else list(json.loads(out)["partitiontable"].get("partitions", ()))


def _run(*command: str) -> tuple[int, str, str]:
    """Exit code, output and the last line of the errors; 124 when the tool came to no end."""
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
