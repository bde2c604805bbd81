"""What every kind must do against its simulator. One case object per kind, nothing else to write.

    class TestIamRole(NamedKindSuite):
        @pytest.fixture
        def case(self):
            cloud = ...
            return KindCase(
                kind=IamRoleKind(...),
                key=Key("iam-role", "111122223333", "Ops"),
                wanted={...},          # JSON, as the door asks for it (no Ref)
                wanted2={...},         # the same object, different in at least one compared attribute
                tamper=lambda: ...,    # somebody changes one compared attribute of the object, behind our back
                dump=lambda: ...,      # everything that the kind could touch, as a comparable value, not a live object
                add_foreign=lambda: ...,   # something foreign beside or inside (another role, another statement)
                dump_foreign=lambda: ...,  # just that, as a comparable value
                unreadable=lambda: ...,    # context manager inside which reading the scope fails or is cut
                foreign_key=Key(...),      # NamedKindSuite only: see there
                make_foreign=lambda: ...,
            )

``KindSuite`` is for every kind. ``NamedKindSuite`` adds what holds where an object with the very name that we
want may exist without our mark (role, group, app, provider, rule); kinds that are owned because both ends are,
or by their Sid, run ``KindSuite`` alone. The world must be free of ``key`` when the case is made, with everything in
it that ``wanted`` points at. ``tamper`` is called when the object exists as ``wanted``.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ostiary.errors import Conflict, StalePlan
from ostiary.plan.plan import fingerprint, make_plan
from ostiary.plan.resource import Key, Kind, Owner, Resource, Risk


@dataclass
class KindCase:
    kind: Kind
    key: Key
    wanted: dict[str, Any]
    wanted2: dict[str, Any]
    tamper: Callable[[], None]
    dump: Callable[[], Any]
    add_foreign: Callable[[], None]
    dump_foreign: Callable[[], Any]
    unreadable: Callable[[], AbstractContextManager[None]]
    foreign_key: Key | None = None
    make_foreign: Callable[[], None] | None = None

    def plan(self, *desired: Resource):
        """Plan the one scope of this case."""
        scopes = {self.kind.name: [self.key.scope]}
        return make_plan(desired, [self.kind], scopes, estate="acme", workers=1)

    def actions(self, *desired: Resource) -> dict[str, str]:
        return {str(change.key): change.action for change in self.plan(*desired).changes}

    def resource(self) -> Resource:
        return Resource(self.key, self.wanted)

    def look(self):
        found = self.kind.look(self.key)
        assert found is not None, f"{self.key} is gone"
        return found


class KindSuite:
    @pytest.fixture
    def case(self) -> KindCase:
        raise NotImplementedError

    def test_absent_is_planned_and_planning_only_reads(self, case):
        before = case.dump()
        assert case.kind.look(case.key) is None
        assert case.actions(case.resource()) == {str(case.key): "create"}
        assert case.dump() == before

    def test_what_was_created_is_read_equal(self, case):
        created = case.kind.create(case.key, case.wanted)
        reading = case.kind.read(case.key.scope, {})
        assert reading.complete
        (found,) = [found for found in reading.found if found.key == case.key]
        for seen in (created, found, case.look()):
            assert seen.key == case.key
            assert seen.owner is Owner.OURS
            assert seen.ids == created.ids
            assert fingerprint(seen) == fingerprint(found), "read, look and create disagree"
            assert case.kind.differences(seen, case.wanted) == ()
            assert json.loads(json.dumps(seen.attributes)) == seen.attributes
            assert json.loads(json.dumps(seen.raw)) == seen.raw

    def test_second_plan_is_empty_and_only_reads(self, case):
        case.kind.create(case.key, case.wanted)
        before = case.dump()
        assert case.actions(case.resource()) == {}
        assert case.dump() == before

    def test_update_brings_it_in_line(self, case):
        created = case.kind.create(case.key, case.wanted)
        assert case.kind.differences(created, case.wanted2)
        updated = case.kind.update(case.look(), case.wanted2)
        assert case.kind.differences(updated, case.wanted2) == ()
        assert case.kind.differences(case.look(), case.wanted2) == ()
        assert case.look().owner is Owner.OURS

    def test_drift_is_seen_and_repaired(self, case):
        case.kind.create(case.key, case.wanted)
        case.tamper()
        assert case.kind.differences(case.look(), case.wanted)
        assert set(case.actions(case.resource()).values()) <= {"update", "replace"}
        assert case.actions(case.resource()) != {}
        case.kind.update(case.look(), case.wanted)
        assert case.actions(case.resource()) == {}

    def test_a_crash_after_create_is_adopted(self, case):
        first = case.kind.create(case.key, case.wanted)
        before = case.dump()
        again = case.kind.create(case.key, case.wanted)
        assert again.owner is Owner.OURS
        assert again.ids == first.ids
        assert case.dump() == before

    def test_update_refuses_what_changed_under_it(self, case):
        case.kind.create(case.key, case.wanted)
        found = case.look()
        case.tamper()
        before = case.dump()
        with pytest.raises(StalePlan):
            case.kind.update(found, case.wanted2)
        assert case.dump() == before

    def test_delete_refuses_what_changed_under_it(self, case):
        case.kind.create(case.key, case.wanted)
        found = case.look()
        case.tamper()
        before = case.dump()
        with pytest.raises(StalePlan):
            case.kind.delete(found)
        assert case.dump() == before

    def test_what_is_ours_and_not_wanted_is_deleted_twice_in_peace(self, case):
        before = case.dump()
        case.kind.create(case.key, case.wanted)
        assert case.actions() == {str(case.key): "delete"}
        found = case.look()
        case.kind.delete(found)
        case.kind.delete(found)
        assert case.kind.look(case.key) is None
        assert case.dump() == before

    def test_an_incomplete_reading_deletes_nothing(self, case):
        case.kind.create(case.key, case.wanted)
        with case.unreadable():
            plan = case.plan()
            assert not case.kind.read(case.key.scope, {}).complete
        assert [change.action for change in plan.changes if change.action != "unread"] == []
        assert {unread.scope for unread in plan.unread} == {case.key.scope}

    def test_foreign_things_stay_through_a_whole_life(self, case):
        case.add_foreign()
        before = case.dump_foreign()
        assert before, "dump_foreign shows nothing"
        case.kind.create(case.key, case.wanted)
        assert case.dump_foreign() == before
        raw = case.look().raw
        case.kind.update(case.look(), case.wanted2)
        assert case.dump_foreign() == before
        case.kind.restore(case.key, raw)
        assert case.dump_foreign() == before
        case.kind.delete(case.look())
        assert case.dump_foreign() == before

    def test_restore_brings_back_the_before_image(self, case):
        empty = case.dump()
        case.kind.create(case.key, case.wanted)
        raw = json.loads(json.dumps(case.look().raw))
        case.kind.update(case.look(), case.wanted2)
        case.kind.restore(case.key, raw)
        assert case.kind.differences(case.look(), case.wanted) == ()
        case.kind.delete(case.look())
        case.kind.restore(case.key, raw)
        assert case.kind.differences(case.look(), case.wanted) == ()
        assert case.look().owner is Owner.OURS
        case.kind.restore(case.key, None)
        assert case.dump() == empty
        case.kind.restore(case.key, None)

    def test_release_leaves_the_object(self, case):
        empty = case.dump()
        case.kind.create(case.key, case.wanted)
        case.kind.release(case.look())
        assert case.dump() != empty

    def test_a_deletion_is_graded_and_counted(self, case):
        found = case.kind.create(case.key, case.wanted)
        assert case.kind.risk("create", None, case.wanted) in Risk
        assert case.kind.risk("delete", found, None) is not Risk.NONE
        assert case.kind.detaches("delete", found, None) >= 1
        assert case.kind.detaches("create", None, case.wanted) == 0


class NamedKindSuite(KindSuite):
    """``make_foreign`` makes an object named ``foreign_key`` without our mark, that ``wanted`` could be adopted onto."""

    def test_a_foreign_object_is_a_conflict_and_stays(self, case):
        case.make_foreign()
        before = case.dump()
        wanted = Resource(case.foreign_key, case.wanted)
        assert case.actions(wanted) == {str(case.foreign_key): "foreign"}
        assert case.actions() == {}
        with pytest.raises(Conflict):
            case.kind.create(case.foreign_key, case.wanted)
        assert case.dump() == before

    def test_a_foreign_object_is_adopted_when_told(self, case):
        case.make_foreign()
        wanted = Resource(case.foreign_key, case.wanted, adopt=True)
        assert case.actions(wanted) == {str(case.foreign_key): "update"}
        adopted = case.kind.update(case.kind.look(case.foreign_key), case.wanted)
        assert adopted.owner is Owner.OURS
        assert case.actions(replace(wanted, adopt=False)) == {}

    def test_what_was_released_is_no_longer_ours(self, case):
        case.kind.create(case.key, case.wanted)
        case.kind.release(case.look())
        assert case.look().owner is Owner.FOREIGN
        assert case.actions() == {}
