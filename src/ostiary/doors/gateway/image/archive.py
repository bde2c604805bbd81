"""The OVA as a tar: its members by name and place, read from their headers alone.

An OVA is a USTAR archive of plain files (DMTF DSP0243, 5.3). Whatever could write outside, hide a file or make a reader
work without end is refused for safety; nothing is ever unpacked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from ostiary.doors.gateway.image.problems import Problem, problem

HEADER = 512
MOST_MEMBERS = 1000
_MOST_NAME = 1024
_PLAIN = (b"0", b"\0", b"7")
_LONG_NAME, _PAX, _PAX_GLOBAL, _SPARSE = b"L", b"x", b"g", b"S"
_KINDS = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device"}
_KINDS |= {b"5": "a folder", b"6": "a pipe", b"S": "a sparse file", b"K": "a link"}


@dataclass(frozen=True, slots=True)
class Member:
    """A plain file in the archive: its content is ``size`` bytes from ``offset`` of the OVA."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Archive:
    members: tuple[Member, ...]
    problems: tuple[Problem, ...]

    def named(self, name: str) -> Member | None:
        return next((one for one in self.members if one.name == name), None)

    def ending(self, suffix: str) -> tuple[Member, ...]:
        return tuple(one for one in self.members if one.name.lower().endswith(suffix))


def is_tar(first: bytes) -> bool:
    """Whether a file that begins with these 512 bytes is a tar archive."""
    return len(first) == HEADER and _checksum_holds(first) and first[0] != 0


def read_archive(fd: int, size: int) -> Archive:
    """Walk the headers. What is wrong is among the problems; members up to there are given all the same."""
    members: list[Member] = []
    problems: list[Problem] = []
    for found in _walk(fd, size):
        if isinstance(found, Problem):
            problems.append(found)
            continue
        if wrong := _wrong_name(found.name):
            problems.append(problem("tar-name", f"the member {_shown(found.name)} {wrong}"))
        elif any(found.name == one.name for one in members):
            problems.append(problem("tar-duplicate", f"{_shown(found.name)} is in it twice"))
        else:
            members.append(found)
        if len(members) > MOST_MEMBERS:
            problems.append(problem("tar-members", f"it has more than {MOST_MEMBERS} members"))
            break
        if len(problems) > MOST_MEMBERS:
            break
    if not members and not problems:
        problems.append(problem("tar-empty", "there is nothing in it"))
    return Archive(tuple(members), tuple(problems))


def _walk(fd: int, size: int) -> Iterator[Member | Problem]:
    at, long_name = 0, ""
    while True:
        header = os.pread(fd, HEADER, at)
        if not any(header) and (len(header) == HEADER or at):
            return
        if wrong := _wrong_header(header, at):
            yield wrong
            return
        length = _number(header[124:136]) or 0
        kind = header[156:157]
        begin = at + HEADER
        name, long_name = long_name or _name(header), ""
        if begin + length > size:
            yield problem(
                "tar-truncated", f"{_shown(name)} ends at byte {begin + length} of {size}"
            )
            return
        if kind in (_LONG_NAME, _PAX):
            long_name, trouble = _extended(fd, kind, begin, length)
            if trouble:
                yield trouble
                return
        elif kind in _PLAIN:
            yield Member(name, begin, length)
        elif kind != _PAX_GLOBAL:
            what = _KINDS.get(kind, f"of the unknown kind {kind!r}")
            yield problem("tar-kind", f"the member {_shown(name)} is {what}")
        at = begin + (length + HEADER - 1) // HEADER * HEADER


def _wrong_header(header: bytes, at: int) -> Problem | None:
    if len(header) < HEADER:
        return problem("tar-truncated", f"it ends within the header at byte {at}")
    if not _checksum_holds(header):
        return problem("tar-header", f"the header at byte {at} has a wrong checksum")
    if _number(header[124:136]) is None:
        return problem("tar-header", f"the header at byte {at} has no size")
    return None


def _extended(fd: int, kind: bytes, begin: int, length: int) -> tuple[str, Problem | None]:
    """The name that a GNU or pax header gives to the next member; a problem if it says more than names and times."""
    if length > 64 * _MOST_NAME:
        return "", problem("tar-header", f"an extended header of {length} bytes")
    data = os.pread(fd, length, begin)
    if kind == _LONG_NAME:
        return data.rstrip(b"\0").decode("utf-8", "replace"), None
    name = ""
    for line in data.split(b"\n"):
        keyword, _, value = line.partition(b" ")[2].partition(b"=")
        if keyword.startswith(b"GNU.sparse"):
            return "", problem("tar-kind", "a member is a sparse file")
        if keyword in (b"size", b"linkpath"):
            return "", problem(
                "tar-header", f"a pax header changes the {keyword.decode()} of a member"
            )
        if keyword == b"path":
            name = value.decode("utf-8", "replace")
    return name, None


def _name(header: bytes) -> str:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:262] == b"ustar" else b""
    if header[257:265] == b"ustar  \0":  # GNU's own, which keeps times there
        prefix = b""
    return (prefix + b"/" + name if prefix else name).decode("utf-8", "replace")


def _wrong_name(name: str) -> str:
    if not name or len(name) > _MOST_NAME:
        return "has no usable name"
    if name.startswith(("/", "\\")) or (len(name) > 1 and name[1] == ":"):
        return "has an absolute path"
    if ".." in name.replace("\\", "/").split("/"):
        return "leads out of the archive"
    if not name.isprintable() or "\ufffd" in name:
        return "has a name that is not printable UTF-8"
    return ""


def _shown(name: str) -> str:
    return ascii(name[:120]).strip("'") or "without a name"


def _number(field: bytes) -> int | None:
    """Octal text, or base 256 for members of 8 GiB and more."""
    if field[0] & 0x80:
        return int.from_bytes(field, "big") & ((1 << 95) - 1)
    text = field.strip(b" \0")
    try:
        return int(text, 8) if text else 0
    except ValueError:
        return None


def _checksum_holds(header: bytes) -> bool:
    stated = _number(b"\0" * 4 + header[148:156])
    blanked = header[:148] + b" " * 8 + header[156:]
    signed = sum(byte - 256 if byte > 127 else byte for byte in blanked)  # noqa: PLR2004 - as old tars summed
    return stated is not None and stated in (sum(blanked), signed)
