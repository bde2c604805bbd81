"""A world of N accounts served over HTTPS in a process of its own: what a product and its peers are measured against.

    python bench/served.py FOLDER ACCOUNTS LATENCY

Writes ``env.json`` into FOLDER when it answers; on SIGUSR1 ``calls.json``: how often each operation was called since the
last time. Ends on SIGTERM.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/system"))

from fleet import fleet, serving


def main(folder: Path, accounts: int, latency: float) -> None:
    world = fleet(folder, accounts)
    world.world.switches.latency = latency
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())

    def tell(*_: object) -> None:
        rows = world.calls().rows
        publish(folder / "calls.json", Counter(f"{service} {name}" for service, name, _ in rows))

    signal.signal(signal.SIGUSR1, tell)
    with serving(world) as command:
        publish(folder / "env.json", {"env": command.env, "accounts": list(world.accounts)})
        ended.wait()


def publish(path: Path, value: object) -> None:
    """Whole or not at all: that the file is there says that it is complete."""
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(value))
    draft.replace(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
