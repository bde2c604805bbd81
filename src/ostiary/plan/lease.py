"""One apply per estate: a lease in the run store, renewed while it is held, taken over when it ran out.

The holder's own deadline is kept on the monotonic clock, counted from before the write that made it, so it
passes for a stopped process too; ``check`` is called before every mutation. Others go by the wall clock in the
object and wait ``SKEW`` longer. What remains: IAM and Okta know no fencing token, so a mutation that was already sent
when its sender was stopped may land after a takeover; at most those in flight.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ostiary.errors import LeaseHeld, OstiaryError
from ostiary.plan.runs import RunStore, Stored

TTL = 60.0  # seconds
SKEW = 5.0  # seconds by which the clocks of two machines may differ


@dataclass(frozen=True, slots=True)
class Whoami:
    """Who works: named to whoever finds the lease held, and in the list of runs."""

    user: str
    host: str
    pid: int
    place: str  # boot and process namespace; equal only where pids mean the same thing

    @classmethod
    def here(cls) -> Whoami:
        return cls(_user(), socket.gethostname(), os.getpid(), _place())


class Lease:
    """Use as a context manager. ``LeaseHeld`` on entry if another run holds it, from ``check`` if it was lost."""

    def __init__(
        self, store: RunStore, estate: str, *, ttl: float = TTL, who: Whoami | None = None
    ) -> None:
        self.name = f"{estate}/lease"
        self.who = who or Whoami.here()
        self._store = store
        self._estate = estate
        self._ttl = ttl
        self.token = secrets.token_hex(8)
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._version: str | None = None
        self._deadline = 0.0
        self._lost = ""
        self._done = threading.Event()
        self._renewer = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> Self:
        kept = self._store.get(self.name)
        held = _holder(kept)
        if held and not _is_over(held):
            raise _held_error(self._estate, held, self._ttl)
        if not self._write(kept.version if kept else None):
            now = _holder(self._store.get(self.name)) or {}
            raise _held_error(self._estate, now, self._ttl)
        self._renewer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._renewer.join()
        with contextlib.suppress(OstiaryError):  # it runs out by itself
            self._store.swap(self.name, self._version, b"{}")

    def check(self) -> None:
        """LeaseHeld if the lease ran out or was taken: call it right before every mutation."""
        if self._lost or time.monotonic() >= self._deadline:
            raise LeaseHeld(
                f"stopped working on estate {self._estate}",
                why=self._lost or f"the lease ran out: it was not renewed for {self._ttl:.0f} s",
                fix="run again: what is done stays done",
            )

    def _renew(self) -> None:
        while not self._done.wait(self._ttl / 3):
            try:
                if not self._write(self._version):
                    held = _holder(self._store.get(self.name)) or {}
                    self._lost = f"the lease was taken over by {_who(held)}"
                    return
            except OstiaryError:  # try again until the deadline stops the run
                continue

    def _write(self, expected: str | None) -> bool:
        asked = time.monotonic()
        row = {
            "user": self.who.user,
            "host": self.who.host,
            "pid": self.who.pid,
            "place": self.who.place,
            "since": self._since,
            "deadline": time.time() + self._ttl,
            "token": self.token,
        }
        data = json.dumps(row).encode()
        version = self._store.swap(self.name, expected, data)
        if version is None:
            kept = self._store.get(self.name)
            if kept is None or kept.data != data:  # equal: it took effect and the answer was lost
                return False
            version = kept.version
        self._version, self._deadline = version, asked + self._ttl
        return True


def refuse_held(store: RunStore, estate: str, *, ttl: float = TTL) -> None:
    """LeaseHeld at once if a run is working on the estate; to be asked before a long reading begins."""
    held = _holder(store.get(f"{estate}/lease"))
    if held and not _is_over(held):
        raise _held_error(estate, held, ttl)


def holder_token(store: RunStore, estate: str) -> str:
    """The token of the run that holds the lease now; "" if none does."""
    held = _holder(store.get(f"{estate}/lease"))
    return "" if held is None or _is_over(held) else str(held["token"])


def _holder(kept: Stored | None) -> Mapping[str, Any] | None:
    """The row of a held lease; None if free. What is unreadable counts as free: nobody can be renewing it."""
    try:
        row = json.loads(kept.data) if kept else None
    except ValueError:
        return None
    return row if isinstance(row, dict) and "deadline" in row else None


def _held_error(estate: str, held: Mapping[str, Any], ttl: float) -> LeaseHeld:
    return LeaseHeld(
        f"cannot start on estate {estate}: another run is working on it",
        why=f"held by {_who(held)}",
        fix=f"wait for it; a dead run's lease ends by itself within {ttl + SKEW:.0f} s",
    )


def _who(held: Mapping[str, Any]) -> str:
    user, host, pid, since = (held.get(name, "?") for name in ("user", "host", "pid", "since"))
    return f"{user} on {host}, pid {pid}, since {since}"


def _is_over(held: Mapping[str, Any]) -> bool:
    return time.time() > held["deadline"] + SKEW or _is_dead(held)


def _is_dead(held: Mapping[str, Any]) -> bool:
    """The holder was a process of this very machine and is gone: no need to wait for its deadline."""
    place = _place()
    if not place or held.get("place") != place:
        return False
    try:
        state = Path(f"/proc/{held['pid']}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state in "ZX"  # killed, and not yet waited for


def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in containers
        return str(os.getuid())
