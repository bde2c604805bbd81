"""Begin and end a sign-in of this machine: a session at the control plane, and the resident agent that holds it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from ostiary.doors.servers.client import place, ssh_config, talk
from ostiary.doors.servers.client.control_api import Control
from ostiary.doors.servers.client.device import this_device
from ostiary.doors.servers.client.issuer import Tokens
from ostiary.doors.servers.client.place import Profile
from ostiary.doors.servers.wire.message import encode
from ostiary.doors.servers.wire.person import MachineSignIn, Session
from ostiary.errors import Denied, OstiaryError

SECONDS = 20.0  # for the resident agent to be there, or to be gone
LONGEST = 31 * 86_400.0  # that a session lasts; the control plane's own are of hours
KEPT = ("HOME", "PATH", "LANG", "LC_ALL", "TZ", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")
KEPT_TLS = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def check_places() -> None:
    """Raise, before anybody is asked to sign in, where what they get could not be kept."""
    place.private_folder(place.run_folder())
    place.check_writable(place.config_folder())


def person(control: Control, tokens: Tokens) -> Session:
    """A session for who signed in at the org, bound to this device."""
    device = this_device(place.config_folder() / "device.key")
    asked = device.sign_in(control.url, tokens.id_token, tokens.refresh_token)
    return control.call("POST", "/v1/sign-in", asked, Session)


def machine(control: Control, name: str, kind: str, proof: str) -> Session:
    """A session for a machine by its proof; no device, because the proof is anew each time."""
    asked = MachineSignIn(name, kind, proof)
    return control.call("POST", "/v1/machines/sign-in", asked, Session)


def hold(profile: Profile, session: Session) -> None:
    """Start a resident agent that holds ``session``, instead of the one before; it stays when this process ends.

    Denied for a session whose end is no moment that a person could wait for.
    """
    if not session.expires - time.time() < LONGEST:
        raise Denied(
            "refuse the session",
            why=f"{profile.control} says that it ends in more than a month",
            fix="ask who runs the control plane",
            code="endless-session",
        )
    folder = place.private_folder(place.run_folder())
    leave(folder)
    place.write_profile(profile)
    held = {
        "control": profile.control,
        "ca": str(Path(profile.ca).absolute()) if profile.ca else "",
        "session": encode(session).decode(),
    }
    environ = {name: os.environ[name] for name in (*KEPT, *KEPT_TLS) if name in os.environ}
    started = subprocess.Popen(
        [sys.executable, "-P", "-m", "ostiary.doors.servers.client.resident"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ,
        text=True,
        start_new_session=True,
    )
    assert started.stdin and started.stdout and started.stderr  # noqa: PT018 - as asked for above
    with started.stdin, started.stdout, started.stderr:
        started.stdin.write(json.dumps(held) + "\n")
        started.stdin.flush()
        if (said := started.stdout.readline()) != "ready\n":
            raise _failed(said or started.stderr.read())
    ssh_config.refresh(session.login)


def _failed(said: str) -> OstiaryError:
    """What the resident agent says instead of ``ready``: an error as JSON, or the last line of a traceback."""
    try:
        told = json.loads(said)
        return OstiaryError(told["error"], why=told["why"], fix=told["fix"], code=told["code"])
    except (ValueError, KeyError, TypeError):
        why = said.strip().rpartition("\n")[2]
        return OstiaryError("cannot start the resident agent", why=why, fix="run: ostiary login")


def leave(folder: Path) -> bool:
    """Tell a resident agent to go, and wait until it has; whether there was one."""
    try:
        talk.ask(folder, "end")
    except OstiaryError:
        return False
    ends = time.monotonic() + SECONDS
    while (folder / place.TALK).exists() and time.monotonic() < ends:
        time.sleep(0.01)
    return True


def sign_out(control: Control) -> bool:
    """End the session at the control plane and here; whether anybody was signed in.

    The resident agent goes even where the control plane cannot be told; that is raised afterwards.
    """
    folder = place.run_folder()
    with contextlib.ExitStack() as afterwards:
        try:
            talk.ask(folder, "who")
        except OstiaryError:
            return False
        afterwards.callback(leave, folder)
        control.call("POST", "/v1/sign-out")
    return True


def who() -> dict[str, object] | None:
    """Whoever is signed in here: person, login, expires, device, control; None for nobody."""
    try:
        return dict(talk.ask(place.run_folder(), "who"))
    except OstiaryError:
        return None


def profile_of(profile: Profile, session: Session) -> Profile:
    return Profile(**{**asdict(profile), "login": session.login, "person": session.person})
