"""What a host, a device or a person called something, as one line of plain text."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Without line ends, colours and other signs that nobody sees: it must look like no other line, of anybody's."""
    return "".join(one if one.isprintable() else "?" for one in text)
