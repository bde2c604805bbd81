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
_MOST_HEADERS = (
    4 * MOST_MEMBERS
)  # extended ones included: a file of nothing else has no member to count
_MOST_NAME = 1024
_MOST_PROBLEMS = 50
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


@dataclass(frozen=True, slots=True)
class Told:
    """What extended headers say of the member that follows; "" and 0 where they are silent."""

    name: str = ""
    size: int = 0


def is_tar(first: bytes) -> bool:
    """Whether a file that begins with these 512 bytes is a tar archive."""
    return len(first) == HEADER and _checksum_holds(first) and first[0] != 0


def read_archive(fd: int, size: int) -> Archive:
    """Walk the headers. What is wrong is among the problems; members up to there are given all the same."""
    members: dict[str, Member] = {}
    problems: list[Problem] = []
    for found in _walk(fd, size):
        if isinstance(found, Problem):
            problems.append(found)
        elif wrong := _wrong_name(found.name):
            problems.append(problem("tar-name", f"the member {_shown(found.name)} {wrong}"))
        elif found.name in members:
            problems.append(problem("tar-duplicate", f"{_shown(found.name)} is in it twice"))
        else:
            members[found.name] = found
        if len(members) > MOST_MEMBERS:
            problems.append(problem("tar-members", f"it has more than {MOST_MEMBERS} members"))
            break
        if len(problems) > _MOST_PROBLEMS:
            break
    if not members and not problems:
        problems.append(problem("tar-empty", "there is nothing in it"))
    return Archive(tuple(members.values()), tuple(problems))


def _walk(fd: int, size: int) -> Iterator[Member | Problem]:
    at, told = 0, Told()
    for _ in range(_MOST_HEADERS):
        header = os.pread(fd, HEADER, at)
        if not any(header) and (len(header) == HEADER or at):
            return
        if wrong := _wrong_header(header, at):
            yield wrong
            return
        begin, kind = at + HEADER, header[156:157]
        extends = kind in (_LONG_NAME, _PAX, _PAX_GLOBAL)
        length = _number(header[124:136]) or 0
        if told.size and not extends:
            if length not in (0, told.size):
                what = "a member has two sizes, in its header and in the extended one"
                yield problem("tar-header", what)
                return
            length = told.size
        name = _plain(told.name or _name(header))
        if begin + length > size:
            where = f"ends at byte {begin + length} of {size}"
            yield problem("tar-truncated", f"{_shown(name)} {where}")
            return
        if extends:
            found = _extended(fd, kind, begin, length)
            if isinstance(found, Problem):
                yield found
                return
            told = Told(found.name or told.name, found.size or told.size)
        else:
            told = Told()
            if kind in _PLAIN:
                yield Member(name, begin, length)
            else:
                what = _KINDS.get(kind, f"of the unknown kind {kind!r}")
                yield problem("tar-kind", f"the member {_shown(name)} is {what}")
        at = begin + (length + HEADER - 1) // HEADER * HEADER
    yield problem("tar-members", f"it has more than {_MOST_HEADERS} headers")


def _wrong_header(header: bytes, at: int) -> Problem | None:
    if len(header) < HEADER:
        return problem("tar-truncated", f"it ends within the header at byte {at}")
    if not _checksum_holds(header):
        return problem("tar-header", f"the header at byte {at} has a wrong checksum")
    if _number(header[124:136]) is None:
        return problem("tar-header", f"the header at byte {at} has no size")
    return None


def _extended(fd: int, kind: bytes, begin: int, length: int) -> Told | Problem:
    """What a GNU or pax header says of the next member; a problem if it is more than name, size, owner and times."""
    if length > 64 * _MOST_NAME:
        return problem("tar-header", f"an extended header of {length} bytes")
    data = os.pread(fd, length, begin)
    if kind == _LONG_NAME:
        return Told(data.rstrip(b"\0").decode("utf-8", "replace"))
    said = _records(data)
    if said is None:
        return problem("tar-header", "a pax header that is not one")
    if any(keyword.startswith(b"GNU.sparse") for keyword in said):
        return problem("tar-kind", "a member is a sparse file")
    if b"linkpath" in said or (kind == _PAX_GLOBAL and said.keys() & {b"path", b"size"}):
        return problem("tar-header", "a pax header that changes what members are")
    size = said.get(b"size", b"0")
    if not size.isdigit() or len(size) > 20:  # noqa: PLR2004 - 2^64 has 20 digits
        return problem("tar-header", "a pax header with a size that is none")
    return Told(said.get(b"path", b"").decode("utf-8", "replace"), int(size))


def _records(data: bytes) -> dict[bytes, bytes] | None:
    """The ``length keyword=value`` records of a pax header; None if it does not consist of them.

    The length counts: a value may hold line ends, and readers that go by lines see other members than those that count.
    """
    found = {}
    while data:
        digits, space, _ = data[:6].partition(b" ")
        if not space or not digits.isdigit() or not len(digits) < int(digits) <= len(data):
            return None
        record, data = data[: int(digits)], data[int(digits) :]
        keyword, equals, value = record[len(digits) + 1 :].partition(b"=")
        if not equals or not value.endswith(b"\n"):
            return None
        found[keyword] = value[:-1]
    return found


def _plain(name: str) -> str:
    """``./x.ovf`` is ``x.ovf``: manifests and descriptors name it so."""
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name


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
        return None if field[0] & 0x40 else int.from_bytes(field, "big") & ((1 << 94) - 1)
    text = field.strip(b" \0")
    try:
        return int(text, 8) if text else 0
    except ValueError:
        return None


def _checksum_holds(header: bytes) -> bool:
    stated = _number(b"\0" * 4 + header[148:156])
    blanked = header[:148] + b" " * 8 + header[156:]
    if stated is None or stated == (total := sum(blanked)):
        return stated is not None
    return stated == total - 256 * sum(byte > 127 for byte in blanked)  # noqa: PLR2004 - old tars summed signed bytes
