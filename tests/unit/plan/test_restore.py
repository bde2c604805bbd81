import pytest

from ostiary.errors import Conflict, GuardTripped, NotFound
from ostiary.plan.guard import Guard, Overrides
from ostiary.plan.release import release
from ostiary.plan.resource import Key, Resource
from ostiary.plan.restore import plan_restore, restore
from ostiary.plan.resume import journal_name, list_runs, show_run
from ostiary.plan.runs import FolderStore
from ostiary.plan.wrap import LocalKeyWrap

A1, A2 = "000000000111", "000000000112"
OPS, OLD, NEW = (Key("role", A1, name) for name in ("Ops", "Old", "New"))
TRUST = Key("trust", A2, "Ops/Okta")


def state(bench):
    return {key: (row["mark"], row["data"]) for key, row in bench.world.dump().items()}


@pytest.fixture
def bench(bench, tmp_path):
    """A folder store, so that another machine is another opening of it."""
    bench.store = FolderStore(tmp_path / "runs")
    bench.wrap = LocalKeyWrap.beside(tmp_path / "runs")
    bench.converge([Resource(key, {"size": 1, "members": ["ada"]}) for key in (OPS, OLD, TRUST)])
    return bench


def change_the_world(bench):
    """One update, one creation, one deletion of each of two kinds."""
    desired = [Resource(OPS, {"size": 2, "members": []}), Resource(NEW, {"size": 1})]
    return bench.converge(desired).run_id


def back(bench, run_id, **options):
    return plan_restore(
        run_id, bench.kinds, estate="acme", store=bench.store, wrap=bench.wrap, **options
    )


def write_back(bench, restoration, **options):
    options = {"guard": bench.guard(restoration.plan)} | options
    return restore(restoration, bench.kinds, store=bench.store, wrap=bench.wrap, **options)


def test_a_run_is_undone_on_another_machine(bench, tmp_path):
    before = state(bench)
    run_id = change_the_world(bench)
    assert state(bench) != before
    bench.store = FolderStore(tmp_path / "runs")
    bench.wrap = LocalKeyWrap(tmp_path / "runs.key")
    restoration = back(bench, run_id)
    assert {str(one.key): one.action for one in restoration.plan.changes} == {
        str(OPS): "update", str(NEW): "delete", str(OLD): "create", str(TRUST): "create",
    }  # fmt: skip
    bench.world.calls.clear()
    write_back(bench, restoration).raise_for_result()
    assert state(bench) == before
    assert [key for _, key in bench.world.mutations()][-1] == NEW  # taken away last
    assert back(bench, run_id).plan.is_empty


def test_a_restore_is_a_run_and_can_be_undone(bench):
    run_id = change_the_world(bench)
    after = state(bench)
    outcome = write_back(bench, back(bench, run_id))
    assert show_run(bench.store, "acme", outcome.run_id).begin["restores"] == run_id
    write_back(bench, back(bench, outcome.run_id)).raise_for_result()
    assert state(bench) == after


def test_only_what_goes_back_is_shown(bench):
    bench.converge(
        [Resource(OPS, {"size": 2, "members": ["ada"]})]
        + [Resource(key, {"size": 1, "members": ["ada"]}) for key in (OLD, TRUST)]
    )
    run_id = list_runs(bench.store, "acme")[-1].run_id
    (change,) = back(bench, run_id).plan.changes
    assert [change.before[name] == change.after[name] for name in change.differing] == [False]
    assert change.before.keys() == change.after.keys()


def test_what_was_changed_since_is_left_and_named(bench):
    run_id = change_the_world(bench)
    bench.world.rows[OPS]["data"]["size"] = 9
    restoration = back(bench, run_id)
    assert OPS not in [one.key for one in restoration.plan.changes]
    assert f"{OPS} was changed after the run and is left as it is" in restoration.plan.warnings
    anyway = back(bench, run_id, even_changed=True)
    write_back(bench, anyway).raise_for_result()
    assert bench.world.rows[OPS]["data"]["size"] == 1


def test_what_changes_between_plan_and_restore_is_stale(bench):
    restoration = back(bench, change_the_world(bench))
    bench.world.rows[OPS]["data"]["size"] = 9
    outcome = write_back(bench, restoration)
    assert [one.change.key for one in outcome.stale] == [OPS]
    assert bench.world.rows[OPS]["data"]["size"] == 9


def test_the_guard_judges_it_too(bench):
    restoration = back(bench, change_the_world(bench))
    bench.path.closed = {A1}
    with pytest.raises(GuardTripped, match="refused"):
        write_back(bench, restoration, guard=Guard(bench.path))


def test_an_adopted_object_goes_back_without_our_mark(bench):
    key = Key("role", A2, "Theirs")
    bench.world.put(key, {"size": 7})
    before = state(bench)
    desired = [Resource(one, {"size": 1, "members": ["ada"]}) for one in (OPS, OLD, TRUST)]
    run_id = bench.converge([*desired, Resource(key, {"size": 1}, adopt=True)]).run_id
    write_back(bench, back(bench, run_id)).raise_for_result()
    assert state(bench) == before


def test_released_objects_stay_and_can_be_taken_back(bench):
    before = state(bench)
    bench.world.calls.clear()
    outcome = release(bench.plan([]), bench.kinds, store=bench.store, wrap=bench.wrap)
    assert outcome.converged
    assert [verb for verb, _ in bench.world.mutations()] == ["release"] * 3
    assert bench.world.mutations()[0] == ("release", TRUST)
    assert {mark for mark, _ in state(bench).values()} == {None}
    assert bench.plan([]).is_empty
    restoration = back(bench, outcome.run_id)
    assert len(restoration.plan.changes) == 3
    assert release(bench.plan([]), bench.kinds, store=bench.store, wrap=bench.wrap).results == ()
    write_back(bench, restoration, guard=Guard(bench.path, overrides=Overrides({"role": 2})))
    assert state(bench) == before


def test_runs_are_listed_with_their_state(bench):
    change_the_world(bench)
    runs = list_runs(bench.store, "acme")
    assert [run.state for run in runs] == ["finished", "finished"]
    assert runs[1].counts["done"] == 4
    assert runs[0].changes == 3


def test_unknown_and_damaged_runs(bench, tmp_path):
    with pytest.raises(NotFound):
        back(bench, "nope")
    run_id = change_the_world(bench)
    path = tmp_path / "runs" / journal_name("acme", run_id)
    path.write_bytes(path.read_bytes().replace(b"update", b"delete"))
    with pytest.raises(Conflict, match="checksum error"):
        back(bench, run_id)
