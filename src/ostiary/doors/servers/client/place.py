"""Where the client keeps what: nothing that lets anybody in, but the device's key, which alone lets nobody in.

~/.config/ostiary/client.json       which control plane, who signed in last      (XDG_CONFIG_HOME)
~/.config/ostiary/device.key        the device's key, 0600
~/.config/ostiary/servers           names of servers, so that refusals have words without a sign-in
$XDG_RUNTIME_DIR/ostiary/           0700: sockets of the resident agent, known_hosts; else /tmp/ostiary-UID
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ostiary.errors import Conflict, UsageError

TALK, AGENT, KNOWN_HOSTS = "talk.sock", "agent.sock", "known_hosts"
OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class Profile:
    """Which control plane. ``ca`` is a file, "" for the system's authorities; ``login`` the name on servers."""

    control: str = ""
    ca: str = ""
    login: str = ""
    person: str = ""


def config_folder(environ: Mapping[str, str] | None = None) -> Path:
    environ = os.environ if environ is None else environ
    above = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or Path.home(), ".config")
    return Path(above, "ostiary")


def run_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where the resident agent's sockets are, whether or not it runs."""
    environ = os.environ if environ is None else environ
    if above := environ.get("XDG_RUNTIME_DIR"):
        return Path(above, "ostiary")
    return Path("/tmp", f"ostiary-{os.getuid()}")  # noqa: S108 - made 0700, and refused unless it is ours


def private_folder(folder: Path) -> Path:
    """Make ``folder`` if need be. Conflict unless it is a folder (no link) of ours that nobody else may enter."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    why = ""
    if not stat.S_ISDIR(found.st_mode):
        why = "it is no folder"
    elif found.st_uid != os.getuid():
        why = f"it belongs to user {found.st_uid}"
    elif found.st_mode & OTHERS:
        why = f"others may enter it (mode {stat.S_IMODE(found.st_mode):04o})"
    if why:
        raise Conflict(
            f"cannot use {folder} for sockets", why=why, fix="remove it, or set XDG_RUNTIME_DIR"
        )
    return folder


def read_profile(environ: Mapping[str, str] | None = None) -> Profile:
    """From ``OSTIARY_CONTROL`` and ``OSTIARY_CONTROL_CA``, else as ``ostiary login`` left it; empty where nothing is."""
    environ = os.environ if environ is None else environ
    saved = _saved(config_folder(environ) / "client.json")
    control = environ.get("OSTIARY_CONTROL", "").rstrip("/")
    if control and control != saved.control:
        saved = Profile(control)
    return Profile(
        saved.control, environ.get("OSTIARY_CONTROL_CA") or saved.ca, saved.login, saved.person
    )


def write_profile(profile: Profile, environ: Mapping[str, str] | None = None) -> None:
    write_private(
        config_folder(environ) / "client.json", json.dumps(asdict(profile), indent=2) + "\n"
    )


def write_private(file: Path, text: str) -> None:
    """Write a file of mode 0600, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        beside.replace(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _saved(file: Path) -> Profile:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Profile()
    try:
        value = json.loads(text)
        return Profile(**{name: str(one) for name, one in value.items()})
    except (ValueError, TypeError, AttributeError) as wrong:
        raise UsageError(
            f"cannot read {file}",
            why=f"it is not what ostiary login wrote: {wrong}",
            fix=f"run: rm {file} && ostiary login",
        ) from wrong
