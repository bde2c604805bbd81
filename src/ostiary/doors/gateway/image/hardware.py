"""The virtual hardware of one machine in a descriptor: what it has of each resource, and in which order its disks hang.

Sources: DMTF DSP0243 (VirtualHardwareSection, DeploymentOptionSection), CIM_ResourceAllocationSettingData (ResourceType),
DSP0004 (units).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lxml import etree

from ostiary.doors.gateway.image.safe_xml import attribute, integer, text_of

_CPU, _MEMORY, _NIC, _DISK = 3, 4, 10, 17
_MOST_ITEMS = 2000
_MOST_POWER = 64
_POWER = re.compile(r"(?:bytes?\s*\*\s*)?(2|10)\s*\^\s*(\d{1,2})")
_UNITS = {
    **dict.fromkeys(("kb", "kilobyte", "kilobytes"), 1024),
    **dict.fromkeys(("mb", "megabyte", "megabytes"), 1024**2),
    **dict.fromkeys(("gb", "gigabyte", "gigabytes"), 1024**3),
    **dict.fromkeys(("tb", "terabyte", "terabytes"), 1024**4),
}


@dataclass(frozen=True, slots=True)
class Hardware:
    """``memory`` in bytes; ``disks`` are disk ids as they hang on their controllers. 0 and empty where nothing is said."""

    cpus: int = 0
    memory: int = 0
    nics: int = 0
    disks: tuple[str, ...] = ()


def hardware_of(machine: etree._Element, configuration: str) -> Hardware:
    """What the machine has in one configuration ("" when the descriptor knows none)."""
    items = [
        one
        for _, one in zip(range(_MOST_ITEMS), _items(machine), strict=False)
        if not attribute(one, "configuration")
        or configuration in attribute(one, "configuration").split()
    ]
    kinds = [integer(text_of(one, "{*}ResourceType")) for one in items]
    of = {
        kind: [one for one, its in zip(items, kinds, strict=True) if its == kind] for kind in kinds
    }
    cpus, memory = (
        of.get(kind, [])[-1:] for kind in (_CPU, _MEMORY)
    )  # the configuration's own comes last
    return Hardware(
        cpus=sum(integer(text_of(one, "{*}VirtualQuantity")) for one in cpus),
        memory=sum(
            in_bytes(text_of(one, "{*}VirtualQuantity"), text_of(one, "{*}AllocationUnits"))
            for one in memory
        ),
        nics=len(of.get(_NIC, [])),
        disks=_in_order(items, of.get(_DISK, [])),
    )


def default_configuration(root: etree._Element) -> str:
    """The configuration that is taken when nobody chooses: the one marked, else the first."""
    found = list(root.iterfind(".//{*}DeploymentOptionSection/{*}Configuration"))
    marked = [one for one in found if attribute(one, "default").lower() in ("true", "1")]
    return attribute((marked or found)[0], "id") if found else ""


def in_bytes(amount: str, units: str) -> int:
    """``20`` of ``byte * 2^30``, ``GigaBytes`` and the like; without units it is bytes."""
    plain = units.strip().lower()
    factor = _UNITS.get(plain, 1)
    if match := _POWER.fullmatch(plain):
        factor = int(match[1]) ** min(int(match[2]), _MOST_POWER)
    return integer(amount) * factor


def _items(machine: etree._Element) -> Sequence[etree._Element]:
    return list(machine.iter("{*}Item", "{*}StorageItem", "{*}EthernetPortItem"))


def _in_order(items: Sequence[etree._Element], drives: Sequence[etree._Element]) -> tuple[str, ...]:
    """By controller as the descriptor lists them, then by the place on it: so a machine counts its disks."""
    instances = [text_of(one, "{*}InstanceID") or text_of(one, "{*}InstanceId") for one in items]
    place: Mapping[str, int] = {name: at for at, name in reversed(list(enumerate(instances)))}

    def key(drive: etree._Element) -> tuple[int, int]:
        controller = place.get(text_of(drive, "{*}Parent"), len(items))
        return controller, integer(text_of(drive, "{*}AddressOnParent"))

    hosts = [text_of(one, "{*}HostResource") for one in sorted(drives, key=key)]
    return tuple(dict.fromkeys(one.rpartition("/")[2] for one in hosts if "disk/" in one))
