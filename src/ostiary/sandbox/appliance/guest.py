"""The root file system of an appliance: what VM Import looks for in a guest, as a tree that mke2fs makes an ext4 of."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from ostiary.errors import UsageError

MADE = 1_767_225_600  # 2026-01-01: the time of every file
_SYSTEM_PATH = ("/usr/sbin", "/sbin", "/usr/local/sbin")
NETWORKS = frozenset({"dhcp", "static"})
KERNEL = "5.14.0-503.el9.x86_64"


@dataclass(frozen=True, slots=True)
class Guest:
    """What is inside. ``modules`` of ``MODULES``; ``network`` of ``NETWORKS``; ``fstab`` uuid or device.

    ``payload`` is the number of bytes of noise in ``/opt/oag``.
    """

    kernel: str = KERNEL
    modules: tuple[str, ...] = ("ena", "nvme", "xen-blkfront")
    network: str = "dhcp"
    fstab: str = "uuid"
    os_id: str = "rocky"
    payload: int = 256 * 1024


MODULES = {
    "ena": "kernel/drivers/net/ethernet/amazon/ena/ena.ko.xz",
    "nvme": "kernel/drivers/nvme/host/nvme.ko.xz",
    "xen-blkfront": "kernel/drivers/block/xen-blkfront.ko.xz",
}


def files_of(guest: Guest, name: str, faults: frozenset[str]) -> dict[str, bytes]:
    """Path -> content."""
    root = f"UUID={root_uuid(name)}" if guest.fstab == "uuid" else "/dev/sda1"
    found = {
        "etc/os-release": f'ID="{guest.os_id}"\nNAME="Rocky Linux"\nVERSION_ID="9.5"\n'.encode(),
        "etc/fstab": f"{root} / ext4 defaults 0 1\n".encode(),
        "etc/hostname": b"oag\n",
        "boot/grub2/grub.cfg": f"linux /boot/vmlinuz-{guest.kernel} root={root} ro\n".encode(),
        f"boot/vmlinuz-{guest.kernel}": _noise(f"{name}/kernel", 64 * 1024),
        f"boot/initramfs-{guest.kernel}.img": _noise(f"{name}/initramfs", 96 * 1024),
        "etc/sysconfig/network-scripts/ifcfg-eth0": _network(guest).encode(),
        "opt/oag/payload": _noise(f"{name}/payload", guest.payload),
        "usr/bin/oag": b"#!/bin/sh\necho an appliance for tests, not Okta's\n",
        "var/log/.keep": b"",
    }
    for module in guest.modules:
        found[f"lib/modules/{guest.kernel}/{MODULES[module]}"] = _noise(f"{name}/{module}", 4096)
    if "no-kernel" in faults:
        found = {path: content for path, content in found.items() if not path.startswith("boot/vm")}
    if "no-initramfs" in faults:
        del found[f"boot/initramfs-{guest.kernel}.img"]
    if "no-fstab" in faults:
        del found["etc/fstab"]
    return found


def root_uuid(name: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.appliance.ostiary.example")


def make_ext4(file: Path, offset: int, size: int, files: dict[str, bytes], name: str) -> None:
    """Make an ext4 of ``size`` bytes at ``offset`` of ``file``, holding ``files``. No root is needed."""
    tool = _tool("mke2fs", "e2fsprogs")
    identity = str(root_uuid(name))
    with tempfile.TemporaryDirectory(prefix="ostiary-guest-") as folder:
        tree = Path(folder)
        for path, content in files.items():
            target = tree / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        for one in sorted(tree.rglob("*"), reverse=True):
            one.chmod(0o755 if one.is_dir() else 0o644)
            os.utime(one, (MADE, MADE))
        options = f"offset={offset},root_owner=0:0,hash_seed={identity},lazy_itable_init=0"
        command = [
            tool,
            "-q",
            "-F",
            "-t",
            "ext4",
            "-O",
            "^has_journal,^metadata_csum",
            "-b",
            "4096",
            "-m",
            "0",
        ]
        command += ["-E", options, "-U", identity, "-d", str(tree), str(file), str(size // 4096)]
        done = subprocess.run(  # noqa: S603 - a list of our own
            command,
            capture_output=True,
            text=True,
            env={"E2FSPROGS_FAKE_TIME": str(MADE), "PATH": "/usr/bin:/bin"},
            check=False,
        )
    if done.returncode:
        raise UsageError(
            f"cannot make the file system of appliance {name}",
            why=(done.stderr.strip().splitlines() or ["mke2fs said nothing"])[-1],
            fix="choose a larger disk",
        )
    _settle_times(file, offset)


def _settle_times(file: Path, offset: int) -> None:
    """mke2fs copies the change time of each file, which nobody can set: put ``MADE`` there, so that bytes repeat.

    Source: Linux kernel documentation, filesystems/ext4; without metadata_csum no checksum covers an inode.
    """
    with file.open("r+b") as disk:

        def number(at: int, size: int) -> int:
            disk.seek(offset + at)
            return int.from_bytes(disk.read(size), "little")

        block = 1024 << number(1024 + 24, 4)
        per_group, inode_size = number(1024 + 40, 4), number(1024 + 88, 2)
        groups = number(1024, 4) // per_group
        descriptor = number(1024 + 254, 2) or 32
        for group in range(groups):
            table = number(max(block, 2048) + group * descriptor + 8, 4) * block
            for index in range(per_group):
                at = table + index * inode_size
                if number(at + 12, 4):
                    disk.seek(offset + at + 12)
                    disk.write(MADE.to_bytes(4, "little"))
                    disk.seek(offset + at + 132)
                    disk.write(bytes(4))  # its nanoseconds


def _tool(name: str, package: str) -> str:
    found = shutil.which(name) or next(
        (f"{folder}/{name}" for folder in _SYSTEM_PATH if Path(folder, name).exists()), None
    )
    if found is None:
        raise UsageError(
            "cannot make an appliance",
            why=f"{name} is not on this machine",
            fix=f"install it, on Debian: apt-get install {package}",
        )
    return found


def _network(guest: Guest) -> str:
    if guest.network == "static":
        return "DEVICE=eth0\nBOOTPROTO=none\nIPADDR=192.0.2.10\nPREFIX=24\nONBOOT=yes\n"
    return "DEVICE=eth0\nBOOTPROTO=dhcp\nONBOOT=yes\n"


def _noise(seed: str, size: int) -> bytes:
    """Bytes that do not compress, the same every time."""
    blocks = (
        hashlib.sha256(f"{seed}/{index}".encode()).digest() for index in range(-(-size // 32))
    )
    return b"".join(blocks)[:size]
