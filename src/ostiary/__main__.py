"""The entry: runs the command line and turns every failure into the one error form and exit code."""

from __future__ import annotations

import io
import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(
            stream, io.TextIOWrapper
        ):  # names of others may hold what a terminal cannot show
            stream.reconfigure(errors="backslashreplace")
        if stream is None:  # closed by who started us: what goes there goes nowhere
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - as long as the process lives
    from ostiary.cli import ctrl_c, run  # noqa: PLC0415 - later doors answer `creds` here before a framework is imported

    ctrl_c.heed()
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except (
        OSError
    ):  # what is left in the buffer would be tried again at exit, and turn the code into 120
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = code or 1
    sys.exit(code)


if __name__ == "__main__":
    main()
