"""What an appliance is to be: nouns, the faults it may have, and what does not go together."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ostiary.errors import UsageError
from ostiary.sandbox.appliance.guest import MODULES, NETWORKS, Guest
from ostiary.sandbox.appliance.partitioning import MIB

# of a root disk: an EFI system partition and an ext4 with kernel, initramfs and payload
LEAST = 32 * MIB
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")


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


def _always(_: Appliance) -> bool:
    return True


def _has_manifest(one: Appliance) -> bool:
    return one.manifest is not None


def _is_signed(one: Appliance) -> bool:
    return one.signed and _has_manifest(one)


def _starts_by_bios(one: Appliance) -> bool:
    return one.firmware == "bios"


def _starts_by_uefi(one: Appliance) -> bool:
    return one.firmware == "uefi"


_APPLIES: Mapping[str, tuple[Callable[[Appliance], bool], str]] = {
    "bad-manifest": (_has_manifest, "a manifest"),
    "compression-0": (_always, ""),
    "expired-certificate": (_is_signed, "a signed manifest"),
    "forged-signature": (_is_signed, "a signed manifest"),
    "missing-line": (_has_manifest, "a manifest"),
    "no-boot-flag": (_starts_by_bios, "firmware bios"),
    "no-fstab": (_always, ""),
    "no-initramfs": (_always, ""),
    "no-kernel": (_always, ""),
    "no-loader": (_starts_by_uefi, "firmware uefi"),
    "no-partitions": (_always, ""),
    "outside-name": (_always, ""),
    "ovf-last": (_always, ""),
    "truncated": (_always, ""),
}
FAULTS = frozenset(_APPLIES)


def check(wanted: Appliance) -> None:
    """UsageError for what cannot be made, or would not be what it is called."""
    if not _NAME.fullmatch(wanted.name):
        raise UsageError(
            f"no appliance can be named {wanted.name!r}",
            fix="use up to 60 letters, digits, dots, hyphens and underscores",
        )
    _one_of("firmware", wanted.firmware, {"bios", "uefi"})
    _one_of("partition table", wanted.table, {"gpt", "mbr"})
    _one_of("VMDK variant", wanted.variant, {"footer", "header"})
    _one_of("manifest", wanted.manifest or "sha256", {"sha1", "sha256", "sha512"})
    _one_of("network", wanted.guest.network, NETWORKS)
    _one_of("fstab", wanted.guest.fstab, {"device", "uuid"})
    for module in wanted.guest.modules:
        _one_of("module", module, set(MODULES))
    for fault in sorted(wanted.faults):
        _one_of("fault", fault, FAULTS)
        applies, what = _APPLIES[fault]
        if not applies(wanted):
            raise UsageError(f"fault {fault} says nothing here", why=f"it needs {what}")
    if not wanted.disks:
        raise UsageError("cannot make an appliance without a disk", fix="give it one")
    for index, disk in enumerate(wanted.disks):
        if disk.size % MIB or disk.size < (MIB if index else LEAST):
            raise UsageError(
                f"cannot make a disk of {disk.size} bytes",
                fix=f"choose whole MiB, {LEAST // MIB} or more for the first disk",
            )


def _one_of(what: str, given: str, known: set[str] | frozenset[str]) -> None:
    if given not in known:
        raise UsageError(
            f"no {what} is named {given}", fix=f"use one of: {', '.join(sorted(known))}"
        )
