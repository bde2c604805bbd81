"""How much whatever else the machine does slows a test, so that a bar of time stays the bar of an idle machine."""

import time

SECONDS = 0.2  # of CPU time


def slowed():
    """Wall time by CPU time of some work, now; 1 where nothing else runs."""
    began, worked = time.monotonic(), time.thread_time()
    while time.thread_time() - worked < SECONDS:
        pass
    return max(1.0, (time.monotonic() - began) / SECONDS)
