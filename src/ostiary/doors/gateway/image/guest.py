"""What is inside a disk: how it starts, and what the guest says of itself. What cannot be read is ``unknown``, never guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ostiary.doors.gateway.image.disk import DamagedDisk, Disk
from ostiary.doors.gateway.image.ext4 import Ext4, NotPlain
from ostiary.doors.gateway.image.fat import Fat
from ostiary.doors.gateway.image.filesystems import filesystem
from ostiary.doors.gateway.image.partitions import Partition, Table, read_table
from ostiary.doors.gateway.image.problems import Problem, problem

EXT = frozenset({"ext2", "ext3", "ext4"})
LOADER = "EFI/BOOT/BOOTX64.EFI"
DRIVERS = ("ena", "nvme", "xen-blkfront")
_KERNEL = re.compile(r"(?:vmlinuz|vmlinux|bzImage|linux|kernel)(?:[-.].*)?")
_INITRAMFS = re.compile(r"(?:initrd|initramfs).*")
_STATIC = re.compile(
    r"^\s*(?:BOOTPROTO=[\"']?(?:none|static)|iface\s+\S+\s+inet\s+static|address1=|method=manual)",
    re.MULTILINE,
)
_DHCP = re.compile(
    r"^\s*(?:BOOTPROTO=[\"']?dhcp|iface\s+\S+\s+inet\s+dhcp|method=auto|dhcp4:\s*(?:true|yes)|DHCP=)",
    re.MULTILINE,
)
_NETWORKS = (
    "etc/sysconfig/network-scripts",
    "etc/NetworkManager/system-connections",
    "etc/network",
    "etc/netplan",
    "etc/systemd/network",
)
_MODULE_FOLDERS = {
    "ena": "kernel/drivers/net/ethernet/amazon/ena",
    "nvme": "kernel/drivers/nvme/host",
    "xen-blkfront": "kernel/drivers/block",
}


@dataclass(frozen=True, slots=True)
class Guest:
    """``network`` is dhcp, static or unknown; ``fstab`` is uuid, device, missing or unknown.

    ``drivers`` are those of ``DRIVERS`` found as modules; None when nobody could look.
    """

    os: str = "unknown"
    kernels: tuple[str, ...] | None = None
    initramfs: bool | None = None
    drivers: tuple[str, ...] | None = None
    network: str = "unknown"
    fstab: str = "unknown"

    def as_json(self) -> Mapping[str, object]:
        return {
            "os": self.os,
            "kernels": list(self.kernels) if self.kernels is not None else None,
            "initramfs": self.initramfs,
            "drivers": list(self.drivers) if self.drivers is not None else None,
            "network": self.network,
            "fstab": self.fstab,
        }


@dataclass(frozen=True, slots=True)
class Layout:
    """``boot_mode`` is bios, uefi, uefi+bios or unknown; ``filesystems`` by partition number."""

    table: Table
    filesystems: Mapping[int, str]
    boot_mode: str
    loader: bool | None  # whether the ESP has the loader that every firmware looks for
    guest: Guest
    problems: tuple[Problem, ...]


def read_layout(disk: Disk, file: str, *, root_disk: bool) -> Layout:
    """Partitions, file systems, boot mode; for the root disk also the guest. DamagedDisk if the disk cannot be read."""
    table = read_table(disk)
    partitions = table.partitions
    if table.scheme == "none":
        partitions = (Partition(0, "whole", 0, disk.capacity),)
    kinds = {
        one.number: filesystem(disk, one.start, one.size)
        for one in partitions
        if one.start + one.size <= disk.capacity
    }
    loader = _loader(disk, partitions, kinds)
    mode = _boot_mode(table, loader)
    problems: list[Problem] = []
    guest = Guest()
    if table.damage:
        code = "boot-gpt-damaged" if partitions else "boot-table"
        problems.append(problem(code, table.damage, file))
    if root_disk:
        guest = _guest(disk, partitions, kinds)
    layout = Layout(table, kinds, mode, loader, guest, tuple(problems))
    return replace(layout, problems=(*problems, *_judged(layout, file))) if root_disk else layout


def _loader(disk: Disk, partitions: tuple[Partition, ...], kinds: Mapping[int, str]) -> bool | None:
    esps = [one for one in partitions if one.kind == "esp"]
    if not esps:
        return None
    for one in esps:
        if kinds.get(one.number) == "fat":
            try:
                if Fat(disk, one.start, one.size).exists(LOADER):
                    return True
            except (NotPlain, DamagedDisk):
                continue
    return False


def _boot_mode(table: Table, loader: bool | None) -> str:
    """What the disk can be started by, as far as its table tells."""
    kinds = {one.kind for one in table.partitions}
    bios = table.scheme == "mbr" and any(one.bootable for one in table.partitions)
    bios = bios or (table.scheme == "gpt" and "bios-boot" in kinds)
    if loader:
        return "uefi+bios" if bios else "uefi"
    if bios or (table.scheme == "mbr" and "esp" not in kinds and table.partitions):
        return "bios"
    return "unknown"


def _guest(disk: Disk, partitions: tuple[Partition, ...], kinds: Mapping[int, str]) -> Guest:
    """Looks into plain ext file systems for the one that has ``/etc``, and for ``/boot`` beside it."""
    readable = []
    for one in partitions:
        if kinds.get(one.number) in EXT:
            try:
                readable.append(Ext4(disk, one.start, one.size))
            except NotPlain:
                continue
    try:
        root = next((one for one in readable if one.exists("etc")), None)
        if root is None:
            return Guest()
        return _read_guest(root, readable)
    except NotPlain:
        return Guest()


def _read_guest(root: Ext4, readable: list[Ext4]) -> Guest:
    boots = [
        *root.names("boot"),
        *(name for one in readable if one is not root for name in one.names("")),
    ]
    kernels = tuple(sorted(name for name in boots if _KERNEL.fullmatch(name)))
    separate = len(readable) == 1 and not kernels and "/boot" in (root.text("etc/fstab") or "")
    return Guest(
        os=_os(root.text("etc/os-release") or root.text("usr/lib/os-release") or ""),
        kernels=None if separate else kernels,
        initramfs=None if separate else any(_INITRAMFS.fullmatch(name) for name in boots),
        drivers=_drivers(root),
        network=_network(root),
        fstab=_fstab(root.text("etc/fstab")),
    )


def _os(text: str) -> str:
    fields = dict(line.partition("=")[::2] for line in text.splitlines() if "=" in line)
    name, version = fields.get("ID", "").strip("\"'"), fields.get("VERSION_ID", "").strip("\"'")
    return " ".join(filter(None, (name[:40], version[:20]))) or "unknown"


def _drivers(root: Ext4) -> tuple[str, ...] | None:
    """None when there is no folder of modules: the drivers may be built in."""
    place = next((one for one in ("lib/modules", "usr/lib/modules") if root.names(one)), None)
    if place is None:
        return None
    found = set()
    for kernel in root.names(place)[:8]:
        for driver, folder in _MODULE_FOLDERS.items():
            inside = root.names(f"{place}/{kernel}/{folder}")
            if any(name.replace("_", "-").startswith(f"{driver}.ko") for name in inside):
                found.add(driver)
    return tuple(sorted(found))


def _network(root: Ext4) -> str:
    texts = []
    for folder in _NETWORKS:
        names = [one for one in root.names(folder)[:32] if one.rpartition("-")[2] != "lo"]
        texts += [root.text(f"{folder}/{name}") or "" for name in names]
    if any(_DHCP.search(text) for text in texts):
        return "dhcp"
    return "static" if any(_STATIC.search(text) for text in texts) else "unknown"


def _fstab(text: str | None) -> str:
    if text is None:
        return "missing"
    lines = [line.split() for line in text.splitlines()]
    roots = [words[0] for words in lines if len(words) > 1 and words[1] == "/"]
    if not roots:
        return "unknown"
    by_name = roots[0].startswith(("UUID=", "LABEL=", "PARTUUID=", "/dev/disk/by-", "/dev/mapper/"))
    return "uuid" if by_name else "device"


def _judged(layout: Layout, file: str) -> list[Problem]:
    found = []
    table, mode = layout.table, layout.boot_mode
    if not table.partitions and not table.damage:
        what = "the root disk has no partition table"
        found.append(problem("boot-no-table", what, file))
    elif table.scheme == "gpt" and mode == "unknown":
        if layout.loader is False:
            found.append(problem("boot-esp", f"its EFI system partition has no {LOADER}", file))
        else:
            what = "GPT with neither an EFI system partition nor a BIOS boot partition"
            found.append(problem("boot-gpt-bios", what, file))
    elif table.scheme == "mbr" and mode == "bios" and not any(p.bootable for p in table.partitions):
        found.append(problem("boot-none", "no partition is marked as the one to start from", file))
    return [*found, *_judged_filesystems(layout, file), *_judged_guest(layout.guest, file)]


def _judged_filesystems(layout: Layout, file: str) -> list[Problem]:
    seen = set(layout.filesystems.values())
    found = []
    if seen & {"luks", "bitlocker"}:
        found.append(problem("guest-encrypted", "a partition of the root disk is encrypted", file))
    elif "lvm" in seen:
        found.append(problem("guest-lvm", "the root disk holds an LVM volume group", file))
    elif "btrfs" in seen:
        found.append(problem("filesystem-btrfs", "VM Import does not read btrfs subvolumes", file))
    elif "ntfs" in seen:
        found.append(problem("guest-windows", "the root disk holds an NTFS", file))
    elif layout.table.partitions and not seen & (EXT | {"xfs", "jfs"}):
        found.append(problem("filesystem-none", "no partition has a file system of Linux", file))
    return found


def _judged_guest(guest: Guest, file: str) -> list[Problem]:
    found = []
    if guest.kernels == ():
        found.append(problem("guest-kernel", "there is no kernel in /boot", file))
    if guest.fstab == "missing":
        found.append(problem("guest-fstab", "there is no /etc/fstab", file))
    elif guest.fstab == "device":
        found.append(problem("guest-fstab-names", "/etc/fstab names the root by its device", file))
    if guest.network == "static":
        found.append(problem("guest-network", "the guest has a static address", file))
    missing = sorted({"ena", "nvme"} - set(guest.drivers or ("ena", "nvme")))
    if missing:
        found.append(
            problem("guest-drivers", f"no module {' or '.join(missing)} in the guest", file)
        )
    return found
