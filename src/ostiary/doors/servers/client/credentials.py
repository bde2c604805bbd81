"""What calls to the control plane are authorized by: the session of the resident agent, or a machine's in a file.

``OSTIARY_CONTROL_TOKEN_FILE`` names such a file; its content is read at each call, so that it can be renewed. A person's
session never leaves the resident agent: that authorizes one request at a time (``wire/session_proof.py``).
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from ostiary.doors.servers.client import place, talk
from ostiary.doors.servers.client.control_api import Authorize, Control
from ostiary.doors.servers.wire.person import Session
from ostiary.doors.servers.wire.session_proof import HEADER, mac
from ostiary.errors import Denied, UsageError

MOST_BYTES = 4096
GIVEN = "OSTIARY_CONTROL_TOKEN_FILE"
FIX = f"name a file that holds a machine's session token, or run: unset {GIVEN}"


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


def source(environ: Mapping[str, str]) -> Authorize:
    """What authorizes each call; Denied then where it cannot."""
    if file := environ.get(GIVEN):
        return lambda _method, _path, _body: _bearing(_from_file(Path(file)))
    folder, control = place.run_folder(environ), place.read_profile(environ).control
    return lambda method, path, body: _by_resident(folder, control, method, path, body)


def of_session(session: Session) -> Authorize:
    """By whoever has the whole session: the resident agent, or who has just begun it."""
    return lambda method, path, body: authorized(session, method, path, _digest(body))


def authorized(session: Session, method: str, path: str, digest: str) -> dict[str, str]:
    """The headers of one request, whose body has this SHA-256 in hex. A machine's session has a token and no more."""
    headers = _bearing(session.token)
    if session.proof_key:
        stamp = f"{int(time.time())} {secrets.token_hex(16)} {digest}"
        headers[HEADER] = f"{stamp} {mac(session.proof_key, method, path, stamp)}"
    return headers


def _by_resident(
    folder: Path, control: str, method: str, path: str, body: bytes
) -> Mapping[str, str]:
    """For the control plane that the session is of and no other: whoever sets a URL must not get it."""
    asked = {"control": control, "method": method, "path": path, "digest": _digest(body)}
    headers = talk.ask(folder, "authorize", **asked)["headers"]
    return {str(name): str(value) for name, value in headers.items()}


def _bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _from_file(file: Path) -> str:
    try:
        with file.open(encoding="ascii") as stream:
            token = stream.read(MOST_BYTES).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Denied(
            f"cannot read the session token in {file}",
            why=str(getattr(error, "strerror", None) or error).lower(),
            fix=FIX,
            code="not-signed-in",
        ) from error
    if not token or any(one.isspace() for one in token):
        raise Denied(
            f"cannot use {file} as session token",
            why="it does not hold one word",
            fix=FIX,
            code="not-signed-in",
        )
    return token
