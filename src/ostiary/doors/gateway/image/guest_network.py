"""How a guest sets its address: each way that Linux distributions write it down, for the first interface that VM Import keeps.

Sources: sysconfig.txt (Red Hat, SUSE), nm-settings-keyfile(5), interfaces(5), netplan-yaml(5), systemd.network(5).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ostiary.doors.gateway.image.ext4 import Ext4

_MOST_FILES = 32
_MOST_TEXT = 64 * 1024
_SECTION = re.compile(r"^\[(\w+)\]", re.MULTILINE)
_IFACE = re.compile(r"^[ \t]*iface[ \t]+(\S+)[ \t]+inet[ \t]+(\w+)", re.MULTILINE)
_DHCP4 = re.compile(r"^[ \t]*dhcp4:[ \t]*[\"']?(?:true|yes|on)\b", re.MULTILINE | re.IGNORECASE)
_ADDRESSES = re.compile(r"^[ \t]*addresses:", re.MULTILINE)


def network_of(root: Ext4) -> str:
    """``dhcp`` or ``static`` where every configured interface says the same; ``unknown`` otherwise."""
    found = set()
    for folder, name_form, told in _PLACES:
        names = [one for one in root.names(folder) if re.fullmatch(name_form, one)]
        for name in names[:_MOST_FILES]:
            text = (root.text(f"{folder}/{name}") or "")[:_MOST_TEXT]
            found |= told(text)
    return found.pop() if len(found) == 1 else "unknown"


def _values(text: str) -> dict[str, str]:
    """The last value of each key, in capitals; quotes are taken away."""
    lines = (line.partition("=") for line in text.splitlines() if not line.lstrip().startswith("#"))
    return {
        key.strip().upper(): value.strip().strip("\"'") for key, equals, value in lines if equals
    }


def _section(text: str, name: str) -> dict[str, str]:
    parts = _SECTION.split(text)
    bodies = (body for title, body in zip(parts[1::2], parts[2::2], strict=True) if title == name)
    return _values("\n".join(bodies))


def _ifcfg(text: str) -> set[str]:
    values = _values(text)
    if values.get("BOOTPROTO", "").lower() in ("dhcp", "dhcp4"):
        return {"dhcp"}
    return {"static"} if values.keys() & {"IPADDR", "IPADDR0"} else set()


def _keyfile(text: str) -> set[str]:
    method = _section(text, "ipv4").get("METHOD", "")
    return {{"auto": "dhcp", "manual": "static"}[method]} if method in ("auto", "manual") else set()


def _interfaces(text: str) -> set[str]:
    return {way for name, way in _IFACE.findall(text) if name != "lo" and way in ("dhcp", "static")}


def _netplan(text: str) -> set[str]:
    if _DHCP4.search(text):
        return {"dhcp"}
    return {"static"} if _ADDRESSES.search(text) else set()


def _networkd(text: str) -> set[str]:
    network = _section(text, "Network")
    if network.get("DHCP", "").lower() in ("yes", "true", "ipv4", "both"):
        return {"dhcp"}
    return {"static"} if "ADDRESS" in network.keys() | _section(text, "Address").keys() else set()


_PLACES: tuple[tuple[str, str, Callable[[str], set[str]]], ...] = (
    ("etc/sysconfig/network-scripts", r"ifcfg-(?!lo$).*", _ifcfg),
    ("etc/sysconfig/network", r"ifcfg-(?!lo$).*", _ifcfg),
    ("etc/NetworkManager/system-connections", r".*", _keyfile),
    ("etc/network", r"interfaces", _interfaces),
    ("etc/network/interfaces.d", r".*", _interfaces),
    ("etc/netplan", r".*\.ya?ml", _netplan),
    ("etc/systemd/network", r".*\.network", _networkd),
)
