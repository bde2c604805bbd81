import pytest
from memory_kind import MemoryKind, MemoryWorld

from ostiary.errors import GuardTripped, UsageError
from ostiary.plan.change import Change, Plan, Unread
from ostiary.plan.guard import Guard, Overrides, cap, protect_roles
from ostiary.plan.resource import Key, Owner, Risk

ACCOUNT = "111122223333"


class OpenPath:
    def __init__(self, closed=()):
        self.closed = closed

    def check(self, account_id, touched):
        ok = account_id not in self.closed
        return type("Verdict", (), {"ok": ok, "path": "BreakGlass", "why": "" if ok else "none"})


def change(action="delete", kind="iam-role", scope=ACCOUNT, name="Ops", **options):
    options = {"owner": Owner.OURS, "risk": Risk.DETACH, "detaches": 1} | options
    return Change(action, Key(kind, scope, name), **options)


def plan(*changes, unread=(), **owned):
    owned = {kind.replace("_", "-"): number for kind, number in owned.items()}
    return Plan("acme", "", "", (), tuple(changes), unread=unread, owned=owned)


def refusals(plan, **options):
    options = {"admin_path": OpenPath()} | options
    return [(one.rule, one.subject) for one in Guard(**options).judge(plan) if not one.ok]


@pytest.mark.parametrize(
    ("owned", "allowed"),
    [(0, 1), (1, 1), (9, 1), (10, 2), (50, 10), (100, 10), (200, 10), (400, 20), (10_000, 500)],
)
def test_cap(owned, allowed):
    assert cap(owned) == allowed


def test_one_deletion_always_passes():
    assert refusals(plan(change(), iam_role=1)) == []


def test_more_than_the_cap_is_refused_and_the_exact_number_passes():
    changes = [change(name=f"R{number}") for number in range(3)]
    small = plan(*changes, iam_role=12)
    assert refusals(small) == [("cap", "iam-role")]
    assert refusals(small, overrides=Overrides({"iam-role": 3})) == []
    assert refusals(small, overrides=Overrides({"iam-role": 4})) == [("cap", "iam-role")]
    assert refusals(plan(*changes, iam_role=15)) == []


def test_removed_members_count_too():
    update = change("update", "okta-role-group-members", "main", "g", detaches=30)
    assert refusals(plan(update, okta_role_group_members=100)) == [
        ("cap", "okta-role-group-members")
    ]


def test_nothing_is_deleted_where_the_reading_was_cut():
    cut = plan(change(), unread=(Unread(ACCOUNT, ("iam-role",), "503"),), iam_role=9)
    assert refusals(cut) == [("incomplete", f"iam-role:{ACCOUNT}/Ops")]
    other = plan(change(), unread=(Unread("444455556666", ("iam-role",), "503"),), iam_role=9)
    assert refusals(other) == []


@pytest.mark.parametrize("owner", [Owner.FOREIGN, Owner.OTHER_ESTATE, Owner.ELSEWHERE, None])
def test_what_is_not_ours_is_not_touched(owner):
    assert ("not ours", f"iam-role:{ACCOUNT}/Ops") in refusals(plan(change(owner=owner)))
    update = change("update", owner=owner, adopts=owner is Owner.OTHER_ESTATE)
    assert ("not ours", f"iam-role:{ACCOUNT}/Ops") in refusals(plan(update))


def test_adopting_is_no_theft():
    assert refusals(plan(change("update", owner=Owner.FOREIGN, adopts=True))) == []


@pytest.mark.parametrize("name", ["AWSReservedSSO_Admin_1f", "AWSServiceRoleForX", "BreakGlass1"])
@pytest.mark.parametrize("action", ["create", "update", "delete"])
def test_protected_patterns(name, action):
    protected = protect_roles(["BreakGlass*"])
    touched = plan(change(action, name=name), change(action, "trust-statement", name=name + "/Sid"))
    found = refusals(touched, protected=protected)
    assert [rule for rule, _ in found] == ["protected", "protected"]


def test_what_its_kind_protects():
    assert refusals(plan(change(protected=True))) == [("protected", f"iam-role:{ACCOUNT}/Ops")]
    quiet = change("update", protected=True, risk=Risk.NONE)
    assert refusals(plan(quiet)) == []


@pytest.mark.parametrize("risk", [Risk.DETACH, Risk.TRUST, Risk.CUTOVER])
def test_an_admin_path_must_remain(risk):
    typed = Overrides(cutover=frozenset({f"iam-role:{ACCOUNT}/Ops", "iam-role:main/Ops"}))
    known = {"admin_path": OpenPath([ACCOUNT]), "overrides": typed}
    risky = plan(change("update", risk=risk, detaches=0))
    assert refusals(risky, **known) == [("admin path", ACCOUNT)]
    assert refusals(plan(change("create", risk=Risk.NONE, detaches=0)), **known) == []
    assert refusals(plan(change("update", scope="main", risk=risk)), **known) == []


def test_only_the_typed_account_goes_without():
    risky = plan(change(), change(scope="444455556666"), iam_role=50)
    closed = OpenPath([ACCOUNT, "444455556666"])
    overrides = Overrides(without_admin_path=frozenset({ACCOUNT}))
    assert refusals(risky, admin_path=closed, overrides=overrides) == [
        ("admin path", "444455556666")
    ]
    said = Guard(closed, overrides=overrides).judge(risky)
    assert ("admin path", ACCOUNT, True, "overridden: none") in [
        (one.rule, one.subject, one.ok, one.why) for one in said
    ]


def test_all_refusals_come_at_once_with_the_exact_flags():
    bad = plan(
        *(change(name=f"R{number}") for number in range(5)),
        change(name="Theirs", owner=Owner.FOREIGN),
        iam_role=6,
    )
    with pytest.raises(GuardTripped) as caught:
        Guard(OpenPath([ACCOUNT])).require(bad)
    assert "not ours: iam-role:111122223333/Theirs" in caught.value.why
    assert "cap: iam-role: would take away 6 of 6, the cap is 1" in caught.value.why
    assert caught.value.fix == (
        "look at each, then add: --allow-deletions iam-role=6 --without-admin-path 111122223333"
    )


def test_overrides_are_typed_exactly():
    parsed = Overrides.parse(["okta-group=12"], [ACCOUNT])
    assert parsed.as_json() == {
        "allow_deletions": {"okta-group": 12},
        "without_admin_path": [ACCOUNT],
        "cutover": [],
    }
    for wrong in ("okta-group", "=3", "okta-group=-1", "okta-group=all", "okta-group=٣"):
        with pytest.raises(UsageError):
            Overrides.parse([wrong], [])


def test_owned_is_counted_in_what_a_deletion_would_take(bench):
    bench.world.put(Key("role", "000000000111", "A"), {"members": ["a", "b", "c"]}, "acme")
    bench.world.put(Key("role", "000000000111", "B"), {}, "acme")
    bench.world.put(Key("role", "000000000111", "C"), {"members": ["x"]})
    assert bench.plan([]).owned == {"role": 4}
    assert MemoryKind(MemoryWorld()).detaches("create", None, {}) == 0


def test_a_cutover_needs_the_key_of_what_everybody_enters_by():
    app = change(
        "update", "okta-app", "main", "AWS", risk=Risk.CUTOVER, detaches=0, differing=("settings",)
    )
    assert refusals(plan(app)) == [("cutover", "okta-app:main/AWS")]
    typed = Overrides.parse([], [], ["okta-app:main/AWS"])
    assert refusals(plan(app), overrides=typed) == []
