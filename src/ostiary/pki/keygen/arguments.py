"""The arguments of ssh-keygen, as its ``getopt`` takes them: no permutation, clusters, ``-V-1w:+2w``."""

from __future__ import annotations

import getopt
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ostiary.errors import OstiaryError, UsageError
from ostiary.pki.keygen import validity
from ostiary.pki.ssh_certificate import ALWAYS, FOREVER

# Every option of ssh-keygen 10.5, so that calls of other kinds are recognised and handed on.
_LETTERS = "ABHKLQUXceghiklopquvyC:D:E:F:I:M:N:O:P:R:V:Y:Z:a:b:f:m:n:r:s:t:w:z:"
_SERIAL = re.compile(r"[0-9]+", re.ASCII)
HASHES = ("md5", "sha1", "sha256", "sha384", "sha512")


@dataclass(slots=True)
class Asked:
    """What the command line says; ``authority`` empty unless ``-s``, ``shown`` the file of ``-L -f``."""

    authority: str = ""
    key_id: str | None = None
    principals: str | None = None
    host: bool = False
    serial: int = 0
    count_up: bool = False
    valid_after: int = ALWAYS
    valid_before: int = FOREVER
    options: list[str] = field(default_factory=list)
    algorithm: str | None = None
    passphrase: str | None = None
    quiet: bool = False
    agent: bool = False
    show: bool = False
    shown: str = ""
    hash: str = "sha256"
    files: list[str] = field(default_factory=list)
    others: str = ""  # letters of options that are about something else


def parse(arguments: Sequence[str]) -> Asked:
    """Raises UsageError for what ssh-keygen answers with its usage, OstiaryError for a wrong value."""
    try:
        found, files = getopt.getopt(list(arguments), _LETTERS)
    except getopt.GetoptError as error:
        said = "option requires an argument" if "requires" in error.msg else "unknown option"
        raise UsageError(f"{said} -- {error.opt}") from error
    asked = Asked(files=files)
    for option, value in found:
        _take(asked, option[1], value)
    if asked.authority and not files and "k" not in asked.others:
        raise UsageError("Too few arguments.")
    return asked


def _take(asked: Asked, letter: str, value: str) -> None:
    if letter in _TEXTS:
        setattr(asked, _TEXTS[letter], value)
    elif letter in _FLAGS:
        setattr(asked, _FLAGS[letter], True)
    elif letter == "O":
        asked.options.append(value)
    elif letter == "V":
        asked.valid_after, asked.valid_before = validity.parse(value, int(time.time()))
    elif letter == "z":
        asked.count_up = value.startswith("+")
        asked.serial = _serial(value.removeprefix("+"))
    elif letter == "E":
        if value.lower() not in HASHES:
            raise OstiaryError(f'Invalid hash algorithm "{value}"')
        asked.hash = value.lower()
    elif letter != "v":
        asked.others += letter


_TEXTS = {
    "s": "authority",
    "I": "key_id",
    "n": "principals",
    "t": "algorithm",
    "P": "passphrase",
    "f": "shown",
}
_FLAGS = {"h": "host", "q": "quiet", "L": "show", "U": "agent"}


def _serial(text: str) -> int:
    if not _SERIAL.fullmatch(text) or int(text) > FOREVER:
        raise OstiaryError(f'Invalid serial number "{text}"')
    return int(text)
