"""A question to the resident agent: one JSON object a line, there and back, over its socket ``talk.sock``.

    {"do": "authorize", "control": …, "method": …, "path": …, "digest": …} -> {"headers": {…}}
    {"do": "who"}      -> {"person": …, "login": …, "expires": …, "control": …}
    {"do": "servers"}  -> {"servers": [ServerEntry…]}, read anew: ssh knows them from then on
    {"do": "x509", "control": …, "host": …, "project": …, "public_key": …} -> {"issued": Issued}, a message in JSON
    {"do": "end"}      -> {}
    any                -> {"error": what, "why": …, "fix": …, "code": …, "exit": number of the error tree}

The entry files of ``ssh`` ask there too, in words of their own: ``entry_words.py``.
"""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ostiary.doors.servers.client.place import TALK
from ostiary.errors import (
    Conflict,
    Denied,
    NotFound,
    OstiaryError,
    Throttled,
    Unreachable,
    UsageError,
)

SECONDS = 30.0
KINDS: Mapping[object, type[OstiaryError]] = {
    one.exit_code: one for one in (UsageError, NotFound, Conflict, Throttled, Unreachable)
}
MOST_BYTES = 16 * 1024 * 1024  # every server of an org


def ask(folder: Path, do: str, **more: object) -> Mapping[str, Any]:
    """The answer of the resident agent in ``folder``. Denied ``not-signed-in`` where none runs; else the error that it says."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as to:
        to.settimeout(SECONDS)
        try:
            _check_private(folder)
            to.connect(str(folder / TALK))
        except (FileNotFoundError, ConnectionRefusedError) as none:
            raise not_signed_in() from none
        try:
            to.sendall(json.dumps({"do": do, **more}).encode() + b"\n")
            with to.makefile("rb") as stream:
                answer = json.loads(stream.readline(MOST_BYTES))
        except (OSError, ValueError) as error:
            raise Unreachable(
                "cannot ask the resident agent", why=str(error), fix="run: ostiary login"
            ) from error
    if "error" in answer:
        kind = KINDS.get(answer.get("exit"), Denied)
        raise kind(answer["error"], why=answer["why"], fix=answer["fix"], code=answer["code"])
    return dict(answer)


def _check_private(folder: Path) -> None:
    """Conflict where somebody else can have put a socket there: below /tmp anybody may make a folder of this name."""
    there = folder.lstat()
    is_ours = stat.S_ISDIR(there.st_mode) and there.st_uid == os.getuid()
    if not is_ours or there.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Conflict(
            f"cannot use {folder}",
            why="it is not a folder of yours that nobody else may write",
            fix="remove it, or set XDG_RUNTIME_DIR, and run: ostiary login",
        )


def not_signed_in() -> Denied:
    return Denied(
        "nobody is signed in here",
        why="no resident agent runs that would hold a sign-in",
        fix="run: ostiary login",
        code="not-signed-in",
    )
