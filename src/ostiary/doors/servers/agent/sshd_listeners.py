"""The processes of sshd that listen on this host, with what each was told when it was started.

A host may have several: an option on the command line (``-o UsePAM=no``) holds whatever the files say, a second sshd on a port
of its own reads the same files, and one that was started by another name asks another PAM service. Those of containers have
files of their own and are none of ours. Source: sshd(8), its getopt(3) string in sshd.c; proc(5), cmdline and root.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PLACE = Path("/etc/ssh")
# One connection of a socket's, one that was just taken, or a check of files.
NO_LISTENER = (b"-i", b"-R", b"-t", b"-T", b"-G")
_LISTENER = b"[listener]"
_WITH_VALUE = "CEbcfghkopu"
_TELLING = "fhop"  # of these, what decides how sshd reads its files


@dataclass(frozen=True)
class Listener:
    """``name`` is what it was started by, ``told`` the options that decide what it makes of its files."""

    pid: int
    name: str
    told: tuple[str, ...] = ()


def listeners(place: Path = PLACE) -> list[Listener]:
    """Those that see this host's ``place``, the oldest first.

    What one of them has forked for a connection is still called as it is, for a moment, and is none.
    """
    numbers = sorted(int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit())
    found: dict[int, tuple[Listener, int]] = {}
    for pid in numbers:
        try:
            argv = words(pid)
            if argv and _sees(pid, place):
                one = Listener(pid, argv[0].rpartition("/")[2], told(argv[1:]))
                found[pid] = one, _parent(pid)
        except OSError:
            continue
    return [one for one, parent in found.values() if parent not in found]


def _parent(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return int(fields[1])


def words(pid: int) -> list[str]:
    """Program and options of a process that listens; nothing for any other. OSError where there is none."""
    file = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if os.fstat(file).st_uid != 0:  # most: nothing of theirs is read
            return []
        process = Path(f"/proc/self/fd/{file}")  # this one, whoever has its number by now
        argv = (process / "cmdline").read_bytes().replace(b"\0", b" ").split()
        # In this order: sshd's child becomes a user's program, and no user's program becomes sshd.
        if not is_listener(argv) or not _is_sshd(process):
            return []
    finally:
        os.close(file)
    if _LISTENER in argv:
        argv = argv[1 : argv.index(_LISTENER)]
    return [os.fsdecode(one) for one in argv]


def _is_sshd(process: Path) -> bool:
    """Whether what it is called is its own word: anybody can call a process so, and a setuid program keeps its caller's argv.

    That is why the owner in /proc says nothing: it is root for a setuid program, and for whatever may not be dumped. Of the
    uids all four count, because such a program keeps its caller's as the real one, or may come back to it by the saved one.
    The program counts too, because sudo(8) makes all four root's before it asks for a password: its file is sshd by the name
    that the kernel knows ("sshd (deleted)" after an upgrade, until it is started again), and of a file that others own or
    write, they say what it does. Source: credentials(7), execve(2); proc(5), exe and status.
    """
    status = (process / "status").read_bytes().split(b"\n")
    uids = next(line.split()[1:] for line in status if line.startswith(b"Uid:"))
    if set(uids) != {b"0"}:
        return False
    name = os.readlink(process / "exe").rpartition("/")[2]  # noqa: PTH115 - no path: it may be gone
    program = (process / "exe").stat()  # of the file that runs, also when it is gone
    return name.startswith("sshd") and program.st_uid == 0 and not program.st_mode & 0o022


def is_listener(argv: Sequence[bytes]) -> bool:
    """sshd calls itself ``sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups``, before that by its path; and what serves
    one connection ``sshd: …`` without a path.
    """
    if not argv:
        return False
    if argv[0].endswith(b":"):
        return len(argv) > 1 and argv[1].endswith(b"/" + argv[0][:-1]) and _LISTENER in argv
    return argv[0].endswith(b"/sshd") and not set(argv) & set(NO_LISTENER)


def told(arguments: Sequence[str]) -> tuple[str, ...]:
    """Of a command line's words: a value that has blanks came apart, so what follows it up to the next option is its."""
    return tuple(part for letter, value in _options(arguments) for part in (f"-{letter}", value))


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(arguments):
        letters, at = arguments[at], at + 1
        if not letters.startswith("-"):
            continue
        for place, letter in enumerate(letters[1:], start=2):
            if letter not in _WITH_VALUE:
                continue
            value = [letters[place:]] if letters[place:] else list(arguments[at : at + 1])
            at += not letters[place:]
            while at < len(arguments) and not arguments[at].startswith("-"):
                value.append(arguments[at])
                at += 1
            if letter in _TELLING:
                yield letter, " ".join(value)
            break


def _sees(pid: int, place: Path) -> bool:
    there = os.stat(f"/proc/{pid}/root{place}")  # noqa: PTH116 - beside it
    return os.path.samestat(there, place.stat())
