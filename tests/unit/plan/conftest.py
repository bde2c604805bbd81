"""An in-memory world, kinds over it, and one bench that plans and applies on it."""

import sys
import threading
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "contract"))

from memory_kind import MemoryKind, MemoryWorld
from memory_store import MemoryStore

from ostiary.plan.apply import apply
from ostiary.plan.guard import Guard, Overrides
from ostiary.plan.plan import make_plan
from ostiary.plan.wrap import LocalKeyWrap

ACCOUNTS = [f"{number:012}" for number in range(111, 117)]


class OpenPath:
    """An account whose break-glass role always remains, but for those in ``closed``."""

    def __init__(self, closed=()):
        self.closed = set(closed)
        self.asked = []

    def check(self, account_id, touched):
        self.asked.append((account_id, frozenset(touched)))
        ok = account_id not in self.closed
        return SimpleNamespace(ok=ok, path="BreakGlass" if ok else "", why="" if ok else "no path")


class Bench:
    """Kinds ``app`` (org), ``role`` and ``trust`` (accounts), in order of creation."""

    def __init__(self, folder, store=None):
        self.world = MemoryWorld()
        self.kinds = [
            MemoryKind(self.world, name, immutable=("size",) if name == "app" else ())
            for name in ("app", "role", "trust")
        ]
        self.scopes = {"app": ["main"], "role": ACCOUNTS, "trust": ACCOUNTS}
        self.store = store or MemoryStore()
        self.wrap = LocalKeyWrap(folder / "runs.key")
        self.path = OpenPath()

    def plan(self, desired, **options):
        options = {"estate": "acme", "workers": 2} | options
        return make_plan(desired, self.kinds, self.scopes, **options)

    def guard(self, plan):
        """A guard whose caps the operator lifted for exactly this plan."""
        taken = Counter()
        for change in plan.writes:
            taken[change.key.kind] += change.detaches
        return Guard(self.path, overrides=Overrides(taken))

    def apply(self, plan, **options):
        defaults = {
            "store": self.store,
            "wrap": self.wrap,
            "guard": self.guard(plan),
            "workers": 4,
        }
        return apply(plan, self.kinds, **(defaults | options))

    def converge(self, desired, **options):
        outcome = self.apply(self.plan(desired), **options)
        outcome.raise_for_result()
        return outcome


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    ours = ("read", "apply", "check", "look", "lease")
    assert [one.name for one in threading.enumerate() if one.name.startswith(ours)] == []
