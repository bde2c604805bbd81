"""Slips: what break-glass signed, written down here before it is used, and brought to the control plane later.

A file of one message a line (``wire.admin.Slip``), mode 0600. It opens nothing: certificates without their keys.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ostiary.doors.servers.audit import line_file
from ostiary.doors.servers.wire.admin import Slip
from ostiary.doors.servers.wire.message import InvalidMessage, decode, encode
from ostiary.errors import NotFound, OstiaryError, UsageError


def default_file(project: str, environ: Mapping[str, str] | None = None) -> Path:
    """``~/.local/state/ostiary/break-glass/PROJECT.jsonl`` (XDG_STATE_HOME)."""
    environ = os.environ if environ is None else environ
    above = environ.get("XDG_STATE_HOME") or Path(environ.get("HOME") or "~", ".local/state")
    return Path(above).expanduser() / "ostiary" / "break-glass" / f"{project}.jsonl"


def append(file: Path, slip: Slip) -> None:
    """Durable when it returns. OstiaryError when it is not: then nothing may be signed."""
    try:
        line_file.append(file, encode(slip) + b"\n")
    except OSError as error:
        raise OstiaryError(
            f"cannot write the slip to {file}",
            why=str(error.strerror).lower(),
            fix="name another file with --slips FILE; nothing was signed",
        ) from error


def read(file: Path) -> tuple[Slip, ...]:
    """Every slip in a file. UsageError for a line that is none."""
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError as none:
        raise NotFound(
            f"no slip is in {file}",
            why="nobody signed by break-glass here, or the file has another name",
            fix="name the file that break-glass sign said",
        ) from none
    except OSError as error:
        raise OstiaryError(
            f"cannot read {file}",
            why=str(error.strerror).lower(),
            fix="run it as somebody who may read it, or name another file",
        ) from error
    slips = []
    for number, line in enumerate(lines, 1):
        try:
            slips.append(decode(Slip, line))
        except InvalidMessage as wrong:
            raise UsageError(
                f"cannot read {file}",
                why=f"line {number}: {wrong}",
                fix="name the file that break-glass sign wrote",
            ) from wrong
    return tuple(slips)
