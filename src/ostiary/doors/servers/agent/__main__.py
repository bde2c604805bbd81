"""``ostiary agent``: the agent of a host. Lines for people go to stderr, results to stdout.

Exit codes: 0 done, 1 not done and the reason said, 2 wrong command line.
"""

from __future__ import annotations

import os
import resource
import sys

from ostiary.doors.servers.agent.commands import parser
from ostiary.doors.servers.agent.files import HostError, Paths
from ostiary.doors.servers.agent.typed import line


def main(arguments: list[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # tokens and keys stay out of core dumps
    os.umask(0o022)
    try:
        if given.root and os.geteuid() != 0:
            raise HostError("cannot do this", why="only root may", fix="run it by sudo")  # noqa: TRY301 - said as all else is
        code: int = given.work(given, Paths())
    except HostError as error:
        _complain(error)
        return 1
    return code


def _complain(error: HostError) -> None:
    """The three lines of errors.py."""
    sys.stderr.write(f"ostiary: error: {line(error.what)}\n")
    for name, text in (("why", error.why), ("fix", error.fix)):
        if text:
            sys.stderr.write(f"  {name}: {line(text)}\n")


if __name__ == "__main__":
    sys.exit(main())
