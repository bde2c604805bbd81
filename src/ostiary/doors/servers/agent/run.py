"""Running the host's own tools: argument lists, bounded time, C locale, never a shell."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from ostiary.doors.servers.agent.files import HostError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SECONDS = 60.0
LATE = 124  # as timeout(1) ends


def run(*command: str, stdin: bytes = b"", fine: Sequence[int] = (0,)) -> bytes:
    """What it printed. HostError with what it complained of, if its exit code is not among ``fine``."""
    code, out, complaint = attempt(*command, stdin=stdin)
    if code not in fine:
        raise HostError(f"{command[0]} failed ({code}): {complaint or 'it said nothing'}")
    return out


def attempt(*command: str, stdin: bytes = b"", seconds: float = SECONDS) -> tuple[int, bytes, str]:
    """Exit code (LATE for no end within ``seconds``), stdout, and the first lines of stderr."""
    try:
        done = subprocess.run(  # noqa: S603 - a list of our own, no shell
            command,
            input=stdin,
            capture_output=True,
            timeout=seconds,
            env={"PATH": PATH, "LC_ALL": "C"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return LATE, b"", f"no end after {seconds:.0f} s"
    except OSError as error:
        return 127, b"", str(error.strerror)
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return done.returncode, done.stdout, "; ".join(lines[:3])
