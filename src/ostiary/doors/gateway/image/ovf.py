"""The OVF descriptor: one machine, its disks and what carries them. Parsed without DTD, entities or network.

Source: DMTF DSP0243 (OVF 1.1 and 2.x); VMware's and VirtualBox's extensions where they say the firmware.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from ostiary.doors.gateway.image.problems import Problem, problem

MOST_BYTES = 8 * 1024 * 1024
_UNITS = {
    "": 1,
    "byte": 1,
    "bytes": 1,
    "kilobytes": 1024,
    "megabytes": 1024**2,
    "gigabytes": 1024**3,
}
_POWER = re.compile(r"bytes?\s*\*\s*(2|10)\s*\^\s*(\d{1,2})")
_CPU, _MEMORY, _NIC = 3, 4, 10  # CIM_ResourceAllocationSettingData: ResourceType
_LINUX = re.compile(
    r"(rhel|centos|ubuntu|debian|sles|suse|fedora|oracleLinux|asianux|mandrake|turboLinux|redhat)\d*Guest",
    re.IGNORECASE,
)


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
    """``firmware`` is uefi, bios or unknown; ``files`` every referenced file with the size said of it."""

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
    problems: list[Problem] = []
    root = _tree(data, file, problems)
    if root is None:
        return Descriptor("", "", "", "unknown", 0, 0, 0, 0, (), (), tuple(problems))
    files = list(_files(root, file, problems))
    names = {one[0]: (one[1], one[2]) for one in files}
    disks = tuple(_disks(root, names, problems))
    machines = [one for one in root.iter("{*}VirtualSystem", "{*}Content") if _is_machine(one)]
    if len(machines) > 1:
        what = f"it describes {len(machines)} machines"
        problems.append(problem("ovf-machines", what, file))
    elif not machines:
        problems.append(problem("ovf-unreadable", "it describes no machine", file))
    machine = machines[0] if machines else root
    os_type = _os_type(machine)
    if _is_32_bit(machine, os_type):
        problems.append(
            problem("guest-32-bit", f"the guest is said to be {os_type or '32-bit'}", file)
        )
    nics = sum(1 for item in _items(machine) if _number(item, "ResourceType") == _NIC)
    if nics > 1:
        problems.append(problem("guest-nics", f"the machine has {nics} network interfaces", file))
    return Descriptor(
        name=_text(machine, "{*}Name") or _attribute(machine, "id"),
        os_type=os_type,
        system_type=_text(machine, ".//{*}VirtualSystemType"),
        firmware=_firmware(machine),
        nics=nics,
        cpus=_quantity(machine, _CPU),
        memory=_quantity(machine, _MEMORY),
        machines=len(machines),
        disks=disks,
        files=tuple((one[1], one[2]) for one in files),
        problems=tuple(problems),
    )


def _tree(data: bytes, file: str, problems: list[Problem]) -> etree._Element | None:
    if len(data) > MOST_BYTES:
        problems.append(problem("ovf-hostile", f"it is longer than {MOST_BYTES} bytes", file))
        return None
    if _declares(data):
        problems.append(
            problem("ovf-hostile", "it has a document type, which can name files", file)
        )
        return None
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data.lstrip(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        what = f"it is no XML: {str(error)[:160]}"
        problems.append(problem("ovf-unreadable", what, file))
        return None
    if root.getroottree().docinfo.internalDTD is not None:
        problems.append(
            problem("ovf-hostile", "it has a document type, which can name files", file)
        )
        return None
    if etree.QName(root).localname != "Envelope":
        what = f"its root is {etree.QName(root).localname[:80]}, not Envelope"
        problems.append(problem("ovf-unreadable", what, file))
        return None
    return root


def _declares(data: bytes) -> bool:
    """Whether there is a document type or entity in any encoding that a parser would see one in."""
    plain = data.replace(b"\0", b"")
    return b"<!DOCTYPE" in plain or b"<!ENTITY" in plain


def _files(
    root: etree._Element, file: str, problems: list[Problem]
) -> Iterator[tuple[str, str, int]]:
    """(id, href, size) of each reference."""
    for one in root.iterfind(".//{*}References/{*}File"):
        href = _attribute(one, "href")
        if (
            re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", href)
            or href.startswith(("/", "\\"))
            or ".." in href
        ):
            what = f"it refers to {href[:120]!a}, outside of the archive"
            problems.append(problem("ovf-reference", what, file))
            continue
        if _attribute(one, "compression") not in ("", "identity"):
            problems.append(problem("ovf-compressed", f"{href[:120]!a} is compressed", file))
        if _attribute(one, "chunkSize"):
            problems.append(problem("ovf-chunked", f"{href[:120]!a} is cut into pieces", file))
        yield _attribute(one, "id"), href, _integer(_attribute(one, "size"))


def _disks(
    root: etree._Element, files: dict[str, tuple[str, int]], problems: list[Problem]
) -> Iterator[OvfDisk]:
    sections = ("{*}DiskSection", "{*}Section")
    listed = [one for section in sections for one in root.iterfind(f"{section}/{{*}}Disk")]
    for one in listed:
        href, size = files.get(_attribute(one, "fileRef"), ("", 0))
        if _attribute(one, "parentRef"):
            what = f"disk {_attribute(one, 'diskId')[:80]} builds on another"
            problems.append(problem("ovf-parent", what, href))
        yield OvfDisk(
            _attribute(one, "diskId"),
            href,
            _attribute(one, "format"),
            _capacity(_attribute(one, "capacity"), _attribute(one, "capacityAllocationUnits")),
            size,
        )


def _capacity(text: str, units: str) -> int:
    number = _integer(text)
    plain = units.strip().lower()
    if match := _POWER.fullmatch(plain):
        factor: int = int(match[1]) ** min(int(match[2]), 80)
        return number * factor
    return number * _UNITS.get(plain, 1)


def _is_machine(one: etree._Element) -> bool:
    """OVF 0.9 has ``<Content xsi:type="ovf:VirtualSystem_Type">`` where 1.x has ``<VirtualSystem>``."""
    if etree.QName(one).localname == "VirtualSystem":
        return True
    return _attribute(one, "type").endswith("VirtualSystem_Type")


def _items(machine: etree._Element) -> Iterator[etree._Element]:
    kinds = ("{*}Item", "{*}StorageItem", "{*}EthernetPortItem")
    yield from machine.iter(*kinds)


def _os_type(machine: etree._Element) -> str:
    section = machine.find(".//{*}OperatingSystemSection")
    if section is None:
        return ""
    return _attribute(section, "osType") or _text(section, "{*}Description")


def _is_32_bit(machine: etree._Element, os_type: str) -> bool:
    """Whether it is said to be a 32-bit Linux: other systems are for VM Import to judge."""
    if "64" in os_type:
        return False
    section = machine.find(".//{*}OperatingSystemSection")
    told = _text(section, "{*}Description") if section is not None else ""
    return bool(_LINUX.fullmatch(os_type)) or ("linux" in told.lower() and "32-bit" in told)


def _firmware(machine: etree._Element) -> str:
    for one in machine.iter("{*}Config"):
        if _attribute(one, "key").lower() == "firmware":
            return "uefi" if _attribute(one, "value").lower() == "efi" else "bios"
    for one in machine.iter("{*}Firmware"):
        return "uefi" if _attribute(one, "type").upper().startswith("EFI") else "bios"
    return "unknown"


def _quantity(machine: etree._Element, kind: int) -> int:
    """How much of a resource the machine has: processors, or bytes of memory."""
    for item in _items(machine):
        if _number(item, "ResourceType") == kind:
            quantity, units = _text(item, "{*}VirtualQuantity"), _text(item, "{*}AllocationUnits")
            return _capacity(quantity, "" if kind == _CPU else units)
    return 0


def _number(item: etree._Element, name: str) -> int:
    return _integer(_text(item, f"{{*}}{name}"))


def _integer(text: str) -> int:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else 0  # noqa: PLR2004 - 2^64 has 20 digits


def _text(element: etree._Element, path: str) -> str:
    found = element.find(path)
    return (found.text or "").strip()[:256] if found is not None else ""


def _attribute(element: etree._Element, name: str) -> str:
    """An attribute by its local name: tools disagree about the prefix."""
    for key, value in element.attrib.items():
        if etree.QName(key).localname == name:
            return str(value)
    return ""
