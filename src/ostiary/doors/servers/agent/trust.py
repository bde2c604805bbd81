"""Whom sshd trusts and whom the session hook counts: written so that no certificate is ever trusted and not counted.

First the hook learns every authority that is trusted now or will be, then sshd changes, then the hook forgets.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from ostiary.doors.servers.agent import guard, ledger, untold
from ostiary.doors.servers.agent.files import HostError, Paths, own_folder, write
from ostiary.doors.servers.wire.host import HostState

HEAD = "# made by ostiary; changes here are undone\n"
_KEY = re.compile(
    r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-ssh-ed25519@openssh\.com"
    r"|sk-ecdsa-sha2-nistp256@openssh\.com) ([A-Za-z0-9+/]{60,1600}={0,2})( .*)?"
)


def key(text: str) -> str:
    """Type and base64 of a public key. HostError for anything else, a certificate among it (CVE-2025-49825)."""
    found = _KEY.fullmatch(text.strip())
    if found is None:
        raise HostError(f"{text[:60]!r} is no public key of an authority")
    try:
        blob = base64.b64decode(found[2], validate=True)
    except ValueError:
        blob = b""
    name = found[1].encode()
    if blob[: 4 + len(name)] != len(name).to_bytes(4, "big") + name:
        raise HostError(f"{text[:60]!r} says one type and holds another")
    return f"{found[1]} {found[2]}"


def bring_in_line(state: HostState, paths: Paths, interpreter: str, hook: str) -> None:
    """HostError leaves either the old trust or the new, and the hook counting both. ``hook`` is the text of hook.py."""
    users = [key(one) for one in state.authorities]
    glass = [key(one) for one in state.break_glass]
    if set(users) & set(glass):
        raise HostError("one key is user authority and break-glass authority")
    own_folder(paths.etc)
    own_folder(paths.var, 0o700)
    ledger.begin(paths, read(paths.one_time))
    with contextlib.suppress(OSError):
        untold.begin(paths)
    write(paths.hook, hook)
    trusted = {*read(paths.authorities)} - {*read(paths.break_glass), *glass}
    _count(sorted({*users, *trusted}), paths, interpreter)
    write(paths.authorities, _text([*users, *glass]))
    write(paths.break_glass, _text(glass))
    told = guard.teller(glass, interpreter, paths.hook, paths.var, paths.break_glass)
    write(paths.teller, told, 0o755)
    _count(users, paths, interpreter)


def read(path: Path) -> list[str]:
    """The keys of a file of ours; none where it is not there."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise HostError(f"cannot read {path}: {error}") from error
    found = []
    for line in lines:
        with contextlib.suppress(HostError):  # comments, and what a cut left
            found.append(key(line))
    return found


def fingerprints(paths: Paths) -> tuple[str, ...]:
    """SHA256 fingerprints of what sshd trusts now, as ``ssh-keygen -l`` writes them."""
    found = []
    for one in read(paths.authorities):
        digest = hashlib.sha256(base64.b64decode(one.split()[1])).digest()
        found.append("SHA256:" + base64.b64encode(digest).decode().rstrip("="))
    return tuple(found)


def _count(keys: Sequence[str], paths: Paths, interpreter: str) -> None:
    """One that is new is first in the file that the hook reads, then in the script that asks the hook; one that is gone, the reverse."""
    known = {*keys, *read(paths.one_time)}
    write(paths.one_time, _text(sorted(known)))
    script = guard.script(keys, interpreter, paths.hook, paths.var, paths.one_time)
    write(paths.guard, script, 0o755)
    write(paths.one_time, _text(keys))


def _text(keys: Sequence[str]) -> str:
    return HEAD + "".join(f"{one}\n" for one in keys)
