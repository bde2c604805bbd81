"""Closing other ways in, as a project asks with ``other_ways: close``: a plan, its application, and the way back.

Only what can be undone is closed: files of keys are renamed, sshd is told by a drop-in of its own. Nothing is closed before
somebody entered this host by a certificate of the project, so that the last way in is never the one that is shut; the
break-glass authority, Session Manager and the serial console are never touched. What was done is written down before it
is done, and ``reopen`` undoes it, also after a kill in between.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ostiary.doors.servers.agent import other_ways_closed as closed
from ostiary.doors.servers.agent import sshd, sshd_candidate, sshd_text
from ostiary.doors.servers.agent.accounts_home import FOLDER
from ostiary.doors.servers.agent.accounts_lookup import Lookup
from ostiary.doors.servers.agent.files import HostError, Paths, write
from ostiary.doors.servers.agent.other_ways import find
from ostiary.doors.servers.agent.other_ways_beside import Way

_LINE = "sshd_config: "
# Of several Match blocks that hold the first counts, and any of them before what is said outside: so what a later one says
# for a group or a user is closed too. The agent's own block, for its users, stands before this one.
_HEAD = "# made by ostiary (other_ways: close); undone by: ostiary agent ways --reopen\nMatch all\n"


@dataclass(frozen=True)
class Plan:
    """``files`` of keys to rename, ``settings`` for sshd; ``left`` are ways that stay, each with its reason."""

    files: tuple[str, ...]
    settings: tuple[str, ...]
    left: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        return (
            *(f"put aside {file}" for file in self.files),
            *(f"tell sshd: {line}" for line in self.settings),
            *(f"leave {line}" for line in self.left),
        )


def plan(ways: Iterable[Way]) -> Plan:
    """What closing these ways would do. Pure."""
    files: dict[str, None] = {}
    settings: dict[str, None] = {}
    left = []
    for way in ways:
        if way.closed_by == "keys":
            files[way.where] = None
        elif way.closed_by.startswith(_LINE):
            settings.update(dict.fromkeys(way.closed_by[len(_LINE) :].split("; ")))
        else:
            left.append(f"{way.line}: not the agent's to close")
    return Plan(tuple(files), tuple(sorted(settings)), tuple(left))


def apply(paths: Paths, mode: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Do as the project says (``report`` or ``close``): the ways that are open now, one line each, and the problems.

    With ``report``, what was closed before is opened again.
    """
    problems: list[str] = []
    try:
        if mode == "close":
            if proven(paths):
                problems += close(paths, plan(find(paths, Lookup.now())))
            else:
                problems.append("other ways stay open until somebody has entered by certificate")
        else:
            problems += reopen(paths)
    except (HostError, OSError) as error:
        problems.append(f"other ways: {error}")
    return tuple(way.line for way in find(paths, Lookup.now())), tuple(problems)


def proven(paths: Paths) -> bool:
    """Whether a certificate of the project ever let somebody in here: the ledger of the session hook has, or had, a serial."""
    mark = paths.var / "certificate-seen"
    if mark.exists():
        return True
    with contextlib.suppress(OSError):
        if any(one.name.isdigit() for one in paths.ledger.iterdir()):
            write(mark, "", 0o600)
            return True
    return False


def close(paths: Paths, wanted: Plan) -> list[str]:
    """Apply a plan; the problems. HostError, and nothing done, if the way back cannot be written down."""
    done = closed.journal(paths)
    files = [file for file in wanted.files if file not in done["files"]]
    settings = sorted({*done["settings"], *wanted.settings})
    if files or settings != done["settings"]:
        closed.keep(paths, {"files": [*done["files"], *files], "settings": settings})
    problems = [why for file in wanted.files if (why := _rename(Path(file), "", closed.ASIDE))]
    if settings:
        problems += _tell_sshd(paths, settings)
    return problems


def reopen(paths: Paths) -> list[str]:
    """Undo all of it; the problems. What could not be undone stays written down for the next time."""
    done = closed.journal(paths)
    if not done["files"] and not done["settings"]:
        return []
    failed = {file: why for file in done["files"] if (why := _rename(Path(file), closed.ASIDE, ""))}
    before = sshd.effective(paths.sshd_config, "root")
    closed.drop_in(paths).unlink(missing_ok=True)
    if not sshd.reload(before):
        sshd.start_again(before)
    closed.keep(paths, {"files": list(failed), "settings": []})
    return list(failed.values())


def _rename(file: Path, was: str, becomes: str) -> str:
    """Rename ``file + was`` to ``file + becomes`` within its folder, which may be a user's; "" or why not."""
    old, new = f"{file.name}{was}", f"{file.name}{becomes}"
    try:
        where = os.open(file.parent, FOLDER)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"cannot open {file.parent}: {error.strerror}"
    try:
        there = _changed(where, old)
        if there is None:
            return ""
        if _changed(where, new) is not None:
            if becomes == "":
                return f"{file} is there again, so {old} stays beside it"
            new = f"{new}.{there}"
        os.rename(old, new, src_dir_fd=where, dst_dir_fd=where)
    except OSError as error:
        return f"cannot rename {file.parent / old}: {error.strerror}"
    finally:
        os.close(where)
    return ""


def _changed(folder_file: int, name: str) -> int | None:
    """When the file in an opened folder was changed (ns), None if there is none."""
    try:
        return os.stat(name, dir_fd=folder_file, follow_symlinks=False).st_mtime_ns
    except FileNotFoundError:
        return None


def _tell_sshd(paths: Paths, settings: Iterable[str]) -> list[str]:
    """Write the drop-in if sshd takes it; it is taken away again if sshd does not answer afterwards."""
    if not sshd_text.includes_drop_ins(sshd_candidate.main_text(paths)):
        return ["this sshd_config includes no drop-ins, so what it allows stays allowed"]
    place = closed.drop_in(paths)
    text = _HEAD + "".join(f"    {line}\n" for line in settings)
    before = sshd.effective(paths.sshd_config, "root")
    if place.exists() and place.read_text() == text:
        return []
    write(paths.unread, "")  # a kill from here on: the next run has sshd read it
    write(place, text)
    if fault := sshd.fault(paths.sshd_config):
        place.unlink()
        paths.unread.unlink()
        return [f"sshd refuses to close other ways: {fault}"]
    if not sshd.reload(before):
        place.unlink()
        sshd.start_again(before)
        return ["sshd did not answer after other ways were closed, so they are open again"]
    paths.unread.unlink()
    return []
