"""The last good state: what the control plane said last that could be believed.

It survives anything: what is no message, older, or takes away too many at once changes nothing here, and what cannot be
trusted on the disk is put aside. G1, G2, G5 of the promises.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from ostiary.doors.servers.agent import trust
from ostiary.doors.servers.agent.files import HostError, write
from ostiary.doors.servers.wire.host import HostState
from ostiary.doors.servers.wire.message import InvalidMessage, decode, encode

MANY, MANY_SHARE = 10, 0.2  # users that may go at once: the greater of both
SECOND_READING = 60.0  # seconds until more may go, if it is said again
FUTURE = 86_400.0  # seconds that a file may be ahead of the clock


def read(path: Path) -> HostState | None:
    """The state that was kept, None if there is none; one that cannot be trusted is put aside and counts as none."""
    try:
        return _trusted(path)
    except FileNotFoundError:
        return None
    except InvalidMessage:
        with contextlib.suppress(OSError):
            path.replace(path.with_name(f"{path.name}.bad-{int(time.time())}"))
        return None
    except OSError as error:
        raise HostError(f"cannot read {path}: {error.strerror}") from error


def _trusted(path: Path) -> HostState:
    there = path.lstat()
    if there.st_uid != os.geteuid() or there.st_mode & 0o022:
        raise InvalidMessage("others may write it")
    if there.st_mtime > time.time() + FUTURE:
        raise InvalidMessage("it is from the future")
    digest, _, body = path.read_bytes().partition(b"\n")
    if digest.decode("ascii", "replace") != hashlib.sha256(body).hexdigest():
        raise InvalidMessage("it is not what was written")
    return decode(HostState, body)


def keep(path: Path, state: HostState) -> None:
    """HostError if it cannot be written; the one before is there then."""
    body = encode(state).decode()
    write(path, f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}", 0o600)
    path.with_name("pending.json").unlink(missing_ok=True)


def believe(
    path: Path,
    server_id: str,
    body: bytes,
    owned: Iterable[str],
    now: float,
    *,
    accept_older: bool = False,
) -> HostState:
    """The state in ``body``, if it may be applied. ``owned`` are the users that we made and did not close.

    HostError says why not; then everything stays as it is, and the same is asked for again.
    """
    try:
        state = decode(HostState, body)
    except InvalidMessage as error:
        raise HostError(f"what the control plane sent is no state: {error}") from error
    if state.server_id != server_id:
        raise HostError(f"the control plane sent the state of {state.server_id[:40]!r}")
    last = read(path)
    if last is not None and state.generation < last.generation and not accept_older:
        raise HostError(
            f"the control plane sent generation {state.generation}, older than {last.generation}",
            fix="if it was restored from a backup, run: ostiary agent once --accept-older",
        )
    if last is not None and last.break_glass and not state.break_glass:
        raise HostError("the control plane sent no break-glass authority, and there was one")
    for one in (*state.authorities, *state.break_glass):
        trust.key(one)
    users = set(owned) | {user.login for user in (last.users if last else ())}
    going = sorted(users - {user.login for user in state.users})
    _wait_for_second(path.with_name("pending.json"), going, len(users), now)
    return state


def _wait_for_second(pending: Path, going: list[str], of: int, now: float) -> None:
    """HostError where more are going than may at once, but for those of whom it was said a minute ago."""
    most = max(MANY, int(of * MANY_SHARE))
    if len(going) <= most:
        return
    before = _said(pending, now)
    since = {login: before.get(login, now) for login in going}
    fresh = [login for login in going if now - since[login] < SECOND_READING]
    if len(fresh) <= most:
        return
    if since != before:
        write(pending, json.dumps({"since": since}), 0o600)
    raise HostError(
        f"{len(fresh)} of {of} users would go at once; done only if the control plane says so again after"
        f" {SECOND_READING:.0f} s"
    )


def _said(pending: Path, now: float) -> dict[str, float]:
    """Who was going already, and since when; what cannot be read, or cannot be, was not said."""
    try:
        said = json.loads(pending.read_bytes())["since"].items()
        return {login: at for login, at in said if 0 <= now - at <= FUTURE}
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ):
        return {}
