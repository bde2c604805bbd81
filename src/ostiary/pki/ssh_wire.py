"""The data types of the SSH protocol: writing them, and reading them strictly.

Source: RFC 4251 section 5 (string, uint32, uint64, mpint). What does not fit raises OstiaryError; ``code`` is the text
that OpenSSH has for the same fault (``ssherr.c``).
"""

from __future__ import annotations

import struct

from ostiary.errors import OstiaryError

INVALID_FORMAT = "invalid format"
LONGEST = 1 << 20  # bytes of any string that is read: OpenSSH signs and verifies no more at once

_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
u32 = _U32.pack
u64 = _U64.pack


def unreadable(why: str, code: str = INVALID_FORMAT) -> OstiaryError:
    """What is raised for bytes that are not what they should be."""
    return OstiaryError("cannot read this SSH key or certificate", why=why, code=code)


def string(data: bytes) -> bytes:
    """``data`` after its length."""
    return _U32.pack(len(data)) + data


def encoded(text: str) -> bytes:
    """UTF-8; bytes that were read and are not UTF-8 (surrogate escapes) come out as they were."""
    return text.encode("utf-8", "surrogateescape")


def mpint(number: int) -> bytes:
    """A non-negative number: big-endian, the fewest bytes, none for zero, the highest bit clear."""
    return string(number.to_bytes((number.bit_length() + 8) // 8, "big") if number else b"")


class Reader:
    """Reads one value after the other; each method raises OstiaryError when the bytes end too soon."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def at(self) -> int:
        """How many bytes were read."""
        return self._at

    @property
    def more(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        end = self._at + size
        if end > len(self._data):
            raise unreadable("its bytes end in the middle of a value", "incomplete message")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def u32(self) -> int:
        return int(_U32.unpack(self.take(4))[0])

    def u64(self) -> int:
        return int(_U64.unpack(self.take(8))[0])

    def string(self) -> bytes:
        size = self.u32()
        if size > LONGEST:
            raise unreadable(f"it holds a string of {size} bytes", "string is too large")
        return self.take(size)

    def text(self) -> str:
        """A string without NUL; what is not UTF-8 becomes surrogate escapes."""
        data = self.string()
        if b"\0" in data:
            raise unreadable("a text in it holds a NUL")
        return data.decode("utf-8", "surrogateescape")

    def mpint(self) -> int:
        """A positive number in its only correct form."""
        data = self.string()
        if not data or data[0] & 0x80:
            raise unreadable("a number in it is not positive", "bignum is negative")
        if data[0] == 0 and (len(data) == 1 or not data[1] & 0x80):
            raise unreadable("a number in it is longer than need be")
        return int.from_bytes(data, "big")

    def end(self) -> None:
        """Raises OstiaryError unless everything was read."""
        if self.more:
            raise unreadable("bytes follow its end", "unexpected bytes remain after decoding")
