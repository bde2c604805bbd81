"""A process that holds tokens or keys of a sign-in, closed to the others of its user. Source: prctl(2), PR_SET_DUMPABLE."""

from __future__ import annotations

import ctypes
import resource
import sys

PR_SET_DUMPABLE = 4


def close_to_others() -> None:
    """No core dump, no ptrace, no reading of memory by other processes of the same user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
