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
        self._names: dict[str, str] = {}  # by the id of a server; "" once another has its name
        self._keys: dict[str, set[str]] = {}
        self._lock = threading.Lock()
        write_private(file, "")

    def add(self, server: ServerEntry, authorities: Iterable[str]) -> None:
        """From now on these, and no others, speak for ``server``, by its id and its name.

        A name goes from one server to another, perhaps of another project: whoever spoke for the former speaks by its id alone.
        """
        keys = {ssh_key.parse(one).text() for one in authorities}
        with self._lock:
            known = self._names.get(server.server_id), self._keys.get(server.server_id)
            if known == (server.name, keys):
                return
            for other, name in self._names.items():
                if name == server.name:
                    self._names[other] = ""
            self._names[server.server_id], self._keys[server.server_id] = server.name, keys
            write_private(
                self._file,
                "".join(
                    f"@cert-authority {server_id}{name and f',{name}'} {key}\n"
                    for server_id, name in self._names.items()
                    for key in sorted(self._keys[server_id])
                ),
            )
