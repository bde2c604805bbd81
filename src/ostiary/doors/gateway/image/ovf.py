"""The OVF descriptor: one machine, its disks and the files that hold them.

Source: DMTF DSP0243 (OVF 1.x and 2.x) and the dialect 0.9 before it; VMware's and VirtualBox's extensions where they say the
firmware.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from lxml import etree

from ostiary.doors.gateway.image.hardware import (
    Hardware,
    default_configuration,
    hardware_of,
    in_bytes,
)
from ostiary.doors.gateway.image.problems import Problem, problem
from ostiary.doors.gateway.image.safe_xml import (
    MOST_BYTES,
    UnsafeXml,
    attribute,
    integer,
    local_name,
    parse_tree,
    text_of,
)

__all__ = ["MOST_BYTES", "Descriptor", "OvfDisk", "parse_ovf"]

_MOST_FILES = 1000
_LINUX = re.compile(
    r"(rhel|centos|ubuntu|debian|sles|suse|fedora|oracleLinux|asianux|mandrake|turboLinux|redhat)\d*Guest",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|[/\\]")


@dataclass(frozen=True, slots=True)
class OvfDisk:
    """``file`` as referenced, "" when the disk is made empty; ``capacity`` in bytes, 0 when not said."""

    disk_id: str
    file: str
    format: str
    capacity: int
    size: int  # of the file, as the descriptor says; 0 when not said


@dataclass(frozen=True, slots=True)
class Descriptor:
    """``firmware`` is uefi, bios or unknown; ``files`` every referenced file with the size said of it.

    ``disks`` are in the order in which the machine has them: the first is the one to start from.
    """

    name: str
    os_type: str
    system_type: str
    firmware: str
    nics: int
    cpus: int
    memory: int  # bytes
    machines: int
    disks: tuple[OvfDisk, ...]
    files: tuple[tuple[str, int], ...]
    problems: tuple[Problem, ...]


def parse_ovf(data: bytes, file: str = "") -> Descriptor:
    """The descriptor; what is wrong with it is among its problems."""
    root = _root(data, file)
    if isinstance(root, Problem):
        return Descriptor("", "", "", "unknown", 0, 0, 0, 0, (), (), (root,))
    problems: list[Problem] = []
    files = list(_files(root, file, problems))
    machines = [one for one in root.iter("{*}VirtualSystem", "{*}Content") if _is_machine(one)]
    machine = machines[0] if machines else root
    hardware = hardware_of(machine, default_configuration(root))
    disks = _ordered(list(_disks(root, files, problems)), hardware)
    os_type, told = _os_type(machine)
    problems += _judged(file, len(machines), hardware, os_type, told)
    return Descriptor(
        name=text_of(machine, "{*}Name") or attribute(machine, "id"),
        os_type=os_type,
        system_type=text_of(machine, ".//{*}VirtualSystemType"),
        firmware=_firmware(machine),
        nics=hardware.nics,
        cpus=hardware.cpus,
        memory=hardware.memory,
        machines=len(machines),
        disks=disks,
        files=tuple((href, size) for _, href, size in files if href),
        problems=tuple(problems),
    )


def _root(data: bytes, file: str) -> etree._Element | Problem:
    try:
        root = parse_tree(data)
    except UnsafeXml as error:
        return problem("ovf-hostile", str(error), file)
    except ValueError as error:
        return problem("ovf-unreadable", f"it is no XML: {error}", file)
    if local_name(root) != "Envelope":
        return problem("ovf-unreadable", f"its root is {local_name(root)[:80]}, not Envelope", file)
    return root


def _files(
    root: etree._Element, file: str, problems: list[Problem]
) -> Iterator[tuple[str, str, int]]:
    """(id, name, size) of each reference; one that leads elsewhere is a problem and has no name."""
    for number, one in enumerate(root.iterfind(".//{*}References/{*}File")):
        if number >= _MOST_FILES:
            what = f"it refers to more than {_MOST_FILES} files"
            problems.append(problem("ovf-hostile", what, file))
            return
        href = attribute(one, "href")
        name = unquote(href)
        if _ELSEWHERE.match(name) or ".." in re.split(r"[/\\]", name):
            what = f"it refers to {href[:120]!a}, outside of the archive"
            problems.append(problem("ovf-reference", what, file))
            yield attribute(one, "id"), "", 0
            continue
        name = name.removeprefix("./")
        if attribute(one, "compression") not in ("", "identity"):
            problems.append(problem("ovf-compressed", f"{name[:120]!a} is compressed", file))
        if attribute(one, "chunkSize"):
            problems.append(problem("ovf-chunked", f"{name[:120]!a} is cut into pieces", file))
        yield attribute(one, "id"), name, integer(attribute(one, "size"))


def _disks(
    root: etree._Element, files: Sequence[tuple[str, str, int]], problems: list[Problem]
) -> Iterator[OvfDisk]:
    by_id: Mapping[str, tuple[str, int]] = {name: (href, size) for name, href, size in files}
    sections = ("{*}DiskSection", "{*}Section")
    listed = [one for section in sections for one in root.iterfind(f"{section}/{{*}}Disk")]
    for one in listed[:_MOST_FILES]:
        disk, reference = attribute(one, "diskId")[:80], attribute(one, "fileRef")
        href, size = by_id.get(reference, ("", 0))
        if reference and reference not in by_id:
            what = (
                f"disk {disk} is in the file {reference[:80]!a}, which is not among the references"
            )
            problems.append(problem("ovf-file-missing", what))
        if attribute(one, "parentRef"):
            problems.append(problem("ovf-parent", f"disk {disk} builds on another", href))
        capacity = attribute(one, "capacity"), attribute(one, "capacityAllocationUnits")
        yield OvfDisk(disk, href, attribute(one, "format"), in_bytes(*capacity), size)


def _ordered(disks: Sequence[OvfDisk], hardware: Hardware) -> tuple[OvfDisk, ...]:
    """As the hardware has them; those that hang nowhere last."""
    place = {name: at for at, name in enumerate(hardware.disks)}
    return tuple(sorted(disks, key=lambda one: place.get(one.disk_id, len(place))))


def _is_machine(one: etree._Element) -> bool:
    """OVF 0.9 has ``<Content xsi:type="ovf:VirtualSystem_Type">`` where 1.x has ``<VirtualSystem>``."""
    return local_name(one) == "VirtualSystem" or attribute(one, "type").endswith(
        "VirtualSystem_Type"
    )


def _os_type(machine: etree._Element) -> tuple[str, str]:
    """The system's type, and its description."""
    section = machine.find(".//{*}OperatingSystemSection")
    if section is None:
        sections = machine.iter("{*}Section")
        kind = "OperatingSystemSection_Type"
        section = next((one for one in sections if attribute(one, "type").endswith(kind)), None)
    if section is None:
        return "", ""
    told = text_of(section, "{*}Description")
    return attribute(section, "osType") or told, told


def _firmware(machine: etree._Element) -> str:
    for one in machine.iter("{*}Config"):
        if attribute(one, "key").lower() == "firmware":
            return "uefi" if attribute(one, "value").lower() == "efi" else "bios"
    for one in machine.iter("{*}Firmware"):
        return "uefi" if attribute(one, "type").upper().startswith("EFI") else "bios"
    return "unknown"


def _judged(
    file: str, machines: int, hardware: Hardware, os_type: str, told: str
) -> Iterator[Problem]:
    if machines > 1:
        yield problem("ovf-machines", f"it describes {machines} machines", file)
    elif not machines:
        yield problem("ovf-unreadable", "it describes no machine", file)
    # Only what is said to be a 32-bit Linux: other systems are for VM Import to judge.
    said = _LINUX.fullmatch(os_type) or ("linux" in told.lower() and "32-bit" in told)
    if said and "64" not in os_type:
        yield problem("guest-32-bit", f"the guest is said to be {os_type or '32-bit'}", file)
    if hardware.nics > 1:
        yield problem("guest-nics", f"the machine has {hardware.nics} network interfaces", file)
