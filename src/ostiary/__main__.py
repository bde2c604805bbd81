"""The entry: runs the command line and turns every failure into the one error form and exit code."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    from ostiary.cli import run  # noqa: PLC0415 - later doors answer `creds` here before a framework is imported

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
