"""What a host says of itself: told, not trusted; and the marks by which a copy of it shows."""

from __future__ import annotations

import contextlib
import hashlib
import platform
import socket
from pathlib import Path

AGENT = "1"
_UUIDS = (
    "/sys/class/dmi/id/product_uuid",
    "/sys/hypervisor/uuid",
    "/sys/devices/virtual/dmi/id/product_uuid",
)
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_OS_RELEASE = Path("/etc/os-release")


def machine() -> str:
    """A hash that a copy of the disk on another machine does not have: of the product UUID.

    "" where this machine has none (some containers and microVMs).
    """
    for name in _UUIDS:
        with contextlib.suppress(OSError):
            text = f"ostiary machine\n{Path(name).read_text().strip().lower()}"
            return hashlib.sha256(text.encode()).hexdigest()
    return ""


def boot() -> str:
    with contextlib.suppress(OSError):
        return _BOOT.read_text().strip()
    return ""


def facts() -> dict[str, str]:
    return {
        "os": _os(),
        "kernel": platform.release(),
        "arch": platform.machine(),
        "python": platform.python_version(),
        "agent": AGENT,
        "host": socket.gethostname(),
    }


def _os() -> str:
    with contextlib.suppress(OSError):
        for line in _OS_RELEASE.read_text().splitlines():
            name, _, value = line.partition("=")
            if name == "PRETTY_NAME":
                return value.strip('"')
    return platform.system()


def name() -> str:
    """The host's own name, in small letters and without its domain."""
    return socket.gethostname().partition(".")[0].lower()


def address(control_host: str, port: int) -> str:
    """The address from which this host reaches the control plane: a guess at where it is reached itself."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((control_host, port))  # UDP: nothing is sent
        found: str = probe.getsockname()[0]
        return found
    return ""
