"""What sshd is told: a drop-in read before all others, or marked blocks in its main file where that includes none.

Source: sshd_config(5). Of a keyword the first value counts, and one in a ``Match`` block counts before one outside. The
user authorities are trusted for managed users only, so whoever is not one (root too) enters by nothing that we sign; the
break-glass authority is trusted for everybody whose principals file names them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ostiary.doors.servers.agent.files import MANAGED, Paths

HEAD = "# made by ostiary; changes here are undone; taken away by: ostiary agent remove"
BEGIN, END = "# ostiary: begin", "# ostiary: end"
_INCLUDE = re.compile(r"^\s*Include\s+(.*)$", re.IGNORECASE | re.MULTILINE)
_MATCH = re.compile(r"^\s*Match\s", re.IGNORECASE | re.MULTILINE)

# For a managed user, as ``sshd -T -C user=…`` says them (keys in small letters).
MANAGED_SETTINGS = {
    "AuthorizedKeysFile": "none",
    "AuthorizedKeysCommand": "none",
    "AuthorizedPrincipalsCommand": "none",
    "AuthenticationMethods": "publickey",
    "PubkeyAuthentication": "yes",
    "PasswordAuthentication": "no",
    "KbdInteractiveAuthentication": "no",
    "HostbasedAuthentication": "no",
    "GSSAPIAuthentication": "no",
    "AllowTcpForwarding": "local",
    "AllowStreamLocalForwarding": "no",
    "PermitTunnel": "no",
    "GatewayPorts": "no",
}


@dataclass(frozen=True)
class Trust:
    """The files that sshd is pointed at. ``certificate`` is "" while the host has none.

    ``everybody`` is false where this sshd trusts an authority that is not ours: then what is said globally stays as it is.
    """

    authorities: str
    break_glass: str
    principals: str
    certificate: str = ""
    everybody: bool = True


def trust(paths: Paths, *, certificate: bool, everybody: bool) -> Trust:
    return Trust(
        authorities=str(paths.authorities),
        break_glass=str(paths.break_glass),
        principals=str(paths.principals / "%u"),
        certificate=str(paths.host_certificate) if certificate else "",
        everybody=everybody,
    )


def outside(trust: Trust) -> str:
    """The lines for everybody."""
    lines = ["UsePAM yes", "LogLevel VERBOSE"]
    if trust.everybody:
        lines.append(f"TrustedUserCAKeys {trust.break_glass}")
        lines.append(f"AuthorizedPrincipalsFile {trust.principals}")
    if trust.certificate:
        lines.append(f"HostCertificate {trust.certificate}")
    return "".join(f"{one}\n" for one in lines)


def inside(trust: Trust) -> str:
    """The block for managed users."""
    settings = {
        "TrustedUserCAKeys": trust.authorities,
        "AuthorizedPrincipalsFile": trust.principals,
        **MANAGED_SETTINGS,
    }
    lines = "".join(f"    {name} {value}\n" for name, value in settings.items())
    return f"Match Group {MANAGED}\n{lines}"


def drop_in(trust: Trust) -> str:
    return f"{HEAD}\n{outside(trust)}{inside(trust)}"


def includes_drop_ins(main: str) -> bool:
    """Whether the main file reads ``sshd_config.d/*.conf``, before its first Match block."""
    match = _MATCH.search(main)
    before = main[: match.start()] if match else main
    return any("sshd_config.d/*.conf" in words for words in _INCLUDE.findall(before))


def with_blocks(main: str, trust: Trust) -> str:
    """The main file with what is for everybody at its top and the Match block at its end, each marked.

    At the top a Match block would take every following line with it, and several keywords may not stand in one.
    """
    body = without_blocks(main)
    line_end = "" if body.endswith("\n") or not body else "\n"
    return (
        f"{BEGIN}\n{HEAD}\n{outside(trust)}{END}\n{body}{line_end}{BEGIN}\n{inside(trust)}{END}\n"
    )


def without_blocks(main: str) -> str:
    return "".join(line for line, ours in _lines(main) if not ours)


def of_blocks(main: str) -> str:
    """What stands between our marks, with them."""
    return "".join(line for line, ours in _lines(main) if ours)


def _lines(main: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it is of a block of ours."""
    ours = False
    for line in main.splitlines(keepends=True):
        word = line.rstrip("\n")
        ours |= word == BEGIN
        yield line, ours or word == END
        ours &= word != END
