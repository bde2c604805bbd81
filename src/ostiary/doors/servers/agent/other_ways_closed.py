"""What was closed of other ways in: written down before it is done, so that it can be undone exactly, also after a kill."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from ostiary.doors.servers.agent import other_ways_keys as keys
from ostiary.doors.servers.agent import sshd
from ostiary.doors.servers.agent.accounts_lookup import Lookup
from ostiary.doors.servers.agent.files import HostError, Paths, folder, write

ASIDE = ".closed-by-ostiary"


def drop_in(paths: Paths) -> Path:
    """After the agent's own, before everybody else's: of a keyword the first value counts."""
    return paths.drop_in.with_name("01-ostiary-other-ways.conf")


def _seen(paths: Paths) -> dict[str, list[str]]:
    """What was closed, as the host shows it: the list of it may be lost with all that the agent keeps."""
    settings: list[str] = []
    with contextlib.suppress(FileNotFoundError):
        lines = drop_in(paths).read_text("utf-8", "replace").splitlines()
        settings = [line.strip() for line in lines if line.startswith(" ")]
    patterns = sshd.effective(paths.sshd_config, "root").get("authorizedkeysfile", ())
    files: dict[str, None] = {}
    for user in Lookup.now().users.values():
        for place in keys.places(" ".join(patterns).split(), user):
            with contextlib.suppress(OSError):
                place.with_name(f"{place.name}{ASIDE}").lstat()
                files[str(place)] = None
    return {"files": list(files), "settings": settings}


def _place(paths: Paths) -> Path:
    return paths.var / "closed-ways.json"


def journal(paths: Paths) -> dict[str, list[str]]:
    """``files`` of keys that were put aside, by their own names, and ``settings`` that sshd was told. HostError if it can be
    neither read nor seen.
    """
    place = _place(paths)
    try:
        kept = json.loads(place.read_bytes())
        return {name: [str(one) for one in kept[name]] for name in ("files", "settings")}
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # lost, or cut
        return _seen(paths)
    except OSError as error:
        raise HostError(
            f"cannot read {place}, which says what was closed", why=str(error)
        ) from error


def keep(paths: Paths, done: dict[str, list[str]]) -> None:
    if not paths.var.exists():
        folder(paths.var, 0o700)
    write(_place(paths), json.dumps(done), 0o600)
