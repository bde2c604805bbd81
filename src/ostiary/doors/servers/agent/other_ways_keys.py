"""Files of authorized keys, as sshd(8) reads them: where they are, and whose keys are in them by fingerprint."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ostiary.doors.servers.agent.accounts_lookup import User
from ostiary.doors.servers.agent.files import read_of_others
from ostiary.doors.servers.agent.names import shown

LARGEST = 1024 * 1024
UNREAD = "cannot be read"
_KEY = re.compile(
    r"(?:^|\s)((?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[A-Za-z0-9@.-]+)\s+([A-Za-z0-9+/=]+)(?:\s+(.*))?$"
)


@dataclass(frozen=True)
class Key:
    kind: str
    text: str  # fingerprint and comment, for one line
    is_authority: bool = False


def places(patterns: Sequence[str], user: User) -> Iterator[Path]:
    """The files that AuthorizedKeysFile means for a user. Source: TOKENS of sshd_config(5)."""
    tokens = {"%h": user.home, "%u": user.name, "%U": str(user.uid), "%%": "%"}
    for pattern in patterns:
        if pattern != "none":
            path = re.sub(r"%[huU%]", lambda match: tokens[match[0]], pattern)
            yield Path(path) if path.startswith("/") else Path(user.home) / path


def read(path: Path) -> list[Key]:
    """The keys of a file; none where there is no such file, or something else in its place.

    One that cannot be read counts as a key: whose it is decides when sshd can read it.
    """
    try:
        data = read_of_others(path, LARGEST)
    except OSError:
        return [Key("", UNREAD)]
    text = (data or b"").decode("utf-8", "replace")
    # As sshd reads it, for which only this ends a line: what follows another sign may look like a comment.
    return [key for line in text.split("\n") if (key := parsed(line))]


def parsed(line: str) -> Key | None:
    """The key of one line, whatever options stand before it; None for a comment and for what is none."""
    if line.lstrip().startswith("#"):
        return None
    match = _KEY.search(line.strip())
    if not match:
        return None
    try:
        blob = base64.b64decode(match[2], validate=True)
    except binascii.Error:
        return None
    options = line.strip()[: match.start(1)]
    authority = bool(re.search(r"(^|,)cert-authority(,|\s|$)", options))
    return Key(match[1], shown(f"{fingerprint(blob)} {match[3] or ''}".strip()), authority)


def fingerprint(blob: bytes) -> str:
    """As ``ssh-keygen -l`` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
