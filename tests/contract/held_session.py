"""A resident agent in this process, which holds somebody's session for commands."""

import contextlib
import tempfile
import threading
from pathlib import Path

from ostiary.doors.servers.client import place
from ostiary.doors.servers.client.control_api import Control
from ostiary.doors.servers.client.credentials import of_session
from ostiary.doors.servers.client.resident import Resident


@contextlib.contextmanager
def held(url, session):
    """The variables by which a command finds it. Its folder has a short name: a path of a socket is of 107 bytes."""
    with tempfile.TemporaryDirectory() as folder, Control(url, "", of_session(session)) as control:
        found = {"OSTIARY_CONTROL": url, "XDG_RUNTIME_DIR": folder}
        run = place.private_folder(place.run_folder(found))
        resident = Resident(run, control, session, Path(folder) / "servers")
        ready = threading.Event()
        thread = threading.Thread(target=resident.run, args=(ready.set,))
        thread.start()
        try:
            assert ready.wait(10)
            yield found
        finally:
            resident.end()
            thread.join()
