"""Critical options and extensions of SSH certificates: pairs of name and data, in the order that they must have.

Source: OpenSSH PROTOCOL.certkeys, "Critical options" and "Extensions": lexically ordered, each name once; a flag has no
data, a value is a string within the data.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

from ostiary.errors import OstiaryError
from ostiary.pki.ssh_wire import Reader, encoded, string, unreadable

Option: TypeAlias = tuple[str, bytes]
Options: TypeAlias = tuple[Option, ...]

REMEMBERED = 256  # options that somebody had lately: a fleet is entered with the same ones, server after server

FORCE_COMMAND = "force-command"
SOURCE_ADDRESS = "source-address"
VERIFY_REQUIRED = "verify-required"
NO_TOUCH_REQUIRED = "no-touch-required"
PERMITS = (
    "permit-X11-forwarding",
    "permit-agent-forwarding",
    "permit-port-forwarding",
    "permit-pty",
    "permit-user-rc",
)
CRITICAL_FLAGS = frozenset({VERIFY_REQUIRED})
CRITICAL_VALUES = frozenset({FORCE_COMMAND, SOURCE_ADDRESS})
EXTENSION_FLAGS = frozenset({*PERMITS, NO_TOUCH_REQUIRED})


def flag(name: str) -> Option:
    return name, b""


def valued(name: str, value: str) -> Option:
    return name, string(encoded(value))


def value_of(option: Option) -> str:
    """The text in a valued option. Raises OstiaryError when its data is not one text."""
    data = option[1]
    if int.from_bytes(data[:4], "big") == len(data) - 4 and b"\0" not in data[4:]:
        return data[4:].decode("utf-8", "surrogateescape")
    reader = Reader(data)  # which says what is wrong with it
    value = reader.text()
    reader.end()
    return value


def ordered(options: Iterable[Option]) -> Options:
    """By name, as C's strcmp orders; of one name flags first."""
    return _ordered(tuple(options))


@lru_cache(maxsize=REMEMBERED)
def _ordered(options: Options) -> Options:
    return tuple(sorted(options, key=lambda one: (encoded(one[0]), one[1] != b"", one[1][4:])))


@lru_cache(maxsize=REMEMBERED)
def write(options: Options) -> bytes:
    return b"".join([string(encoded(name)) + string(data) for name, data in options])


def read(data: bytes, *, lenient: bool) -> Options:
    """``lenient`` takes any order and repetition, as sshd does. Raises OstiaryError."""
    reader = Reader(data)
    options: list[Option] = []
    while reader.more:
        options.append((reader.text(), reader.string()))
    names = [encoded(name) for name, _ in options]
    if not lenient and any(second <= first for first, second in itertools.pairwise(names)):
        raise unreadable("its options are not in order, or one is there twice")
    return tuple(options)


def readable(option: Option) -> str | None:
    """The text of a valued option, None when its data is something else."""
    try:
        return value_of(option)
    except OstiaryError:
        return None
