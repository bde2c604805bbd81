"""All Okta kinds together under the engine: a life of role groups, with rules that take their time and lost answers."""

import contextlib
from types import SimpleNamespace

import pytest
from memory_store import MemoryStore
from okta_world import ESTATE, MARK, ORG, make_client, make_world, user_id

from ostiary.okta.kinds import okta_kinds
from ostiary.okta.mark import Mark
from ostiary.plan.apply import apply
from ostiary.plan.guard import Guard, Overrides
from ostiary.plan.plan import make_plan
from ostiary.plan.resource import Key, Ref, Resource
from ostiary.plan.restore import plan_restore, restore
from ostiary.plan.wrap import LocalKeyWrap

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
OPEN = SimpleNamespace(check=lambda *_: SimpleNamespace(ok=True, path="BreakGlass", why=""))
ROLES = ("Admin", "ReadOnly")


def role_group(role):
    return f"aws#shared#{role}#111122223333"


class Bench:
    """``give`` says which source groups have which role; the rest of the estate follows."""

    def __init__(self, world, folder):
        self.world = world
        self.client = make_client(world)
        self.kinds = okta_kinds(self.client, ORG, ESTATE)
        self.store = MemoryStore()
        self.wrap = LocalKeyWrap(folder / "runs.key")

    def desired(self, give, direct=None):
        """One rule per source group; ``direct`` are people (names) who have a role by name."""
        org, direct = self.world.okta, direct or {}
        native, app = Key("okta-app", ORG, "AWS CLI"), Key("okta-app", ORG, "AWS")
        yield Resource(
            native, {"name": "oidc_client", "grant_types": [DEVICE_CODE], "policy": "Strong"}
        )
        settings = {"useGroupMapping": True, "webSSOAllowedClient": Ref(native, "client_id")}
        yield Resource(app, {"name": "amazon_aws", "settings": settings, "policy": "Strong"})
        roles = sorted({role for given in give.values() for role in given} | direct.keys())
        for role in roles:
            yield from self.role(role, give, direct.get(role, ()))
        for source, given in give.items():
            if not given:
                continue
            targets = [Ref(Key("okta-group", ORG, role_group(role)), "id") for role in given]
            name = f"{Mark(ESTATE).rule_prefix}{source} {'-'.join(given)}"
            wanted = {"source": org.group(source).id, "targets": targets, "excluded": []}
            yield Resource(Key("okta-group-rule", ORG, name), wanted)
            yield self.assignment(app, "group", source, org.group(source).id)
        for name in sorted({name for people in direct.values() for name in people}):
            yield self.assignment(app, "user", f"{name}@acme.example", user_id(self.world, name))

    def role(self, role, give, direct):
        org = self.world.okta
        people = sorted(user_id(self.world, name) for name in direct)
        by_rule = {
            member
            for source, given in give.items()
            if role in given
            for member in org.members(org.group(source))
        }
        key = Key("okta-group", ORG, role_group(role))
        users = f" users={','.join(people)}" if people else ""
        text = f"{MARK} console=std role={role} account=111122223333{users}"
        yield Resource(key, {"description": text})
        wanted = {
            "group": Ref(key, "id"),
            "members": sorted(by_rule | set(people)),
            "direct": people,
        }
        after = {
            Key(
                "okta-group-rule",
                ORG,
                f"{Mark(ESTATE).rule_prefix}{source} {'-'.join(given)}",
            )
            for source, given in give.items()
            if role in given
        }
        yield Resource(
            Key("okta-role-group-members", ORG, role_group(role)), wanted, frozenset(after)
        )

    @staticmethod
    def assignment(app, sort, name, identity):
        key = Key("okta-app-assignment", ORG, f"{app.name}/{sort}:{name}")
        return Resource(key, {"app": Ref(app, "id"), sort: identity})

    def plan(self, give, **rest):
        scopes = {kind.name: [ORG] for kind in self.kinds}
        return make_plan(
            list(self.desired(give, **rest)), self.kinds, scopes, estate=ESTATE, workers=1
        )

    def apply(self, give, **rest):
        plan = self.plan(give, **rest)
        refused = [verdict.fix for verdict in Guard(OPEN).judge(plan) if not verdict.ok]
        typed = [fix.removeprefix("--allow-deletions ") for fix in refused]
        guard = Guard(OPEN, overrides=Overrides.parse(typed, ()))
        return apply(plan, self.kinds, store=self.store, wrap=self.wrap, guard=guard, workers=1)

    def restores(self, run_id):
        """Undo a run, with whatever the guard asks for typed."""
        back = plan_restore(run_id, self.kinds, estate=ESTATE, store=self.store, wrap=self.wrap)
        typed = [one.fix.removeprefix("--allow-deletions ") for one in Guard(OPEN).judge(back.plan)]
        guard = Guard(OPEN, overrides=Overrides.parse(list(filter(None, typed)), ()))
        restore(
            back, self.kinds, store=self.store, wrap=self.wrap, guard=guard, workers=1
        ).raise_for_result()

    def settles(self, give, **rest):
        outcome = self.apply(give, **rest)
        assert {one.result for one in outcome.results} <= {"done"}, [
            (str(one.change.key), one.result, one.why)
            for one in outcome.results
            if one.result != "done"
        ]
        assert [str(one.key) for one in self.plan(give, **rest).changes] == []

    def members(self, role):
        org = self.world.okta
        group = next((one for one in org.groups.values() if one.name == role_group(role)), None)
        if group is None:
            return None
        return sorted(org.users[known].login.partition("@")[0] for known in org.members(group))


@pytest.fixture
def world():
    return make_world()


@pytest.fixture
def bench(world, tmp_path):
    return Bench(world, tmp_path)


def test_a_life(bench):
    bench.settles({"platform": ["Admin", "ReadOnly"], "sre": ["ReadOnly"]})
    assert bench.members("Admin") == ["ann", "ben"]
    assert bench.members("ReadOnly") == ["ann", "ben", "cara"]
    bench.settles({"platform": ["ReadOnly"], "sre": ["Admin", "ReadOnly"]})
    assert bench.members("Admin") == ["cara"]
    assert bench.members("ReadOnly") == ["ann", "ben", "cara"]
    bench.settles({"sre": ["ReadOnly"]}, direct={"ReadOnly": ["ben"]})
    assert bench.members("Admin") is None
    assert bench.members("ReadOnly") == ["ben", "cara"]
    bench.settles({"sre": []})
    assert bench.members("ReadOnly") is None
    assert bench.world.okta.rules == {}
    assert {app.label for app in bench.world.okta.apps.values()} == {"AWS", "AWS CLI"}


@pytest.mark.parametrize("later", [["ReadOnly", "Admin"], []], ids=["given", "taken"])
def test_a_restore_brings_people_back_to_where_they_were(bench, later):
    """Also those whom a rule of that run had brought before it came to the members; nobody stays excepted."""
    before = {"platform": ["Admin"], "sre": ["ReadOnly"]}
    bench.settles(before)
    run_id = bench.apply({"platform": ["Admin", "ReadOnly"], "sre": later}).run_id
    bench.restores(run_id)
    assert bench.members("Admin") == ["ann", "ben"]
    assert bench.members("ReadOnly") == ["cara"]
    assert [str(one) for one in bench.plan(before).changes] == []


def test_rules_take_their_time(bench, world):
    world.switches.rule_delay = 20
    bench.settles({"platform": ["Admin"], "sre": ["Admin"]})
    assert bench.members("Admin") == ["ann", "ben", "cara"]
    world.okta.join("cara@acme.example", "platform")
    world.clock.advance(30)
    bench.settles({"platform": ["Admin"], "sre": []})


def test_lost_answers_leave_no_duplicate(bench, world):
    world.switches.lost_answer_share = 0.2
    for give in ({"platform": ["Admin", "ReadOnly"], "sre": ["Admin"]}, {"sre": ["ReadOnly"]}):
        for _ in range(5):
            with contextlib.suppress(AssertionError):
                bench.settles(give)
                break
        bench.settles(give)
    labels = [app.label for app in world.okta.apps.values()]
    assert sorted(labels) == ["AWS", "AWS CLI"]
    assert len({group.name for group in world.okta.groups.values()}) == len(world.okta.groups)
    assert len(world.okta.rules) == 1


def test_throttling_is_sat_out(bench, world):
    world.switches.throttle_share = 0.3
    world.okta.reconcile_share = 0.3
    bench.settles({"platform": ["Admin"]})


def test_planning_writes_nothing(bench, world):
    bench.settles({"platform": ["Admin"]})
    world.calls.clear()
    bench.plan({"sre": ["Admin", "ReadOnly"]})
    assert {operation.split()[0] for _, operation, _ in world.calls} == {"GET"}


def test_a_plan_of_nothing_takes_few_calls(bench, world):
    bench.settles({"platform": list(ROLES), "sre": ["ReadOnly"]})
    world.calls.clear()
    assert bench.plan({"platform": list(ROLES), "sre": ["ReadOnly"]}).changes == ()
    assert len(world.calls) <= 14
