"""A small disk: a tmpfs in a mount namespace of its own, which only those see who are brought there. Root only."""

import contextlib
import os
import subprocess
from pathlib import Path


class SmallDisk:
    """At ``place``, a folder, in a ``with``. ``before`` goes in front of a command that is to see it; ``inside`` is it from here."""

    def __init__(self, place, megabytes, owner=0):
        options = f"size={megabytes}m,mode=700,uid={owner},gid={owner}"
        script = f'mount -t tmpfs -o {options} tmpfs "$1" && echo ready && exec cat'
        self._argv = ["unshare", "--mount", "sh", "-c", script, "sh", str(place)]
        self._place = place

    def __enter__(self):
        pipe = subprocess.PIPE
        self._holder = subprocess.Popen(self._argv, stdin=pipe, stdout=pipe, text=True)
        assert self._holder.stdout.readline() == "ready\n"
        self.before = ("nsenter", f"--target={self._holder.pid}", "--mount", "--")
        self.inside = Path(f"/proc/{self._holder.pid}/root{self._place}")
        return self

    def __exit__(self, *_):
        self._holder.communicate()

    def fill(self):
        """Write until there is no space."""
        file = os.open(self.inside / "filler", os.O_WRONLY | os.O_CREAT)
        with contextlib.suppress(OSError):
            while True:
                os.write(file, b"\0" * 4096)
        os.close(file)

    def free(self):
        (self.inside / "filler").unlink()
