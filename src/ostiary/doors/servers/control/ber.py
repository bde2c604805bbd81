"""Just enough BER to read a PKCS #7 signature: definite and indefinite lengths, constructed octet strings.

AWS writes its instance identity signatures in BER with indefinite lengths, which no DER reader takes. Source: ITU-T
X.690, 8.1. What is cut, too deep or too long is a ValueError.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SEQUENCE, SET, OCTETS, OID, INTEGER = 0x30, 0x31, 0x04, 0x06, 0x02
CONSTRUCTED = 0x20
DEEPEST = 20
MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Element:
    """One element. ``whole`` is it as it came, ``children`` those of a constructed one, ``content`` of a primitive one."""

    tag: int
    whole: bytes
    content: bytes
    children: tuple[Element, ...]

    def octets(self) -> bytes:
        """The octets of an octet string, in one piece or in several."""
        if not self.tag & CONSTRUCTED:
            return self.content
        return b"".join(child.octets() for child in self.children)

    def of(self, tag: int) -> Element:
        """The first child with this tag."""
        return next_of(self.children, tag)


def next_of(elements: Sequence[Element], tag: int) -> Element:
    for one in elements:
        if one.tag == tag:
            return one
    raise ValueError(f"no element {tag:#x}")


def read(data: bytes) -> Element:
    """The one element that ``data`` is."""
    if len(data) > MOST_BYTES:
        raise ValueError("too long")
    element, end = _element(data, 0, DEEPEST)
    if end != len(data):
        raise ValueError("something follows")
    return element


def _element(data: bytes, start: int, depth: int) -> tuple[Element, int]:
    if depth == 0:
        raise ValueError("too deep")
    tag, length, at = _header(data, start)
    if length is None:
        if not tag & CONSTRUCTED:
            raise ValueError("a primitive without length")
        children, end = _until_end(data, at, depth)
        return Element(tag, data[start:end], b"", children), end
    end = at + length
    if end > len(data):
        raise ValueError("cut")
    if not tag & CONSTRUCTED:
        return Element(tag, data[start:end], data[at:end], ()), end
    found = []
    while at < end:
        child, at = _element(data[:end], at, depth - 1)
        found.append(child)
    return Element(tag, data[start:end], b"", tuple(found)), end


def _until_end(data: bytes, at: int, depth: int) -> tuple[tuple[Element, ...], int]:
    found = []
    while data[at : at + 2] != b"\0\0":
        child, at = _element(data, at, depth - 1)
        found.append(child)
    return tuple(found), at + 2


def _header(data: bytes, at: int) -> tuple[int, int | None, int]:
    """Tag, length (None: until its end is marked), and where the content begins."""
    if at + 2 > len(data):
        raise ValueError("cut")
    tag, first = data[at], data[at + 1]
    if tag & 0x1F == 0x1F:  # noqa: PLR2004 - a tag in several bytes
        raise ValueError("a tag that nothing here has")
    at += 2
    if first < 0x80:  # noqa: PLR2004 - the short form
        return tag, first, at
    if first == 0x80:  # noqa: PLR2004 - indefinite
        return tag, None, at
    size = first & 0x7F
    if size > 4 or at + size > len(data):  # noqa: PLR2004 - more than MOST_BYTES needs
        raise ValueError("a length out of bounds")
    return tag, int.from_bytes(data[at : at + size], "big"), at + size
