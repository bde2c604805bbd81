"""What VM Import would say of a root disk and its guest. Pure: from what was read to problems."""

from __future__ import annotations

from collections.abc import Iterator

from ostiary.doors.gateway.image.guest import DRIVERS, EXT, Guest
from ostiary.doors.gateway.image.layout import ABSENT, LOADER, Layout
from ostiary.doors.gateway.image.problems import Problem, problem

_LINUX = EXT | {"xfs", "jfs"}  # and btrfs, which is judged by itself; VM Import reads no other


def judged_table(layout: Layout, file: str) -> Iterator[Problem]:
    """What is wrong with the partition table of any disk."""
    table = layout.table
    if table.damage:
        damaged = f"boot-{table.scheme}-damaged" if table.partitions else "boot-table"
        yield problem(damaged, table.damage, file)


def judged_root(layout: Layout, firmware: str, file: str) -> Iterator[Problem]:
    """Whether the root disk can be started, and by what the descriptor says that it is (``firmware``)."""
    yield from _judged_start(layout, firmware, file)
    yield from _judged_filesystems(layout, file)
    yield from _judged_guest(layout.guest, file)


def _judged_start(layout: Layout, firmware: str, file: str) -> Iterator[Problem]:
    table, mode = layout.table, layout.boot_mode
    if not table.partitions:
        if not table.damage:
            yield problem("boot-no-table", "the root disk has no partition table", file)
    elif mode == "unknown" and layout.loader == ABSENT:
        yield problem("boot-esp", f"its EFI system partition has no {LOADER}", file)
    elif table.scheme == "gpt" and mode == "unknown" and not layout.loader:
        what = "GPT with neither an EFI system partition nor a BIOS boot partition"
        yield problem("boot-gpt-bios", what, file)
    elif table.scheme == "mbr" and mode == "bios" and not any(p.bootable for p in table.partitions):
        yield problem("boot-none", "no partition is marked as the one to start from", file)
    elif {mode, firmware} == {"bios", "uefi"}:
        what = f"the descriptor says {firmware}, but the disk can only be started by {mode}"
        yield problem("boot-firmware", what, file)


def _judged_filesystems(layout: Layout, file: str) -> Iterator[Problem]:
    seen = set(layout.filesystems.values())
    if seen & {"luks", "bitlocker"}:
        yield problem("guest-encrypted", "a partition of the root disk is encrypted", file)
    elif "lvm" in seen:
        yield problem("guest-lvm", "the root disk holds an LVM volume group", file)
    elif "raid" in seen:
        yield problem("guest-raid", "the root disk is part of a software RAID", file)
    elif "btrfs" in seen:
        yield problem("filesystem-btrfs", "VM Import does not read btrfs subvolumes", file)
    elif "ntfs" in seen and not seen & _LINUX:
        yield problem("guest-windows", "the root disk holds an NTFS", file)
    elif layout.partitions and not seen & _LINUX:
        what = "no partition has a file system of Linux that VM Import reads"
        yield problem("filesystem-none", what, file)


def _judged_guest(guest: Guest, file: str) -> Iterator[Problem]:
    if guest.systems > 1:
        what = f"{guest.systems} file systems have an /etc of a system"
        yield problem("guest-several", what, file)
    if guest.kernels == ():
        yield problem("guest-kernel", "there is no kernel in /boot", file)
    elif guest.kernels and guest.initramfs is False:
        yield problem("guest-initramfs", "there is no initramfs in /boot", file)
    if guest.fstab == "missing":
        yield problem("guest-fstab", "there is no /etc/fstab", file)
    elif guest.fstab == "device":
        yield problem("guest-fstab-names", "/etc/fstab names the root by its device", file)
    if guest.network == "static":
        yield problem("guest-network", "the guest has a static address", file)
    missing = sorted({"ena", "nvme"} - set(DRIVERS if guest.drivers is None else guest.drivers))
    if missing:
        what = f"the guest has no driver {' or '.join(missing)}"
        yield problem("guest-drivers", what, file)
