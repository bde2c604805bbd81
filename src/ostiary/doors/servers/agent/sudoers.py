"""Sudo rules of LocalUsers: one file per UID, built from the parsed model, checked by visudo before it counts.

sudo ignores files whose name has a dot, and a name would be somebody's text: so it is the number. Source: sudoers(5).
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable
from pathlib import Path

from ostiary.doors.servers.agent import names
from ostiary.doors.servers.agent.files import HostError, folder, swept, write
from ostiary.doors.servers.agent.run import attempt
from ostiary.doors.servers.wire.host import HostUser, SudoRule

PLACE = Path("/etc/sudoers.d")
PREFIX = "ostiary-"
_COMMAND = re.compile(r"(/[A-Za-z0-9._+-]+)+( [A-Za-z0-9._+@%/-]+)*")


def apply(users: Iterable[HostUser], place: Path = PLACE) -> tuple[str, ...]:
    """Make the files of ``users`` and remove everybody else's; the problems.

    Rules that cannot be written, or that visudo does not take, leave a user without any: never with those of before.
    """
    problems = []
    wanted = {f"{PREFIX}{user.uid}": user for user in users if user.sudo}
    try:
        folder(place, 0o750 if not place.exists() else stat.S_IMODE(place.stat().st_mode))
        swept(place)
    except (HostError, OSError) as error:
        return (f"sudo rules: {error}",)
    for name, user in wanted.items():
        try:
            text = render(user)
            check(text)
            write(place / name, text, 0o440)
        except HostError as error:
            problems.append(f"sudo rules of {user.login}: {error}")
            problems += _without(place / name)
    if wanted and not _is_read(place):
        problems.append(
            f"sudo rules: {place.parent / 'sudoers'} does not include {place}, so none of them counts"
        )
    for one in _files(place):
        if one.name not in wanted:
            problems += _without(one)
    return tuple(problems)


def narrow(users: Iterable[HostUser], place: Path = PLACE) -> tuple[str, ...]:
    """Take away every rule that is not its user's any more; the problems. What is new is given later.

    This needs no room: a file that cannot be written with fewer rules is removed.
    """
    problems = []
    wanted = {f"{PREFIX}{user.uid}": user for user in users if user.sudo}
    for path in _files(place):
        user = wanted.get(path.name)
        if user is None:
            problems += _without(path)
            continue
        try:
            _narrow(path, user)
        except (HostError, OSError) as error:
            problems.append(f"sudo rules of {user.login}: {error}")
            problems += _without(path)
    return tuple(problems)


def _narrow(path: Path, user: HostUser) -> None:
    """HostError where what is left of the rules cannot be written, or visudo does not take it."""
    try:
        lines = render(user).splitlines()
    except HostError:  # told by apply
        lines = []
    there = [one for one in path.read_text("utf-8", "replace").splitlines() if _is_rule(one)]
    kept = [one for one in lines if one in there]  # in the new order: of several the last counts
    if not kept:
        path.unlink()
    elif kept != there:
        text = "".join(f"{one}\n" for one in lines if one in kept or not _is_rule(one))
        check(text)
        write(path, text, 0o440)


def _is_rule(line: str) -> bool:
    return not line.startswith("# ")


def _files(place: Path) -> list[Path]:
    """Ours in the folder: any other is somebody's."""
    return [one for one in sorted(place.glob(f"{PREFIX}*")) if one.name[len(PREFIX) :].isdigit()]


def _is_read(place: Path) -> bool:
    """Whether the main file includes the folder; where it cannot be read, sudo says so itself."""
    try:
        text = (place.parent / "sudoers").read_text("utf-8", "replace")
    except OSError:
        return True
    return bool(
        re.search(rf"^[#@]includedir[ \t]+\"?{re.escape(str(place))}/?\"?\s*$", text, re.MULTILINE)
    )


def render(user: HostUser) -> str:
    """The file of one user. HostError names what of his rules has no place in it."""
    if fault := names.name_fault(user.login) or names.number_fault(user.uid):
        raise HostError(fault)
    lines = [f"# made by ostiary for {user.login}; changes here are undone"]
    for rule in user.sudo:
        shown = re.sub(r"[^a-z0-9_-]", "?", rule.name)
        lines += [f"# {shown}", *(_line(user.uid, rule, command) for command in rule.commands)]
    return "\n".join(lines) + "\n"


def _line(uid: int, rule: SudoRule, command: str) -> str:
    if not names.is_name(rule.run_as):
        raise HostError(f"{rule.run_as[:40]!r} is no user to run as")
    if command != "ALL":
        command = _plain(command)
    elif rule.commands != ("ALL",):
        raise HostError("ALL stands beside other commands")
    tags = ("NOPASSWD:" if rule.nopasswd else "PASSWD:") + ("NOEXEC:" if rule.noexec else "")
    return f"#{uid} ALL=({rule.run_as}) {tags} {command}"


def _plain(command: str) -> str:
    path, blank, _ = command.partition(" ")
    parts = path.split("/")
    if not _COMMAND.fullmatch(command) or ".." in parts or "." in parts or parts[-1] == "sudoedit":
        raise HostError(f"{command[:60]!r} is not an absolute path with plain arguments")
    return command if blank else f'{command} ""'  # without it sudo allows any arguments


def check(text: str) -> None:
    """HostError unless visudo(8) takes it."""
    code, out, complaint = attempt("visudo", "-c", "-q", "-f", "-", stdin=text.encode())
    if code:
        said = complaint or out.decode("utf-8", "replace").strip()
        raise HostError(f"visudo refuses them: {said or code}")


def _without(path: Path) -> list[str]:
    try:
        path.unlink()
    except FileNotFoundError:
        return []
    except OSError as error:
        return [f"cannot remove {path}: {error.strerror}"]
    return []
