"""The file from which ``ssh`` learns which authorities make the host certificates of our servers; no secret in it.

Source: ``sshd(8)``, SSH_KNOWN_HOSTS FILE FORMAT, ``@cert-authority``. A line names one server by id and name, and one
authority of its project: an authority of one project says nothing of the servers of another.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from ostiary.doors.servers.client.place import write_private
from ostiary.doors.servers.wire.person import ServerEntry
from ostiary.pki import ssh_key


class KnownHosts:
    """Written anew, whole, when a server or an authority is added."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lines: dict[tuple[str, str], set[str]] = {}
        self._lock = threading.Lock()
        write_private(file, "")

    def add(self, server: ServerEntry, authorities: Iterable[str]) -> None:
        """From now on these, and no others, speak for ``server``."""
        keys = {ssh_key.parse(one).text() for one in authorities}
        with self._lock:
            if self._lines.get((server.server_id, server.name)) == keys:
                return
            self._lines[server.server_id, server.name] = keys
            write_private(
                self._file,
                "".join(
                    f"@cert-authority {server_id},{name} {key}\n"
                    for (server_id, name), held in self._lines.items()
                    for key in sorted(held)
                ),
            )
