"""Ways into a host that do not pass sshd, or come back with the next instance: Session Manager, cloud-init, serial console.

Source: the documentation of Amazon EC2 and Systems Manager, systemd-getty-generator(8).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ostiary.doors.servers.agent import other_ways_cloud
from ostiary.doors.servers.agent.names import shown

_SESSION_MANAGER = (
    "usr/bin/amazon-ssm-agent",
    "snap/amazon-ssm-agent",
    "etc/systemd/system/multi-user.target.wants/amazon-ssm-agent.service",
)
_PASSWORDS = ("etc/shadow", "etc/passwd", "var/lib/extrausers/shadow")
_NONE = ("!", "*", "x")


@dataclass(frozen=True)
class Way:
    """``account`` is "" where it is not for one. ``closed_by`` says what closes it and can be undone: a file of keys to be
    put aside (``keys``), a line for sshd (``sshd_config: …``); "" where closing it is not the agent's."""

    kind: str
    account: str
    where: str
    detail: str
    closed_by: str = ""

    @property
    def line(self) -> str:
        parts = (self.kind, self.account or "anybody", self.where, self.detail)
        return shown("  ".join(part for part in parts if part))


def with_password(root: Path = Path("/")) -> tuple[str, ...]:
    """Accounts whose second field may be the hash of a password, or is empty: then none is needed. Source: shadow(5), passwd(5)."""
    found: dict[str, None] = {}
    for name in _PASSWORDS:
        with contextlib.suppress(OSError):
            lines = (root / name).read_bytes().decode("utf-8", "replace").split("\n")
            entries = (line.split(":") for line in lines)
            having = [one for one in entries if len(one) > 1 and one[1][:1] not in _NONE]
            found.update(dict.fromkeys(one[0] for one in having))
    return tuple(found)


def beside(root: Path) -> Iterator[Way]:
    """Those of this host, whose files are below ``root``. None of them is the agent's to close."""
    for one in _SESSION_MANAGER:
        if (root / one).exists():
            yield Way(
                "session-manager",
                "ssm-user",
                f"/{one}",
                "a shell by ssm:StartSession: IAM decides who",
            )
            break
    for found in other_ways_cloud.find(root):
        yield Way("cloud-init", *found)
    having = with_password(root)
    for console in _consoles(root):
        who = ", ".join(having[:5]) or "nobody has a password"
        yield Way("serial-console", "", console, f"asks for a password ({who})")


def _consoles(root: Path) -> list[str]:
    """Serial lines with a getty: enabled by name, or made by systemd because the kernel has its console there."""
    found = [
        one.name
        for one in sorted(root.glob("etc/systemd/system/getty.target.wants/serial-getty@*"))
    ]
    with contextlib.suppress(OSError):
        text = (root / "proc/cmdline").read_text()
        found += [
            f"console={name}" for name in re.findall(r"\bconsole=((?:ttyS|ttyAMA|hvc)\d+)", text)
        ]
    return found
