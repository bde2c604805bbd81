"""What ``ssh`` is told: a block of its configuration, kept in a file of ours that its own includes.

Source: ``ssh_config(5)``. The block speaks for hosts of the last list of servers, and those that ``resolve.py`` knows; every
other host stays as it was. Names with a quote or a backslash never come near the shell that ``Match exec`` starts
(CVE-2023-51385, CVE-2025-61984), nor do those with a dot, which are never ours.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ostiary.doors.servers.client import place
from ostiary.errors import Conflict, OstiaryError, UsageError

BEGIN = "# >>> ostiary ssh-config >>>"
END = "# <<< ostiary ssh-config <<<"
OLDEST = (8, 9)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_OURS = re.compile(r'(Include ".*/ostiary/ssh_config")?')
HERE = Path(__file__).resolve().parent
QUOTED = "*'*,*\\\\*"  # a pattern list: names with a quote or a backslash


def block(login: str = "", *, python: str = sys.executable) -> str:
    """The lines for ``ssh``. ``login`` is the person's name on servers; "" leaves the local one.

    UsageError where a path has letters that do not survive quoting.
    """
    folder, names = place.run_folder(), place.config_folder() / "servers"
    listed = f"grep -sqxFe '%h' {_word(names)}"  # a tenth of the time of Python, which is asked about others
    ours = f"{listed} || {_exec(python, HERE / 'resolve.py', folder, '--', '%h')}"
    lines = [f'Match !host "{QUOTED},*.*" !user "{QUOTED}" exec "{ours}"']
    lines += [f"  {name} {value}" for name, value in settings(login, python=python).items()]
    return "\n".join(lines) + "\n"


def settings(login: str = "", *, python: str = sys.executable) -> Mapping[str, str]:
    """What holds for a server of ours. ``ControlMaster`` stays off: a certificate opens one connection, once.

    ``ssh`` takes the first value that it reads, so whatever a person's own lines say of every host, or of a server of
    the time before us, must not get in between: an address (``HostName``), keys in files only (``IdentitiesOnly``).
    """
    folder = place.run_folder()
    return {
        **({"User": _login(login)} if login else {}),
        "HostName": "%h",
        "ProxyCommand": _exec(python, HERE / "proxy.py", folder, "--", "%h", "%r"),
        "ProxyUseFdpass": "yes",
        "IdentityAgent": f'"{_plain(folder / place.AGENT)}"',
        "IdentityFile": "none",
        "IdentitiesOnly": "no",
        "PubkeyAuthentication": "yes",
        "PreferredAuthentications": "publickey",
        "UserKnownHostsFile": f'"{_plain(folder / place.KNOWN_HOSTS)}"',
        "GlobalKnownHostsFile": "/dev/null",
        "KnownHostsCommand": "none",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "ControlMaster": "no",
        "ControlPath": "none",
    }


def check_ssh() -> None:
    """UsageError unless ``ssh`` is of OpenSSH 8.9 or later, which tells the agent where it is (session-bind)."""
    try:
        said = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr  # noqa: S607 - the ssh that the person types
    except OSError as error:
        raise UsageError("cannot find ssh", fix="install the OpenSSH client") from error
    found = re.match(r"OpenSSH_(?:for_Windows_)?(\d+)\.(\d+)", said)
    if found is None or tuple(map(int, found.groups())) < OLDEST:
        raise UsageError(
            "cannot use this ssh",
            why=f"it is {said.strip()[:60]!r}; OpenSSH 8.9 or later tells the agent which host it speaks with",
            fix="install OpenSSH 8.9 or later",
        )


def installed() -> bool:
    """Whether our file is in use."""
    return _file().exists()


def _file() -> Path:
    return place.config_folder() / "ssh_config"


def install(home: Path, login: str) -> list[Path]:
    """Write our file and make ``~/.ssh/config`` include it first; the files that changed. Twice is as once."""
    theirs = home / ".ssh" / "config"
    before = _read(theirs)
    wanted = f'{BEGIN}\nInclude "{_included(_file())}"\n{END}\n' + _without(before, theirs)
    changed = _write_ours(login)
    if wanted != before:
        _replace(theirs, wanted)
        changed.append(theirs)
    return changed


def remove(home: Path) -> list[Path]:
    """Take both out again; the files that changed."""
    ours, theirs = _file(), home / ".ssh" / "config"
    changed = []
    before = _read(theirs)
    if (left := _without(before, theirs)) != before:
        _replace(theirs, left)
        changed.append(theirs)
    if ours.exists():
        try:
            ours.unlink()
        except OSError as error:
            raise _failed(ours, error) from error
        changed.append(ours)
    return changed


def refresh(login: str) -> None:
    """Write our file anew after a sign-in, where it is in use. What a person includes is left as it is."""
    if installed():
        _write_ours(login)


def _write_ours(login: str) -> list[Path]:
    """Our file, if that changes it."""
    ours = _file()
    text = "# Written by ostiary ssh-config; what is changed here is lost.\n" + block(login)
    if _read(ours) == text:
        return []
    try:
        place.write_private(ours, text)
    except OSError as error:
        raise _failed(ours, error) from error
    return [ours]


def _exec(*words: object) -> str:
    """A command for the shell that ``ssh`` starts; ``%h`` and ``%r`` stay tokens of ``ssh``."""
    program, *more = words
    return " ".join([f"'{_plain(program)}' -I -S", *(_word(one) for one in more)])


def _login(text: str) -> str:
    """A name of the control plane's choice, which is one word here and in a shell. UsageError for anything else."""
    if not _NAME.fullmatch(text):
        raise UsageError(
            f"cannot write the login {text!r} into the configuration of ssh",
            why="it is no name that an account can have",
            fix="ask who runs the control plane",
        )
    return text


def _word(one: object) -> str:
    return str(one) if one == "--" else f"'{one if one in ('%h', '%r') else _plain(one)}'"


def _plain(path: object) -> str:
    """A path inside quotes, for ``ssh`` and for a shell."""
    text = str(path)
    if set(text) & set("'\"\\\n$`"):
        raise UsageError(
            f"cannot write {text!r} into the configuration of ssh",
            why="a quote, backslash, dollar or line end in a path does not survive it",
            fix="set XDG_CONFIG_HOME and XDG_RUNTIME_DIR to plain paths",
        )
    return text.replace("%", "%%")


def _included(file: Path) -> str:
    """The same for ``Include``, which takes its path for a pattern; to OpenSSH 9.2 ``%%`` is two percent signs there."""
    text = _plain(file)
    if set(text) & set("%*?[]"):
        raise UsageError(
            f"cannot include {text!r} in the configuration of ssh",
            why="it would take a percent sign, star, question mark or bracket in a path for a pattern",
            fix="set XDG_CONFIG_HOME to a plain path",
        )
    return text


def _read(file: Path) -> str:
    """Letter by letter as it is there, ends of lines too; "" for none."""
    try:
        with file.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise _failed(file, error) from error


def _without(text: str, file: Path) -> str:
    """``text`` without our lines. Conflict where only one of the two marks is there, or others' lines between them."""
    lines = text.splitlines(keepends=True)
    marks = [number for number, line in enumerate(lines) if line.rstrip() in (BEGIN, END)]
    if not marks:
        return text
    found = [lines[number].rstrip() for number in marks]
    if found != [BEGIN, END]:
        raise Conflict(
            f"cannot change {file}",
            why="the marks around the lines of ostiary are not a pair",
            fix=f"remove what stands from '{BEGIN}' to '{END}' there",
        )
    if any(_OURS.fullmatch(line.strip()) is None for line in lines[marks[0] + 1 : marks[1]]):
        raise Conflict(
            f"cannot change {file}",
            why="somebody wrote lines of their own between the marks around those of ostiary",
            fix=f"move them below '{END}' there",
        )
    return "".join(lines[: marks[0]] + lines[marks[1] + 1 :])


def _replace(file: Path, text: str) -> None:
    """Write a file of the person's whole or not at all; through a link, with the mode that it has."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = file.resolve()
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            beside.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
            beside.chmod(mode)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise _failed(file, error) from error


def _failed(file: Path, error: OSError) -> OstiaryError:
    return OstiaryError(
        f"cannot change {file}",
        why=str(error.strerror).lower(),
        fix="see that you may write there, or put there by hand what this prints: ostiary ssh-config",
    )
