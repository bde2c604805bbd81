import json
import resource
import threading

import pytest
from memory_kind import MemoryKind, MemoryWorld

from ostiary.errors import EstateError, TamperedPlan, UsageError
from ostiary.plan.plan import load, make_plan, save, to_json
from ostiary.plan.resource import Key, Reading, Ref, Resource

A1, A2 = "000000000111", "000000000112"
APP = Key("app", "main", "AWS")
ROLE = Key("role", A1, "Ops")
TRUST = Key("trust", A1, "Ops/Okta")


def actions(plan):
    return {str(change.key): change.action for change in plan.changes}


def change(plan, key):
    (one,) = [one for one in plan.changes if one.key == key]
    return one


def test_everything_new_is_created_in_dependency_order(bench):
    desired = [
        Resource(TRUST, {"app": Ref(APP, "id")}, after=frozenset({ROLE})),
        Resource(ROLE, {"size": 1}),
        Resource(APP, {"label": "AWS"}),
    ]
    plan = bench.plan(desired)
    keys = [one.key for one in plan.changes]
    assert keys.index(TRUST) == 2
    assert change(plan, TRUST).after == {"app": "(known after apply: id of app:main/AWS)"}
    assert change(plan, TRUST).refs == {"/app": Ref(APP, "id")}
    assert change(plan, TRUST).depends_on == (APP, ROLE)
    assert plan.summary() == {
        "create": 3, "update": 0, "replace": 0, "delete": 0,
        "keep": 0, "unread": 0, "foreign": 0, "snippet": 0,
    }  # fmt: skip
    assert bench.world.mutations() == []


def test_a_known_ref_is_compared(bench):
    bench.world.put(APP, {"label": "AWS"}, "acme")
    number = bench.world.rows[APP]["id"]
    bench.world.put(TRUST, {"app": number}, "acme")
    desired = [Resource(APP, {"label": "AWS"}), Resource(TRUST, {"app": Ref(APP, "id")})]
    assert bench.plan(desired).is_empty
    assert bench.plan(desired).keep == 2
    bench.world.rows[TRUST]["data"]["app"] = "another"
    assert change(bench.plan(desired), TRUST).after == {"app": number}


def test_a_replaced_object_makes_its_identifiers_unknown(bench):
    bench.world.put(APP, {"size": 1}, "acme")
    bench.world.put(TRUST, {"app": bench.world.rows[APP]["id"]}, "acme")
    plan = bench.plan([Resource(APP, {"size": 2}), Resource(TRUST, {"app": Ref(APP, "id")})])
    assert actions(plan) == {str(APP): "replace", str(TRUST): "update"}
    assert "known after apply" in change(plan, TRUST).after["app"]


def test_ours_and_not_wanted_is_deleted_in_reverse_kind_order(bench):
    for key in (APP, ROLE, TRUST):
        bench.world.put(key, {"size": 1}, "acme")
    bench.world.put(Key("role", A1, "Theirs"), {"size": 1})
    plan = bench.plan([])
    assert [(one.action, one.key) for one in plan.changes] == [
        ("delete", TRUST), ("delete", ROLE), ("delete", APP),
    ]  # fmt: skip


def test_an_unread_scope_is_never_absent(bench):
    bench.world.put(ROLE, {"size": 1}, "acme")
    bench.world.unreadable.add(A1)
    other = Key("role", A1, "New")
    plan = bench.plan([Resource(other, {"size": 1})])
    assert actions(plan) == {str(other): "unread", str(ROLE): "unread"}
    assert plan.unread[0].scope == A1
    assert plan.unread[0].kinds == ("role", "trust")
    assert "page 2 lost" in plan.unread[0].why
    assert not plan.is_empty
    assert plan.writes == ()


def test_what_was_seen_in_a_cut_reading_may_be_updated(bench):
    bench.world.put(ROLE, {"size": 1}, "acme")
    bench.world.unreadable.add(A1)
    assert actions(bench.plan([Resource(ROLE, {"size": 2})])) == {str(ROLE): "update"}


def test_a_scope_nobody_read_is_unread(bench):
    stray = Key("role", "999999999999", "Ops")
    plan = bench.plan([Resource(stray, {})])
    assert change(plan, stray).reason == "its scope was not read"


def test_a_ref_to_something_unread_is_unread_too(bench):
    bench.world.put(TRUST, {"app": "id-1"}, "acme")
    bench.world.unreadable.add("main")
    plan = bench.plan([Resource(APP, {}), Resource(TRUST, {"app": Ref(APP, "id")})])
    assert actions(plan) == {str(APP): "unread", str(TRUST): "unread"}


def test_foreign_is_a_conflict_that_names_the_way_out(bench):
    bench.world.put(ROLE, {"size": 1})
    desired = [Resource(ROLE, {"size": 1}), Resource(TRUST, {}, after=frozenset({ROLE}))]
    plan = bench.plan(desired)
    assert change(plan, ROLE).action == "foreign"
    assert f"ostiary adopt '{ROLE}'" in change(plan, ROLE).reason
    assert change(plan, TRUST).reason == f"blocked: {ROLE} is foreign"


def test_adopting_is_an_update_even_when_nothing_differs(bench):
    bench.world.put(ROLE, {"size": 1})
    plan = bench.plan([Resource(ROLE, {"size": 1}, adopt=True)])
    assert change(plan, ROLE).action == "update"
    assert change(plan, ROLE).adopts


def test_another_estates_object_is_not_adopted(bench):
    bench.world.put(ROLE, {"size": 1}, "globex")
    plan = bench.plan([Resource(ROLE, {"size": 1}, adopt=True)])
    assert change(plan, ROLE).action == "foreign"
    assert change(plan, ROLE).reason == "belongs to globex"


def test_owned_elsewhere_is_a_snippet_until_it_is_as_wanted(bench):
    bench.world.put(ROLE, {"size": 1}, None, stack="stack roles")
    plan = bench.plan([Resource(ROLE, {"size": 2}), Resource(TRUST, {}, after=frozenset({ROLE}))])
    assert change(plan, ROLE).action == "snippet"
    assert json.loads(change(plan, ROLE).snippet) == {"size": 2}
    assert change(plan, ROLE).reason == "belongs to stack roles"
    assert change(plan, TRUST).reason == ""
    assert actions(bench.plan([Resource(ROLE, {"size": 1})])) == {}


def test_all_problems_of_the_wanted_set_at_once(bench):
    with pytest.raises(EstateError) as caught:
        bench.plan([Resource(ROLE, {}), Resource(ROLE, {}), Resource(Key("dog", "x", "y"), {})])
    assert caught.value.problems == (f"{ROLE} is wanted 2 times", "dog:x/y is of no known kind")
    bench.world.put(APP, {}, "acme")
    missing = Key("app", "main", "Gone")
    desired = [
        Resource(ROLE, {"a": Ref(TRUST, "id")}),
        Resource(TRUST, {"a": Ref(missing, "id"), "b": Ref(APP, "id")}, after=frozenset({ROLE})),
    ]
    with pytest.raises(EstateError) as caught:
        bench.plan(desired)
    text = "\n".join(caught.value.problems)
    assert f"{TRUST} needs {missing}, which neither is wanted nor exists" in text
    assert f"{TRUST} needs {APP}, which is no longer wanted" in text
    assert "a cycle: " in text


def test_a_ref_to_a_foreign_object_needs_no_resource(bench, monkeypatch):
    bench.world.put(APP, {"label": "AWS"})
    read = bench.kinds[0].read
    monkeypatch.setattr(bench.kinds[0], "read", lambda scope, wanted: read(scope, {"AWS": None}))
    plan = bench.plan([Resource(TRUST, {"app": Ref(APP, "id")})])
    assert change(plan, TRUST).after == {"app": bench.world.rows[APP]["id"]}


def test_kinds_of_a_scope_are_read_in_one_thread(bench):
    seen = {}
    bench.world.before = lambda verb, key: seen.setdefault(key.scope, []).append(
        (key.kind, threading.get_ident())
    )
    bench.plan([], workers=4)
    assert [kind for kind, _ in seen[A1]] == ["role", "trust"]
    assert all(len({thread for _, thread in calls}) == 1 for calls in seen.values())


def test_progress_counts_scopes(bench):
    events = []
    bench.world.unreadable.add(A2)
    bench.plan([], on_event=events.append)
    assert [event.done for event in events] == list(range(1, 8))
    assert {event.total for event in events} == {7}
    assert [event.scope for event in events if event.what == "unread"] == [A2]


def test_a_part_of_a_plan(bench):
    bench.world.unreadable.add(A2)
    desired = [Resource(ROLE, {}), Resource(Key("role", A2, "Ops"), {}), Resource(APP, {})]
    part = bench.plan(desired).only([A1])
    assert actions(part) == {str(ROLE): "create"}
    assert part.unread == ()


def test_the_digest_of_the_estate_does_not_depend_on_order(bench):
    one, two = Resource(ROLE, {"a": 1}), Resource(TRUST, {}, after=frozenset({ROLE}))
    assert bench.plan([one, two]).estate_digest == bench.plan([two, one]).estate_digest
    assert bench.plan([one]).estate_digest != bench.plan([one, two]).estate_digest


class TestSaved:
    @pytest.fixture
    def plan(self, bench):
        bench.world.put(ROLE, {"size": 1}, "acme")
        bench.world.put(Key("role", A1, "Old"), {"members": ["ä"]}, "acme")
        bench.world.unreadable.add(A2)
        desired = [
            Resource(APP, {}),
            Resource(ROLE, {"size": 2}),
            Resource(TRUST, {"app": {"a/b": [Ref(APP, "id")]}}, after=frozenset({ROLE})),
        ]
        return bench.plan(desired).with_warnings(["careful"])

    def test_comes_back_equal(self, plan, tmp_path):
        digest = save(plan, tmp_path / "plan")
        assert load(tmp_path / "plan") == plan
        assert digest == to_json(plan)["digest"]

    def test_public_shape(self, plan):
        document = to_json(plan)
        assert document["version"] == 1
        assert {"estate", "made_at", "summary", "unread", "warnings", "digest"} <= set(document)
        row = next(row for row in document["changes"] if row["key"] == str(ROLE))
        assert row["action"] == "update"
        assert row["account"] == A1
        assert row["before"] == {"size": 1}
        assert row["after"] == {"size": 2}
        assert row["risk"] == "none"
        assert document["summary"]["create"] == 2
        assert document["unread"][0]["scope"] == A2

    def test_every_flipped_byte_is_refused(self, plan, tmp_path):
        path = tmp_path / "plan"
        save(plan, path)
        whole = path.read_bytes()
        for index in range(0, len(whole), 7):
            path.write_bytes(whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :])
            with pytest.raises(TamperedPlan):
                load(path)

    def test_a_missing_file_is_a_usage_error(self, tmp_path):
        with pytest.raises(UsageError):
            load(tmp_path / "plan")


def test_200_scopes_and_3000_resources_in_a_second():
    world = MemoryWorld()
    kinds = [MemoryKind(world, f"kind{number}") for number in range(7)]
    scopes = [f"{number:012}" for number in range(200)]
    desired = []
    for scope in scopes:
        first = Key("kind0", scope, "first")
        desired.append(Resource(first, {"text": "x" * 200}))
        for number in range(1, 15):
            key = Key(f"kind{number % 7}", scope, f"thing{number}")
            desired.append(Resource(key, {"first": Ref(first, "id"), "list": ["a", "b"]}))
    per_kind = {(kind.name, scope): [] for kind in kinds for scope in scopes}
    for one in desired[: len(desired) // 2]:
        world.put(one.key, {}, "acme")
    for key, row in world.rows.items():
        per_kind[key.kind, key.scope].append((key, row))

    def quick_read(kind):
        return lambda scope, wanted: Reading(
            kind.name, scope, tuple(kind._found(*one) for one in per_kind[kind.name, scope])
        )

    for kind in kinds:
        kind.read = quick_read(kind)
    before = resource.getrusage(resource.RUSAGE_SELF)
    plan = make_plan(desired, kinds, {kind.name: scopes for kind in kinds}, estate="acme")
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert len(plan.changes) == 3000
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    assert cpu < 1.0
