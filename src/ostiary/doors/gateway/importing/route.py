"""Which way an appliance takes into AWS. Pure.

``import-image`` lets the service fix the guest (drivers, fstab, DHCP) and refuses what it does not know; ``import-snapshot``
and ``ebs-direct`` leave the guest as it is, so it must be able to start by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from ostiary.doors.gateway.image.inspection import Inspection
from ostiary.doors.gateway.importing.settings import ROUTES
from ostiary.errors import UsageError

NITRO = frozenset({"ena", "nvme"})


@dataclass(frozen=True, slots=True)
class Route:
    """``reason`` is said aloud."""

    name: str
    reason: str


def choose(found: Inspection, asked: str, *, parent: bool = False) -> Route:
    """The route that was asked for; for ``auto`` the one that the inspection speaks for."""
    if asked != "auto":
        return _asked_for(asked, parent=parent)
    if parent:
        return Route("ebs-direct", "only this route sends the difference to a parent snapshot")
    if not found.disks:
        return Route("import-image", "nothing is known of its disks")
    if any(kind == "lvm" for disk in found.disks for _, kind in disk.partitions):
        return Route("import-image", "it has logical volumes, which VM Import brings up itself")
    root = found.disks[0]
    guest = root.guest
    if guest.drivers is None or guest.kernels is None:
        return Route(
            "import-image", "the guest could not be read, and this route fixes what it may lack"
        )
    lacking = sorted(NITRO - set(guest.drivers))
    if lacking:
        return Route("import-image", f"the guest has no {' or '.join(lacking)} driver as a module")
    if guest.network != "dhcp":
        return Route(
            "import-image", f"the guest's network is {guest.network}, this route makes it DHCP"
        )
    if guest.fstab != "uuid":
        return Route("import-image", "fstab names devices, which this route rewrites")
    if root.boot_mode not in ("bios", "uefi"):
        return Route("import-image", f"how it starts is {root.boot_mode}")
    return Route(
        "ebs-direct",
        "the guest starts by itself: ENA and NVMe drivers, DHCP, fstab by UUID, known boot mode",
    )


def _asked_for(asked: str, *, parent: bool) -> Route:
    if asked not in ROUTES:
        raise UsageError(f"no route is named {asked}", fix=f"use one of: {', '.join(ROUTES)}")
    if parent and asked != "ebs-direct":
        raise UsageError(
            f"route {asked} cannot build on a parent",
            why="it sends the whole appliance",
            fix="leave --parent out, or take --route ebs-direct",
        )
    return Route(asked, "asked for")


def aws_boot_mode(mode: str) -> str:
    """The inspection's word as EC2 says it; "" where it is not known. ``uefi-preferred`` is not for imports."""
    return {"bios": "legacy-bios", "uefi": "uefi"}.get(mode, "")
