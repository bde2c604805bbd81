"""What it costs to start: ``--help`` beside an interpreter that does nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from statistics import median

from measure import OSTIARY, Bar, timed

TIMES = 9
AT_MOST = 0.120  # CPU seconds


def bars() -> Iterator[Bar]:
    ours = median(timed([OSTIARY, "--help"]).cpu for _ in range(TIMES))
    bare = median(timed([sys.executable, "-I", "-S", "-c", "pass"]).cpu for _ in range(TIMES))
    yield Bar(
        "ostiary --help",
        f"{ours * 1000:.0f} ms CPU",
        f"{bare * 1000:.0f} ms: a bare interpreter",
        f"<= {AT_MOST * 1000:.0f} ms",
        ok=ours <= AT_MOST,
    )
