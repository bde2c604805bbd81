"""What a guest says of itself, read from plain ext file systems. What cannot be read is ``unknown``, never guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ostiary.doors.gateway.image.disk import Disk
from ostiary.doors.gateway.image.ext4 import Ext4, NotPlain
from ostiary.doors.gateway.image.guest_network import network_of
from ostiary.doors.gateway.image.partitions import Partition

EXT = frozenset({"ext2", "ext3", "ext4"})
DRIVERS = ("ena", "nvme", "xen-blkfront")
_READ = EXT | {
    "fat",
    "swap",
    "unknown",
}  # beside these, no partition can hold a /boot that is not seen
_KERNEL = re.compile(r"(?:vmlinuz|vmlinux|bzImage|linux|kernel)(?:[-.].*)?")
_INITRAMFS = re.compile(r"(?:initrd|initramfs).*")
_BY_DEVICE = re.compile(r"/dev/(?:sd|hd|vd|xvd|nvme)[a-z0-9]+")
_MODULE_FOLDERS = {
    "ena": "kernel/drivers/net/ethernet/amazon/ena",
    "nvme": "kernel/drivers/nvme/host",
    "xen-blkfront": "kernel/drivers/block",
}
_MOST_KERNELS = 8


@dataclass(frozen=True, slots=True)
class Guest:
    """``network`` is dhcp, static or unknown; ``fstab`` is uuid, device, missing or unknown.

    ``drivers`` are those of ``DRIVERS`` that every kernel has, as a module or built in; None when nobody could look.
    ``systems`` counts the file systems that look like a root.
    """

    os: str = "unknown"
    kernels: tuple[str, ...] | None = None
    initramfs: bool | None = None
    drivers: tuple[str, ...] | None = None
    network: str = "unknown"
    fstab: str = "unknown"
    systems: int = 0

    def as_json(self) -> Mapping[str, object]:
        return {
            "os": self.os,
            "kernels": list(self.kernels) if self.kernels is not None else None,
            "initramfs": self.initramfs,
            "drivers": list(self.drivers) if self.drivers is not None else None,
            "network": self.network,
            "fstab": self.fstab,
        }


def read_guest(disk: Disk, partitions: Sequence[Partition], kinds: Mapping[int, str]) -> Guest:
    """Looks for the ext file system that has ``/etc``, and for ``/boot`` there or on another one."""
    readable, blind = [], any(kind not in _READ for kind in kinds.values())
    for one in partitions:
        if kinds.get(one.number) in EXT:
            try:
                readable.append(Ext4(disk, one.start, one.size))
            except NotPlain:
                blind = True
    try:
        roots = [one for one in readable if one.exists("etc/fstab") or one.exists("etc/os-release")]
        roots = roots or [one for one in readable if one.exists("etc")]
        return _read(roots[0], readable, len(roots), blind=blind) if roots else Guest()
    except NotPlain:
        return Guest()


def _read(root: Ext4, readable: Sequence[Ext4], systems: int, *, blind: bool) -> Guest:
    boots = [
        *root.names("boot"),
        *(name for one in readable if one is not root for name in one.names("")),
    ]
    kernels = tuple(sorted(name for name in boots if _KERNEL.fullmatch(name)))
    mounts = _mounts(root.text("etc/fstab"))
    # A kernel that is not seen may be where nobody could look: on XFS, LVM, or an EFI system partition.
    elsewhere = not kernels and ("/boot" in mounts or "/efi" in mounts)
    hidden = elsewhere and (blind or mounts.get("/boot", ("", ""))[1] not in EXT)
    return Guest(
        os=_os(root.text("etc/os-release") or root.text("usr/lib/os-release") or ""),
        kernels=None if hidden else kernels,
        initramfs=None if hidden else any(_INITRAMFS.fullmatch(name) for name in boots),
        drivers=_drivers(root, kernels),
        network=network_of(root),
        fstab=_fstab(mounts, there=root.exists("etc/fstab")),
        systems=systems,
    )


def _os(text: str) -> str:
    fields = dict(line.partition("=")[::2] for line in text.splitlines() if "=" in line)
    found = (fields.get(key, "").strip("\"' \t") for key in ("ID", "VERSION_ID"))
    return " ".join(one[:40] for one in found if one.isprintable() and one) or "unknown"


def _drivers(root: Ext4, kernels: Sequence[str]) -> tuple[str, ...] | None:
    """None when there is no folder of modules: it cannot be told what is built in."""
    place = next((one for one in ("lib/modules", "usr/lib/modules") if root.names(one)), None)
    if place is None:
        return None
    versions = root.names(place)[:_MOST_KERNELS]
    started = [one for one in versions if any(kernel.endswith(f"-{one}") for kernel in kernels)]
    having = [_drivers_of(root, f"{place}/{one}") for one in started or versions]
    return tuple(sorted(frozenset(DRIVERS).intersection(*having)))


def _drivers_of(root: Ext4, folder: str) -> frozenset[str]:
    """The drivers of one kernel: files, or lines of ``modules.builtin``."""
    names = [
        name
        for driver_folder in _MODULE_FOLDERS.values()
        for name in root.names(f"{folder}/{driver_folder}")
    ]
    builtin = root.text(f"{folder}/modules.builtin") or ""
    names += [line.rpartition("/")[2] for line in builtin.splitlines()]
    modules = {name.partition(".ko")[0].replace("_", "-") for name in names if ".ko" in name}
    return frozenset(DRIVERS) & modules


def _mounts(text: str | None) -> Mapping[str, tuple[str, str]]:
    """Mount point -> (device, type), as fstab says; comments are none."""
    lines = (
        line.split() for line in (text or "").splitlines() if not line.lstrip().startswith("#")
    )
    return {words[1]: (words[0], words[2]) for words in lines if len(words) > 2}  # noqa: PLR2004


def _fstab(mounts: Mapping[str, tuple[str, str]], *, there: bool) -> str:
    if not there:
        return "missing"
    if "/" not in mounts:
        return "unknown"
    return "device" if _BY_DEVICE.fullmatch(mounts["/"][0]) else "uuid"
