"""Where the session token of a call comes from: the resident agent, or a file that a machine was given.

``OSTIARY_CONTROL_TOKEN_FILE`` names such a file; its content is read at each call, so that it can be renewed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from ostiary.doors.servers.client import place, talk
from ostiary.doors.servers.client.control_api import Control
from ostiary.errors import Denied, UsageError

MOST_BYTES = 4096
GIVEN = "OSTIARY_CONTROL_TOKEN_FILE"


def signed_in(environ: Mapping[str, str] | None = None) -> Control:
    """The control plane that this person, or machine, signed in to; ready for calls."""
    environ = os.environ if environ is None else environ
    profile = place.read_profile(environ)
    if not profile.control:
        raise UsageError(
            "cannot tell which control plane",
            why="no OSTIARY_CONTROL is set and nobody signed in here",
            fix="run: ostiary login --control URL",
        )
    return Control(profile.control, profile.ca, source(environ))


def source(environ: Mapping[str, str]) -> Callable[[], str]:
    """What gives the token, each time that it is called."""
    if file := environ.get(GIVEN):
        return lambda: _from_file(Path(file))
    folder, control = place.run_folder(environ), place.read_profile(environ).control
    return lambda: _from_resident(folder, control)


def _from_resident(folder: Path, control: str) -> str:
    """The token, for the control plane that it is of and no other: whoever sets a URL must not get it."""
    held = talk.ask(folder, "bearer")
    if held["control"] != control:
        raise Denied(
            f"nobody is signed in at {control}",
            why=f"the sign-in here is at {held['control']}",
            fix=f"run: ostiary login --control {control}",
            code="not-signed-in",
        )
    return str(held["token"])


def _from_file(file: Path) -> str:
    try:
        with file.open(encoding="ascii") as stream:
            token = stream.read(MOST_BYTES).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Denied(
            f"cannot read the session token in {file}",
            why=str(getattr(error, "strerror", None) or error).lower(),
            fix=f"see {GIVEN}",
            code="not-signed-in",
        ) from error
    if not token or any(one.isspace() for one in token):
        raise Denied(
            f"cannot use {file} as session token",
            why="it does not hold one word",
            fix=f"see {GIVEN}",
            code="not-signed-in",
        )
    return token
