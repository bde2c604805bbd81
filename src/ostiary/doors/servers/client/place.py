"""Where the client keeps what: nothing that lets anybody in, but the device's key, which alone lets nobody in.

~/.config/ostiary/client.json       which control plane, who signed in last      (XDG_CONFIG_HOME)
~/.config/ostiary/device.key        the device's key, 0600
~/.config/ostiary/servers           names of servers, so that refusals have words without a sign-in
$XDG_RUNTIME_DIR/ostiary/           0700: sockets of the resident agent, known_hosts; else /tmp/ostiary-UID
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pwd
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ostiary.errors import Conflict, OstiaryError, UsageError

TALK, AGENT, KNOWN_HOSTS = "talk.sock", "agent.sock", "known_hosts"
OTHERS = stat.S_IRWXG | stat.S_IRWXO
LONGEST = 107  # bytes of a socket's path, unix(7)


@dataclass(frozen=True, slots=True)
class Profile:
    """Which control plane. ``ca`` is a file, "" for the system's authorities; ``login`` the name on servers."""

    control: str = ""
    ca: str = ""
    login: str = ""
    person: str = ""


def home(environ: Mapping[str, str] | None = None) -> Path:
    """HOME, else the one of the list of users. UsageError for a user who has none."""
    environ = os.environ if environ is None else environ
    if found := _absolute(environ, "HOME"):
        return found
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise UsageError(
            "cannot tell where your home is",
            why=f"HOME names no folder, and no user has the number {os.getuid()}",
            fix="export HOME=FOLDER",
        ) from None


def config_folder(environ: Mapping[str, str] | None = None) -> Path:
    environ = os.environ if environ is None else environ
    above = _absolute(environ, "XDG_CONFIG_HOME") or home(environ) / ".config"
    return above / "ostiary"


def run_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where the resident agent's sockets are, whether or not it runs."""
    environ = os.environ if environ is None else environ
    if above := _absolute(environ, "XDG_RUNTIME_DIR"):
        return above / "ostiary"
    return Path("/tmp", f"ostiary-{os.getuid()}")  # noqa: S108 - made 0700, and refused unless it is ours


def _absolute(environ: Mapping[str, str], name: str) -> Path | None:
    """A folder that a variable names; a relative one is as none (XDG Base Directory Specification)."""
    value = environ.get(name, "")
    return Path(value) if value.startswith("/") else None


def private_folder(folder: Path) -> Path:
    """Make ``folder`` if need be. Conflict unless it is a folder (no link) of ours that nobody else may enter."""
    why = ""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
    except OSError as error:
        why = str(error.strerror).lower()
    else:
        if not stat.S_ISDIR(found.st_mode):
            why = "it is no folder"
        elif found.st_uid != os.getuid():
            why = f"it belongs to user {found.st_uid}"
        elif found.st_mode & OTHERS:
            why = f"others may enter it (mode {stat.S_IMODE(found.st_mode):04o})"
        elif len(os.fsencode(folder / AGENT)) > LONGEST:
            why = f"its path is too long for a socket, which has {LONGEST} bytes"
    if why:
        raise Conflict(
            f"cannot use {folder} for sockets", why=why, fix="remove it, or set XDG_RUNTIME_DIR"
        )
    return folder


def check_writable(folder: Path) -> None:
    """Make ``folder`` if need be. OstiaryError where nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise unwritable(folder, error) from error


def unwritable(file: Path, error: OSError) -> OstiaryError:
    return OstiaryError(
        f"cannot write {file}",
        why=str(error.strerror).lower(),
        fix="see that there is room and that you may write there, or set XDG_CONFIG_HOME and XDG_RUNTIME_DIR",
    )


def read_profile(environ: Mapping[str, str] | None = None) -> Profile:
    """From ``OSTIARY_CONTROL`` and ``OSTIARY_CONTROL_CA``, else as ``ostiary login`` left it; empty where nothing is."""
    environ = os.environ if environ is None else environ
    saved = last_profile(environ)
    control = environ.get("OSTIARY_CONTROL", "").rstrip("/")
    if control and control != saved.control:
        saved = Profile(control)
    return Profile(
        saved.control, environ.get("OSTIARY_CONTROL_CA") or saved.ca, saved.login, saved.person
    )


def last_profile(environ: Mapping[str, str] | None = None) -> Profile:
    """As ``ostiary login`` left it, whatever the environment names."""
    return _saved(config_folder(environ) / "client.json")


def write_profile(profile: Profile, environ: Mapping[str, str] | None = None) -> None:
    file = config_folder(environ) / "client.json"
    try:
        write_private(file, json.dumps(asdict(profile), indent=2) + "\n")
    except OSError as error:
        raise unwritable(file, error) from error


def write_private(file: Path, text: str) -> None:
    """Write a file of mode 0600, whole or not at all. OSError when it cannot be.

    A path in ``text`` is written with the bytes that it has, also where the locale does not know them.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(text)
        beside.replace(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _saved(file: Path) -> Profile:
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        return Profile()
    except OSError as error:
        raise UsageError(
            f"cannot read {file}",
            why=str(error.strerror).lower(),
            fix="see what is there; another place: set XDG_CONFIG_HOME",
        ) from error
    try:
        value = json.loads(text)
        return Profile(**{name: str(one) for name, one in value.items()})
    except (ValueError, TypeError, AttributeError, RecursionError) as wrong:
        raise UsageError(
            f"cannot read {file}",
            why=f"it is not what ostiary login wrote: {wrong}",
            fix=f"run: rm {file} && ostiary login",
        ) from wrong
