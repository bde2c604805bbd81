"""The servers that this person may see, as read a moment ago, and which of them a name means."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ostiary.doors.servers.client.place import write_private
from ostiary.doors.servers.client.resolve import plausible
from ostiary.doors.servers.wire.person import ServerEntry
from ostiary.errors import Conflict, NotFound, OstiaryError

FIRST = 4.0  # seconds that it waits for the first list of all
FRESH = 60.0  # seconds that a list is taken as it is
AGAIN = 10.0  # seconds between readings because of a name that is not in it
MOST_NAMED = 5  # in an error
PATIENCE = 1.0  # seconds that a name waits for that: whoever types another host must not feel us

_ADDRESS = re.compile(r"[A-Za-z0-9:_][A-Za-z0-9.:_-]{0,252}")


class Listed:
    """``read`` asks the control plane. ``names`` is a file for who is not signed in: names only.

    A list that cannot be read again stays as it was: names keep their meaning while the control plane is away. A name that
    was a server's stays ours until the sign-in ends, so that who may not enter any more is told so, and ssh does not go to
    whatever host DNS gives it.
    """

    def __init__(self, read: Callable[[], Sequence[ServerEntry]], names: Path) -> None:
        self._read = read
        self._names = names
        self._servers: tuple[ServerEntry, ...] = ()
        self._by_name: dict[str, list[ServerEntry]] = {}
        self._gone: dict[str, str] = {}  # the project of what was in a list before
        self._was_read = False
        self._failed: OstiaryError | None = None
        self._tried = float("-inf")
        self._lock = threading.Lock()

    def every(self) -> tuple[ServerEntry, ...]:
        """All of them, as they are now. Raises when they cannot be read."""
        self._refresh(0.0, must=True)
        return self._servers

    def known(self, host: str) -> bool:
        """Whether ``host`` is a server of ours. False, not an error, when nobody can tell.

        Until there is a first list the names of the last sign-in decide, so that ``ssh`` is told why there is none.
        """
        if host in self._by_name:
            return True
        reading = threading.Thread(target=self._refresh, args=(AGAIN,), daemon=True)
        reading.start()
        reading.join(PATIENCE if self._servers else FIRST)
        if self._was_read:
            return host in self._by_name or host in self._gone
        return self._remembers(host)

    def one(self, host: str, project: str = "") -> ServerEntry:
        """The server of this name or id. NotFound, or Conflict ``ambiguous`` where two projects have the name.

        Where there never was a list, the error for want of which there is none.
        """
        if self.known(host):
            self._refresh(FRESH if host in self._by_name else 0.0)  # perhaps it is there again
        found = [one for one in self._by_name.get(host, ()) if project in ("", one.project)]
        if len(found) > 1:
            named = [f"{one.server_id} ({one.project})" for one in found]
            ids = " or ".join(named[:MOST_NAMED] + ["…"] * (len(named) > MOST_NAMED))
            raise Conflict(
                f"cannot tell which server {host} is",
                why=f"it is the name of {ids}",
                fix=f"run: ssh {found[0].server_id}",
                code="ambiguous",
            )
        if not found:
            raise self._not_there(host)
        return found[0]

    def _not_there(self, host: str) -> OstiaryError:
        if failed := self._failed:
            what = f"cannot enter {host}: {failed.what}"
            return type(failed)(what, why=failed.why, fix=failed.fix, code=failed.code)
        if project := self._gone.get(host):
            return NotFound(
                f"cannot enter {host}",
                why=f"it has left project {project}, or no rule there lets you in any more",
                fix=f"ask an owner of project {project}; what you may enter: ostiary servers list",
                code="no-server",
            )
        return NotFound(
            f"no server {host}",
            why="there is none of this name, or no rule lets you see it",
            fix="run: ostiary servers list",
            code="no-server",
        )

    def _refresh(self, age: float, *, must: bool = False) -> None:
        """Read again what was read, or tried, longer than ``age`` ago; whoever wants it newer than it is waits meanwhile."""
        if time.monotonic() - self._tried <= age:
            return
        with self._lock:
            if time.monotonic() - self._tried <= age:
                return
            try:
                self._take(must=must)
            finally:
                self._tried = time.monotonic()

    def _take(self, *, must: bool) -> None:
        try:
            servers = tuple(filter(is_plain, self._read()))
        except OstiaryError as error:
            self._failed = None if self._was_read else error
            if must:
                raise
            return
        by_name: dict[str, list[ServerEntry]] = {}
        for one in servers:
            for name in {one.name, one.server_id}:
                by_name.setdefault(name, []).append(one)
        if not self._was_read or by_name.keys() != self._by_name.keys():
            with contextlib.suppress(OSError):
                write_private(self._names, "".join(f"{name}\n" for name in sorted(by_name)))
        self._gone |= {
            name: those[0].project for name, those in self._by_name.items() if name not in by_name
        }
        self._servers, self._by_name = servers, by_name
        self._was_read, self._failed = True, None

    def _remembers(self, host: str) -> bool:
        try:
            return host in self._names.read_text(encoding="utf-8").splitlines()
        except OSError:
            return False


def is_plain(one: ServerEntry) -> bool:
    """Whether its names can stand in a command, a file and a line of ``ssh``: the control plane may be anybody's by now."""
    names = (one.server_id, one.name, one.bastion or one.name)
    if not all(map(plausible, names)) or not _ADDRESS.fullmatch(one.address):
        return False
    return 0 < one.port < 65_536  # noqa: PLR2004 - of TCP
