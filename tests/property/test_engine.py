"""Random worlds, random estates, failures and kills anywhere: a rerun always converges, and foreign things never move.

A kill is an exception that nothing in the engine catches, after which every further call of the world or of the store
raises it too: the process is dead, whatever its threads still try.
"""

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))

from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from memory_kind import MUTATIONS, MemoryKind, MemoryWorld
from memory_store import MemoryStore

from ostiary.errors import Denied, Throttled, Unreachable
from ostiary.plan import writing
from ostiary.plan.apply import apply
from ostiary.plan.guard import Guard, Overrides
from ostiary.plan.plan import make_plan
from ostiary.plan.resource import Key, Ref, Resource
from ostiary.plan.restore import plan_restore, restore
from ostiary.plan.resume import list_runs, show_run
from ostiary.plan.wrap import LocalKeyWrap

ACCOUNTS = ("000000000111", "000000000112", "000000000113")
APPS = [Key("app", "main", name) for name in "AB"]
ROLES = [Key("role", account, name) for account in ACCOUNTS for name in "RS"]
TRUSTS = [Key("trust", key.scope, f"{key.name}/Sid") for key in ROLES]
KEYS = [*APPS, *ROLES, *TRUSTS]
MARKS = st.sampled_from(["acme", None, "globex"])
SIZES = st.integers(1, 3)
WORLDS = st.dictionaries(st.sampled_from(KEYS), st.tuples(MARKS, SIZES), max_size=8)
CHOICES = st.dictionaries(st.sampled_from(KEYS), SIZES, max_size=12)
NUMBERS = st.integers(1, 10)
SPOTS = st.sampled_from(
    ["before the mutation", "after the mutation", "before append", "after append"]
)
ERRORS = st.sampled_from([Denied("AccessDenied"), Throttled("Throttling"), Unreachable("refused")])


class Killed(BaseException):
    pass


class AnyPath:
    def check(self, account_id, touched):
        return type("Verdict", (), {"ok": True, "path": "BreakGlass", "why": ""})


class MortalStore(MemoryStore):
    def __init__(self):
        super().__init__()
        self.before = self.after = lambda name: None

    def put_new(self, name, data):
        self.before(name)
        written = super().put_new(name, data)
        self.after(name)
        return written

    def swap(self, name, expected, data):
        self.before(name)
        return super().swap(name, expected, data)


def estate(chosen):
    """Trusts need their role and, when it is wanted, an app's id."""
    for key, size in chosen.items():
        wanted, after = {"size": size}, frozenset()
        if key.kind == "trust":
            role = Key("role", key.scope, key.name[0])
            after = frozenset({role}) & chosen.keys()
            if APPS[0] in chosen:
                wanted["app"] = Ref(APPS[0], "id")
        yield Resource(key, wanted, after)


class Engine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.world = MemoryWorld()
        self.kinds = [MemoryKind(self.world, name) for name in ("app", "role", "trust")]
        self.scopes = {"app": ["main"], "role": ACCOUNTS, "trust": ACCOUNTS}
        self.store = MortalStore()
        self.folder = tempfile.TemporaryDirectory()
        self.wrap = LocalKeyWrap(Path(self.folder.name) / "key")
        self.chosen = {}
        self.foreign = {}
        self.pause, writing.PAUSE = writing.PAUSE, 0.0

    def teardown(self):
        writing.PAUSE = self.pause
        self.folder.cleanup()

    # --- what happens

    @rule(rows=WORLDS)
    def somebody_makes_things(self, rows):
        for key, (mark, size) in rows.items():
            if key not in self.world.rows:
                self.world.put(key, {"size": size}, mark)
                self.world.creations.pop()
        self.foreign = self.world.foreign()

    @rule(key=st.sampled_from(KEYS), size=SIZES)
    def somebody_edits(self, key, size):
        if key in self.world.rows:
            self.world.rows[key]["data"]["size"] = size
        self.foreign = self.world.foreign()

    @rule(chosen=CHOICES)
    def the_estate_changes(self, chosen):
        self.chosen = chosen

    @rule(chosen=CHOICES, number=NUMBERS, spot=SPOTS)
    def apply_is_killed(self, chosen, number, spot):
        self.chosen = chosen
        count, dead = [0], [False]

        def step(here):
            if dead[0]:
                raise Killed
            count[0] += here == spot
            if here == spot and count[0] >= number:
                dead[0] = True
                raise Killed

        plan = self.plan()
        self.world.before = lambda verb, key: step(
            "before the mutation" if verb in MUTATIONS else ""
        )
        self.world.after = lambda verb, key: step("after the mutation")
        self.store.before = lambda name: step("before append" if "journals" in name else "")
        self.store.after = lambda name: step("after append" if "journals" in name else "")
        try:
            self.apply(plan)
        except Killed:
            self.store.delete("acme/lease")  # as the death of the process would
        self.heal()

    @rule(chosen=CHOICES, number=NUMBERS, error=ERRORS, lost=st.booleans(), times=st.integers(1, 4))
    def apply_meets_failures(self, chosen, number, error, lost, times):
        self.chosen = chosen
        count = [0]

        def fail(verb):
            count[0] += 1
            if number <= count[0] < number + times:
                raise Unreachable("reset", maybe_done=True) if lost and verb in MUTATIONS else error

        plan = self.plan()
        if lost:
            self.world.after = lambda verb, key: fail(verb)
        else:
            self.world.before = lambda verb, key: fail(verb)
        self.apply(plan)
        self.heal()

    @rule(key=st.sampled_from(KEYS), size=SIZES)
    def apply_meets_a_stale_world(self, key, size):
        plan = self.plan()
        self.somebody_edits(key, size)
        self.apply(plan)

    @rule(scope=st.sampled_from([*ACCOUNTS, "main"]))
    def apply_cannot_read_everything(self, scope):
        self.world.unreadable = {scope}
        before = {key for key in self.world.rows if key.scope == scope}
        outcome = self.apply(self.plan())
        assert before <= self.world.rows.keys(), "deleted on an incomplete reading"
        assert {one.scope for one in outcome.unread} == {scope}
        self.world.unreadable = set()

    @rule()
    def apply_goes_well(self):
        for _ in range(2):
            outcome = self.apply(self.plan())
        plan = self.plan()
        assert plan.writes == () or all(one.result == "blocked" for one in outcome.results)
        ours = {key for key, row in self.world.rows.items() if row["mark"] == "acme"}
        if outcome.converged:
            assert ours <= self.chosen.keys(), "an orphan"
            assert {run.state for run in list_runs(self.store, "acme")} <= {"finished", "settled"}
        for key in ours & self.chosen.keys():
            blocked = {one.change.key for one in outcome.results if one.result == "blocked"}
            assert key in blocked or self.world.rows[key]["data"]["size"] == self.chosen[key]

    @rule(chosen=CHOICES)
    def a_run_is_undone(self, chosen):
        self.apply_goes_well()
        before = {key: row["data"] for key, row in self.world.dump().items()}
        self.chosen = chosen
        run_id = self.apply(self.plan()).run_id
        if not run_id:
            return
        there_and_back = plan_restore(
            run_id, self.kinds, estate="acme", store=self.store, wrap=self.wrap
        )
        restore(
            there_and_back,
            self.kinds,
            store=self.store,
            wrap=self.wrap,
            guard=self.guard(there_and_back.plan),
            workers=2,
        ).raise_for_result()
        assert {key: row["data"] for key, row in self.world.dump().items()} == before

    # --- what always holds

    @invariant()
    def foreign_things_never_move(self):
        assert self.world.foreign() == self.foreign

    @invariant()
    def nothing_is_made_twice(self):
        removed = Counter(key for verb, key in self.world.calls if verb in ("delete", "restore"))
        for key, number in Counter(self.world.creations).items():
            assert number <= 1 + removed[key], f"{key} was made {number} times"

    @invariant()
    def every_journal_can_be_read(self):
        for run in list_runs(self.store, "acme"):
            show_run(self.store, "acme", run.run_id)

    # --- the engine

    def plan(self):
        return make_plan(
            list(estate(self.chosen)), self.kinds, self.scopes, estate="acme", workers=1
        )

    def guard(self, plan):
        taken = Counter()
        for change in plan.writes:
            taken[change.key.kind] += change.detaches
        return Guard(AnyPath(), overrides=Overrides(taken))

    def apply(self, plan):
        return apply(
            plan, self.kinds, store=self.store, wrap=self.wrap, guard=self.guard(plan), workers=2
        )

    def heal(self):
        self.world.before = self.world.after = lambda verb, key: None
        self.store.before = self.store.after = lambda name: None


Engine.TestCase.settings = settings(
    max_examples=300 if os.environ.get("OSTIARY_CHAOS") == "full" else 25,
    stateful_step_count=8,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TestEngine = pytest.mark.chaos(Engine.TestCase)
