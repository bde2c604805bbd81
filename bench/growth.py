"""Whether the cost of an account stays what it is as a fleet grows: plan, apply, proof and second plan in process.

The sandbox's own work is in the figures; it is part of what must not grow.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from measure import TOP, Bar

sys.path.insert(0, str(TOP / "tests/system"))

from fleet import fleet

AT_MOST = 1.25  # times the cost of an account of the smallest fleet


def bars(sizes: Sequence[int]) -> Iterator[Bar]:
    _spent(20)  # what is made once is made here
    each = {size: _spent(size) / size for size in sizes}
    growth = each[sizes[-1]] / each[sizes[0]]
    yield Bar(
        f"cost of an account among {', '.join(map(str, sizes))}",
        ", ".join(f"{cost * 1000:.0f} ms" for cost in each.values()),
        f"{growth:.2f} x",
        f"<= {AT_MOST} x",
        ok=growth <= AT_MOST,
    )


def _spent(size: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        world = fleet(Path(folder), size)
        os.environ.update(world.env())
        started = time.process_time()
        work = world.work()
        outcome = work.apply(work.plan())
        assert outcome.converged
        assert work.prove().holds
        assert world.work("plan").plan().is_empty
        return time.process_time() - started
