"""Running the host's own tools: argument lists, bounded time, C locale, never a shell."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from ostiary.doors.servers.agent.files import HostError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SECONDS = 60


def run(*command: str, stdin: bytes = b"", fine: Sequence[int] = (0,)) -> bytes:
    """What it printed. HostError with what it complained of, if its exit code is not among ``fine``."""
    code, out, complaint = attempt(*command, stdin=stdin)
    if code not in fine:
        raise HostError(f"{command[0]} failed ({code}): {complaint or 'it said nothing'}")
    return out


def attempt(*command: str, stdin: bytes = b"") -> tuple[int, bytes, str]:
    """Exit code, stdout, and the first lines of stderr."""
    try:
        done = subprocess.run(  # noqa: S603 - a list of our own, no shell
            command,
            input=stdin,
            capture_output=True,
            timeout=SECONDS,
            env={"PATH": PATH, "LC_ALL": "C"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 124, b"", f"no end after {SECONDS} s"
    except OSError as error:
        return 127, b"", str(error.strerror)
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return done.returncode, done.stdout, "; ".join(lines[:3])
