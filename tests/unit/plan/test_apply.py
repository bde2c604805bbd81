import json
import os
import threading
import time

import pytest
from memory_kind import MUTATIONS

from ostiary.errors import (
    Denied,
    GuardTripped,
    Interrupted,
    LeaseHeld,
    OstiaryError,
    Partial,
    StalePlan,
    Unreachable,
)
from ostiary.plan import writing
from ostiary.plan.guard import Guard
from ostiary.plan.plan import load, save
from ostiary.plan.resource import Key, Ref, Resource
from ostiary.plan.resume import journal_name, list_runs, show_run
from ostiary.plan.runs import FolderStore

ACCOUNTS = [f"{number:012}" for number in range(111, 117)]
APP = Key("app", "main", "AWS")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(writing, "PAUSE", 0.0)


def role(account, name="Ops"):
    return Key("role", account, name)


def trust(account):
    return Key("trust", account, "Ops/Okta")


def estate(accounts=ACCOUNTS, size=1):
    yield Resource(APP, {"label": "AWS"})
    for account in accounts:
        yield Resource(role(account), {"size": size})
        yield Resource(trust(account), {"app": Ref(APP, "id")}, after=frozenset({role(account)}))


def deny(world, *keys, error=None):
    def before(verb, key):
        if verb in MUTATIONS and key in keys:
            raise error or Denied(f"cannot {verb} {key}", why="AccessDenied: iam:CreateRole")

    world.before = before


def test_applies_in_order_and_the_second_plan_is_empty(bench):
    outcome = bench.converge(list(estate()))
    assert len(outcome.done) == 13
    assert outcome.converged
    order = [key for _, key in bench.world.mutations()]
    assert order[0] == APP or order.index(APP) < min(order.index(trust(a)) for a in ACCOUNTS)
    assert all(order.index(role(a)) < order.index(trust(a)) for a in ACCOUNTS)
    assert bench.world.rows[trust(ACCOUNTS[0])]["data"] == {"app": bench.world.rows[APP]["id"]}
    assert bench.plan(list(estate())).is_empty


def test_a_saved_plan_applies_the_same(bench, tmp_path):
    save(bench.plan(list(estate())), tmp_path / "plan")
    bench.apply(load(tmp_path / "plan")).raise_for_result()
    assert bench.plan(list(estate())).is_empty


def test_creations_come_before_deletions_and_those_in_reverse_kind_order(bench):
    bench.converge(list(estate()))
    bench.world.calls.clear()
    new = [Resource(role(account, "New"), {}) for account in ACCOUNTS]
    bench.converge(new)
    kinds = [(verb, key.kind) for verb, key in bench.world.mutations()]
    assert kinds == [
        *[("create", "role")] * 6, *[("delete", "trust")] * 6, *[("delete", "role")] * 6, ("delete", "app"),
    ]  # fmt: skip


def test_at_most_four_in_flight_per_account(bench):
    account, lock = ACCOUNTS[0], threading.Lock()
    now, most = [0], [0]

    def before(verb, key):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.002)
        with lock:
            now[0] -= 1

    bench.world.before = before
    desired = [Resource(role(account, f"R{number}"), {}) for number in range(20)]
    plan = bench.plan(desired)
    bench.apply(plan, workers=16).raise_for_result()
    assert 2 <= most[0] <= 4


def test_three_denied_accounts_are_named_and_only_they_are_repeated(bench):
    broken = ACCOUNTS[:3]
    deny(bench.world, *(role(account) for account in broken))
    outcome = bench.apply(bench.plan(list(estate())))
    assert {one.change.key for one in outcome.failed} == {role(account) for account in broken}
    assert {one.change.key for one in outcome.blocked} == {trust(account) for account in broken}
    assert len(outcome.done) == 7
    with pytest.raises(Partial) as caught:
        outcome.raise_for_result()
    assert f"role:{broken[0]}/Ops: failed: " in caught.value.why
    assert "iam:CreateRole" in caught.value.why
    bench.world.before = lambda verb, key: None
    bench.world.calls.clear()
    bench.converge(list(estate()))
    assert {key.scope for _, key in bench.world.mutations()} == set(broken)


def test_deletions_wait_for_what_did_not_succeed(bench):
    bench.converge(list(estate()))
    deny(bench.world, role(ACCOUNTS[0], "New"))
    new = [Resource(role(account, "New"), {}) for account in ACCOUNTS]
    outcome = bench.apply(bench.plan(new))
    held = {str(one.change.key) for one in outcome.blocked}
    assert held == {str(trust(ACCOUNTS[0])), str(role(ACCOUNTS[0])), str(APP)}
    assert len(outcome.done) == 5 * 3


def test_tolerance_stops_soon(bench):
    deny(bench.world, *(role(account) for account in ACCOUNTS))
    plan = bench.plan([Resource(role(account), {}) for account in ACCOUNTS])
    outcome = bench.apply(plan, max_failures=2, workers=2)
    assert 2 <= len(outcome.failed) <= 4
    assert len(outcome.left) == 6 - len(outcome.failed)
    with pytest.raises(Partial, match="stopped after too many failures"):
        outcome.raise_for_result()


def test_a_canary_account_goes_first_and_alone(bench):
    bench.apply(bench.plan(list(estate())), canary=True).raise_for_result()
    first = [key for _, key in bench.world.mutations()][:3]
    assert {key.scope for key in first} == {"main", ACCOUNTS[0]}


def test_a_failed_canary_is_the_end(bench):
    deny(bench.world, trust(ACCOUNTS[0]))
    outcome = bench.apply(bench.plan(list(estate())), canary=True)
    assert {key.scope for _, key in bench.world.mutations()} == {"main", ACCOUNTS[0]}
    assert len(outcome.left) == 10
    with pytest.raises(Partial, match="stopped after the first account"):
        outcome.raise_for_result()


class TestStale:
    @pytest.fixture
    def plan(self, bench):
        bench.converge(list(estate()))
        plan = bench.plan(list(estate(size=2)))
        bench.world.rows[role(ACCOUNTS[0])]["data"]["size"] = 7
        bench.world.calls.clear()
        return plan

    def test_what_changed_is_left_and_the_rest_goes_on(self, bench, plan):
        outcome = bench.apply(plan)
        assert [one.change.key for one in outcome.stale] == [role(ACCOUNTS[0])]
        assert len(outcome.done) == 5
        assert bench.world.rows[role(ACCOUNTS[0])]["data"]["size"] == 7
        with pytest.raises(StalePlan, match="still fits"):
            outcome.raise_for_result()

    def test_all_or_nothing_refuses_before_the_first_write(self, bench, plan):
        with pytest.raises(StalePlan, match=f"{role(ACCOUNTS[0])}: it changed"):
            bench.apply(plan, all_or_nothing=True)
        assert bench.world.mutations() == []

    def test_what_somebody_already_did_counts_as_done(self, bench, plan):
        bench.world.rows[role(ACCOUNTS[0])]["data"]["size"] = 2
        outcome = bench.apply(plan)
        assert outcome.converged
        assert role(ACCOUNTS[0]) not in [key for _, key in bench.world.mutations()]

    def test_a_plan_applied_twice_writes_once(self, bench):
        plan = bench.plan(list(estate(size=3)))
        bench.apply(plan).raise_for_result()
        before = bench.world.dump()
        bench.apply(plan).raise_for_result()
        assert bench.world.dump() == before

    def test_a_dependant_of_something_stale_is_blocked(self, bench):
        bench.converge(list(estate()))
        desired = [Resource(APP, {"label": "AWS"}), Resource(role(ACCOUNTS[0]), {"size": 5})]
        desired += [
            Resource(trust(ACCOUNTS[0]), {"app": "x"}, after=frozenset({role(ACCOUNTS[0])}))
        ]
        plan = bench.plan(desired).only([ACCOUNTS[0]])
        bench.world.rows[role(ACCOUNTS[0])]["data"]["size"] = 9
        outcome = bench.apply(plan)
        assert outcome.blocked[0].why == f"{role(ACCOUNTS[0])} is stale"
        with pytest.raises(StalePlan):
            outcome.raise_for_result()


class TestLostAnswers:
    def lose(self, world, times, look_fails=False):
        count = [0]

        def after(verb, key):
            count[0] += 1
            if count[0] <= times:
                raise Unreachable("connection reset", maybe_done=True)

        def before(verb, key):
            if verb == "look" and look_fails and count[0]:
                raise Unreachable("no route")

        world.after, world.before = after, before

    @pytest.mark.parametrize("times", [1, 3])
    def test_what_took_effect_is_done(self, bench, times):
        self.lose(bench.world, times)
        bench.apply(bench.plan(list(estate()))).raise_for_result()
        assert len(bench.world.creations) == len(set(bench.world.creations)) == 13
        assert bench.plan(list(estate())).is_empty

    def test_what_did_not_take_effect_is_repeated(self, bench):
        failures = [Unreachable("reset", maybe_done=True)] * 2

        def before(verb, key):
            if verb == "create" and failures:
                raise failures.pop()

        bench.world.before = before
        bench.apply(bench.plan(list(estate()))).raise_for_result()

    def test_what_nobody_can_look_at_is_unknown_and_settled_by_the_next_run(self, bench):
        self.lose(bench.world, 1, look_fails=True)
        outcome = bench.apply(bench.plan([Resource(APP, {})]))
        assert [one.change.key for one in outcome.unknown] == [APP]
        with pytest.raises(Partial, match="1 unknown"):
            outcome.raise_for_result()
        assert list_runs(bench.store, "acme")[0].state == "unfinished"
        bench.world.before = bench.world.after = lambda verb, key: None
        bench.converge([Resource(APP, {})])
        assert list_runs(bench.store, "acme")[0].state == "settled"

    def test_deletions_and_updates_too(self, bench):
        bench.converge(list(estate()))
        self.lose(bench.world, 9)
        bench.converge(list(estate(ACCOUNTS[:3], size=2)))
        assert bench.plan(list(estate(ACCOUNTS[:3], size=2))).is_empty


def test_a_foreign_object_is_never_written_and_named(bench):
    bench.world.put(role(ACCOUNTS[0]), {"size": 5})
    before = bench.world.foreign()
    outcome = bench.apply(bench.plan(list(estate())))
    assert bench.world.foreign() == before
    assert [one.change.key for one in outcome.blocked] == [trust(ACCOUNTS[0])]
    with pytest.raises(Partial, match="exists without our mark"):
        outcome.raise_for_result()


def test_a_foreign_object_that_appears_after_the_plan_is_a_conflict(bench):
    plan = bench.plan(list(estate()))
    bench.world.put(role(ACCOUNTS[0]), {"size": 5})
    outcome = bench.apply(plan)
    assert [one.change.key for one in outcome.failed] == [role(ACCOUNTS[0])]
    assert outcome.failed[0].error.exit_code == 6


def test_adopting_keeps_the_before_image(bench):
    bench.world.put(role(ACCOUNTS[0]), {"size": 5, "extra": "kept"})
    bench.converge([Resource(role(ACCOUNTS[0]), {"size": 1}, adopt=True)])
    row = bench.world.rows[role(ACCOUNTS[0])]
    assert (row["mark"], row["data"]) == ("acme", {"size": 1, "extra": "kept"})


def test_an_unread_account_makes_the_result_partial(bench):
    bench.world.unreadable.add(ACCOUNTS[0])
    outcome = bench.apply(bench.plan(list(estate())))
    assert len(outcome.done) == 11
    with pytest.raises(Partial, match=f"{ACCOUNTS[0]}: unread"):
        outcome.raise_for_result()
    assert outcome.as_json()["unread"][0]["scope"] == ACCOUNTS[0]


def test_a_part_whose_dependency_is_elsewhere_is_blocked_and_nothing_else_written(bench):
    plan = bench.plan(list(estate())).only([ACCOUNTS[0]])
    outcome = bench.apply(plan)
    assert {key.scope for _, key in bench.world.mutations()} == {ACCOUNTS[0]}
    assert [one.change.key for one in outcome.blocked] == [trust(ACCOUNTS[0])]


def test_stop_begins_nothing_new_and_finishes_what_is_in_flight(bench):
    stop = threading.Event()

    def before(verb, key):
        if verb == "create" and key != APP:
            stop.set()
            time.sleep(0.01)

    bench.world.before = before
    outcome = bench.apply(bench.plan(list(estate())), stop=stop, workers=2)
    assert 1 <= len(outcome.done) <= 3
    assert len(outcome.left) == 13 - len(outcome.done)
    with pytest.raises(Interrupted, match="left"):
        outcome.raise_for_result()
    assert list_runs(bench.store, "acme")[0].state == "finished"
    bench.world.before = lambda verb, key: None
    bench.converge(list(estate()))


def test_the_guard_comes_first(bench):
    bench.path.closed = set(ACCOUNTS)
    bench.converge([Resource(role(account), {}) for account in ACCOUNTS])
    bench.world.calls.clear()
    plan = bench.plan([])
    with pytest.raises(GuardTripped) as caught:
        bench.apply(plan)
    assert "--without-admin-path 000000000111" in caught.value.fix
    assert bench.world.mutations() == []
    assert len(list_runs(bench.store, "acme")) == 1


def test_a_second_apply_is_refused_and_names_the_first(bench):
    other = {}

    def before(verb, key):
        if verb == "create" and not other:
            other["error"] = None
            with pytest.raises(LeaseHeld) as caught:
                bench.apply(bench.plan([Resource(APP, {})]))
            other["error"] = caught.value

    bench.world.before = before
    bench.converge([Resource(APP, {})])
    assert f"pid {os.getpid()}" in other["error"].why


def test_events_tell_every_change(bench):
    events = []
    threads = set()
    deny(bench.world, role(ACCOUNTS[0]))

    def on_event(event):
        events.append(event)
        threads.add(threading.get_ident())

    bench.apply(bench.plan(list(estate())), on_event=on_event)
    last = [event for event in events if event.what != "start"]
    assert [event.done for event in last] == list(range(1, 14))
    assert {event.total for event in last} == {13}
    assert {event.what for event in last} == {"done", "failed", "blocked"}
    assert threads == {threading.get_ident()}


def test_a_bug_in_a_kind_is_not_swallowed(bench):
    def before(verb, key):
        if verb == "create":
            raise ZeroDivisionError

    plan = bench.plan(list(estate()))
    bench.world.before = before
    with pytest.raises(ZeroDivisionError):
        bench.apply(plan)
    assert list_runs(bench.store, "acme")[0].state == "unfinished"


class TestJournalFirst:
    @pytest.fixture
    def store(self, tmp_path):
        return FolderStore(tmp_path / "runs")

    def test_every_mutation_has_its_intent_on_disk_before(self, bench, store):
        bench.store = store

        def before(verb, key):
            if verb in MUTATIONS:
                path = max((store.folder / "acme/journals").iterdir(), key=os.path.getmtime)
                # The last line may be another thread's that is being appended just now: ours is whole by now.
                whole = path.read_bytes().rpartition(b"\n")[0]
                intents = [json.loads(line) for line in whole.splitlines()]
                assert str(key) in [row.get("key") for row in intents if row["type"] == "intent"]

        bench.world.before = before
        bench.converge(list(estate()))
        bench.converge(list(estate(size=2)))
        bench.converge([])

    @pytest.mark.parametrize("broken_at", [1, 2, 4, 7])
    def test_a_failed_fdatasync_means_no_mutation_after_it(
        self, bench, store, monkeypatch, broken_at
    ):
        bench.store, real, count = store, os.fdatasync, [0]

        def fdatasync(file):
            count[0] += 1
            if count[0] >= broken_at:
                raise OSError(5, "Input/output error")
            real(file)

        def before(verb, key):
            assert verb not in MUTATIONS or count[0] < broken_at

        plan = bench.plan(list(estate()))
        bench.world.before = before
        monkeypatch.setattr(os, "fdatasync", fdatasync)
        with pytest.raises(OstiaryError, match=r"journal|append"):
            bench.apply(plan, workers=1).raise_for_result()
        monkeypatch.undo()
        bench.world.before = lambda verb, key: None
        assert len(bench.world.mutations()) < broken_at
        bench.converge(list(estate()))

    def test_before_images_are_not_readable(self, bench, store):
        bench.store = store
        bench.converge([Resource(APP, {"note": "canary-4711"})])
        bench.converge([Resource(APP, {"note": "other"})])
        bytes_ = b"".join(path.read_bytes() for path in store.folder.rglob("*") if path.is_file())
        assert b"canary-4711" not in bytes_

    def test_outcomes_and_overrides_are_kept(self, bench):
        outcome = bench.converge(list(estate()))
        recorded = show_run(bench.store, "acme", outcome.run_id)
        assert {step.result for step in recorded.steps} == {"done"}
        assert recorded.end["counts"]["done"] == 13
        assert recorded.begin["overrides"]["allow_deletions"]["role"] == 0
        assert bench.store.get(journal_name("acme", outcome.run_id) + "/00000001")


def test_a_lost_lease_ends_the_run(bench):
    def before(verb, key):
        if verb == "create":
            time.sleep(0.3)

    plan = bench.plan(list(estate()))
    bench.world.before = before
    swap = bench.store.swap
    bench.store.swap = lambda name, expected, data: (
        swap(name, expected, data) if expected is None else None
    )
    outcome = bench.apply(plan, lease_ttl=0.2, workers=2)
    assert len(outcome.done) <= 2 + 1, "what was in flight: two in accounts, one in the org"
    assert outcome.left
    with pytest.raises(LeaseHeld, match="stopped working"):
        outcome.raise_for_result()


def test_a_guard_is_asked_about_every_touched_key(bench):
    bench.converge(list(estate()))
    bench.path.asked.clear()
    plan = bench.plan(list(estate(ACCOUNTS[1:])))
    Guard(bench.path).judge(plan)
    assert bench.path.asked == [(ACCOUNTS[0], frozenset({role(ACCOUNTS[0]), trust(ACCOUNTS[0])}))]
