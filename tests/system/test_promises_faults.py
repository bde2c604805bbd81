"""Promises about a world that fails, in process. PROMISES.md says which test holds which promise in which form."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from dataclasses import replace

import pytest
from fleet import ESTATE, PART, ROLES, Fleet, Row, fleet, trust_of
from promise import FULL, InFlight, at_call, converged

from ostiary.aws import pacing, propagation, session
from ostiary.errors import GuardTripped, OstiaryError, Partial, StalePlan
from ostiary.okta import client as okta_client
from ostiary.plan.saved import load, save
from ostiary.sandbox.aws.state import Session

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800 if FULL else 60)]


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Fleets, and the environment that reaches the last one made."""
    names = itertools.count()

    def make(number: int, **options) -> Fleet:
        made = fleet(tmp_path / str(next(names)), number, **options)
        for name, value in made.env().items():
            monkeypatch.setenv(name, value)
        return made

    return make


@pytest.fixture
def quick(monkeypatch):
    """In the small form the waits of a minute pass in a second."""
    if not FULL:
        monkeypatch.setattr(pacing, "LONGEST_WAIT", 0.05)
        monkeypatch.setattr(propagation, "LONGEST_STEP", 0.2)
        monkeypatch.setattr(okta_client, "LONGEST_BACKOFF", 0.05)


def apply(world: Fleet, **options):
    work = world.work()
    return work.apply(work.plan(), **options)


def test_a1_half_of_the_calls_throttled_and_a_storm(make, quick, monkeypatch):
    size = 200 if FULL else 5
    calm = make(size)
    apply(calm)
    plain = len(calm.calls().rows)
    world = make(size)
    watch = InFlight(world)
    monkeypatch.setattr(world, "join", watch.join)
    switches = world.world.switches
    switches.throttle_share = 0.5

    def storm() -> None:
        switches.throttle_share = 1.0
        threading.Timer(60 if FULL else 0.3, setattr, (switches, "throttle_share", 0.5)).start()

    world.watch(at_call(plain, storm))
    outcome = apply(world)
    calls = len(world.calls().rows)
    switches.throttle_share = 0.0
    assert outcome.converged
    converged(world)
    assert watch.most_in_an_account() <= 4
    if FULL:  # the small form has shorter waits, so more calls
        assert calls <= 3 * plain
        bins = Counter(int(moment * 10) for moment in watch.retries())
        assert max(bins.values()) <= 0.05 * bins.total()


@pytest.mark.parametrize("skew", [-90, 90])
def test_a2_after_a_429_nothing_is_asked_of_that_endpoint_until_its_reset(make, skew):
    """Our clock is wrong by 90 s; the reset is told by Okta's. unit/okta/test_okta_limits.py has the arithmetic."""
    ahead = 30 if FULL else 4
    world = make(8 if FULL else 2)
    world.world.clock.offset = -skew
    times: list[float] = []
    resets: list[float] = []

    def others_used_it_up(row: Row) -> None:
        if row[1] != "POST /api/v1/groups":
            return
        times.append(time.monotonic())
        if not resets:
            start = world.world.clock.now() - 60 + ahead
            world.okta.meter.windows["/api/v1/groups", ""] = (start, 10**6)
            resets.append(time.monotonic() + ahead)

    world.watch(others_used_it_up)
    assert apply(world).converged
    assert len(times) > len(world.accounts) * len(ROLES), "there was a 429"
    assert [one for one in times if times[0] + 1 < one < resets[0]] == []
    world.world.clock.offset = 0.0
    converged(world)


def test_a5_three_denied_accounts_are_named_and_only_they_are_done_again(make):
    world = make(1000 if FULL else 8)
    closed, roleless, providerless = world.accounts[:3]
    denied = {
        (closed, "sts:AssumeRole"),
        (roleless, "iam:CreateRole"),
        (providerless, "iam:CreateSAMLProvider"),
    }
    world.world.switches.denied |= denied
    outcome = apply(world)
    with pytest.raises(Partial) as caught:
        outcome.raise_for_result()
    told = caught.value.why
    for account, action in denied:
        assert account in told
        assert any(action in line for line in told.split("\n") if account in line), (action, told)
    for account in world.accounts[3:]:
        assert {role.name for role in world.cloud.account(account).roles} >= set(ROLES)

    world.world.switches.denied.clear()
    world.calls()
    assert apply(world).converged
    touched = {row[2] for row in world.calls().mutating if row[0] == "iam"}
    assert touched == {closed, roleless, providerless}
    converged(world)


def test_a6_tolerance_and_canary(make):
    world = make(40)
    world.world.switches.denied |= {(one, "iam:CreateSAMLProvider") for one in world.accounts[5:]}
    work = world.work(workers="4")
    plan = work.plan()
    world.calls()
    with pytest.raises(Partial, match="too many failures"):
        work.apply(plan, max_failures=5).raise_for_result()
    failing = [row for row in world.calls().rows if row[1] == "CreateSAMLProvider"]
    assert sum(row[2] in world.accounts[5:] for row in failing) <= 5 + 4


def test_a6_a_failed_canary_is_the_only_account_tried(make):
    world = make(40)
    world.world.switches.denied |= {(one, "iam:CreateSAMLProvider") for one in world.accounts}
    work = world.work()
    plan = work.plan()
    world.calls()
    with pytest.raises(Partial, match="stopped after the first account"):
        work.apply(plan, canary=True).raise_for_result()
    tried = {row[2] for row in world.calls().mutating if row[0] == "iam"}
    assert tried == {world.accounts[0]}


def test_a7_writes_that_show_late(make):
    world = make(20 if FULL else 3)
    world.world.switches.visible_after = 30.0 if FULL else 0.8
    assert apply(world).converged
    assert world.work("plan").plan().is_empty, "within the window"
    world.world.switches.visible_after = 0.0
    converged(world)


def test_a8_lost_answers_make_no_duplicate(make, quick):
    world = make(200 if FULL else 6)
    world.world.switches.lost_answer_share = 0.2
    outcome = apply(world)
    if outcome.unknown:  # three answers in a row lost and no way to look: the next run settles it
        outcome = apply(world)
    world.world.switches.lost_answer_share = 0.0
    assert outcome.converged
    converged(world)


def test_a8_what_stands_in_the_way_without_our_mark_is_an_error_that_names_it(make):
    world = make(2)
    work = world.work()
    plan = work.plan()
    account = world.accounts[1]
    world.cloud.add_role(account, "PowerUser", trust_of(f"arn:aws:iam::{account}:root"))
    with pytest.raises(OstiaryError) as caught:
        work.apply(plan).raise_for_result()
    assert f"iam-role:{account}/PowerUser" in caught.value.why
    assert "EntityAlreadyExists" in caught.value.why
    assert world.account(1).roles["PowerUser"].trust["Statement"][0]["Sid"] == "Theirs"


def test_a11_what_changed_after_the_plan_is_left_and_the_rest_goes_on(make, tmp_path):
    world = make(4)
    assert apply(world).converged
    text = world.estate_file.read_text()
    world.estate_file.write_text(
        text.replace("description: Everything,", "description: All of it,")
    )
    file = tmp_path / "plan"
    save(world.work().plan(), file)
    role = world.account(0).roles["Administrator"]
    world.account(0).roles.put(replace(role, description="Somebody else's"))

    def again():
        work = world.work()
        return work, work.fitting(load(file))

    world.calls()
    work, plan = again()
    with pytest.raises(StalePlan):
        work.apply(plan, all_or_nothing=True)
    assert world.calls().mutating == []
    work, plan = again()
    with pytest.raises(StalePlan):
        work.apply(plan).raise_for_result()
    assert world.account(0).roles["Administrator"].description == "Somebody else's"
    assert {row[2] for row in world.calls().mutating} == set(world.accounts[1:])


def test_a13_foreign_edits_of_a_trust_policy_that_precede_the_last_look_stay(make):
    races = 500 if FULL else 12
    estate = ESTATE.replace("assignments:", "  Deployer: {existing: true}\nassignments:")
    for part in range(-(-races // PART)):
        estate += (
            f"  - {{group: sre-{part}, may: Deployer, in: ['ou:/Part-{part}'], console: std}}\n"
        )
    world = make(races, estate=estate)
    for account in world.accounts:
        world.cloud.add_role(account, "Deployer", trust_of(f"arn:aws:iam::{account}:root"))
    work = world.work()
    plan = work.plan()
    looked: dict[str, float] = {}
    windows: list[float] = []

    def race(row) -> None:
        """Somebody adds a statement just before we look for the last time before writing."""
        _, operation, account = row
        if operation == "GetRole" and account not in looked:
            roles = world.cloud.account(account).roles
            role = roles["Deployer"]
            late = trust_of("arn:aws:iam::100000000001:root", "Race")["Statement"]
            trust = {**role.trust, "Statement": [*role.trust["Statement"], *late]}
            roles.put(replace(role, trust=trust))
        if operation == "GetRole":
            looked[account] = time.monotonic()
        if operation == "UpdateAssumeRolePolicy":
            windows.append(time.monotonic() - looked[account])

    world.watch(race)
    outcome = work.apply(plan)
    assert outcome.converged, outcome.counts()
    for account in world.accounts:
        sids = [
            one["Sid"] for one in world.cloud.account(account).roles["Deployer"].trust["Statement"]
        ]
        assert sids[:2] == ["Theirs", "Race"], sids
        assert len(sids) == 3
    assert len(windows) == races
    assert max(windows) < 1.0, "the window in which an edit can still be lost"


def test_a17_credentials_that_end_in_the_middle_are_renewed(make):
    world = make(50 if FULL else 4)
    work = world.work()
    plan = work.plan()
    ended = []

    def end_sessions() -> None:
        keys = world.cloud.keys
        for name, key in keys.items():
            if isinstance(key, Session):
                keys[name] = replace(key, expires=0.0)
        ended.append(len(world.world.calls))

    world.watch(at_call(len(plan.writes) // 2, end_sessions))
    outcome = work.apply(plan)
    assert ended
    assert outcome.converged
    converged(world)


def test_a17_our_own_credentials_end_and_a_later_run_goes_on(make):
    world = make(50 if FULL else 4)
    work = world.work()
    plan = work.plan()
    key = world.cloud.keys[world.admin_key[0]]

    def end() -> None:
        for name, held in world.cloud.keys.items():
            gone = {"expires": 0.0} if isinstance(held, Session) else {"active": False}
            world.cloud.keys[name] = replace(held, **gone)

    world.watch(at_call(3, end, lambda row: row[1] == "CreateRole"))
    with pytest.raises(Partial) as caught:
        work.apply(plan).raise_for_result()
    assert "renew the credentials" in caught.value.fix
    world.cloud.keys[key.id] = key
    assert apply(world).converged
    converged(world)


def test_a22_an_emptied_estate_deletes_nothing_without_the_flags(make):
    world = make(12)
    assert apply(world).converged
    head, _, _ = world.estate_file.read_text().partition("assignments:")
    world.estate_file.write_text(head + "assignments: []\n")
    world.calls()
    work = world.work()
    plan = work.plan()
    assert plan.summary()["delete"] > 0
    with pytest.raises(GuardTripped, match="fleet"):
        work.apply(plan)
    assert world.calls().mutating == []


def test_a22_a_cut_list_of_accounts_deletes_nothing(make, quick):
    world = make(100)
    assert apply(world).converged
    world.calls()
    world.world.switches.cut_page_share = 1.0
    monkey = pytest.MonkeyPatch()
    monkey.setattr(session, "RETRY_FOR", 0.5)
    with monkey.context(), pytest.raises(OstiaryError):
        apply(world)
    monkey.undo()
    assert world.calls().mutating == []


def test_a22_half_of_the_accounts_gone_from_the_list_delete_nothing(make):
    world = make(12)
    assert apply(world).converged
    for number in range(6):
        world.account(number).organization = ""
    world.calls()
    work = world.work()
    plan = work.plan()
    if any(change.action == "delete" for change in plan.writes):
        with pytest.raises(GuardTripped):
            work.apply(plan)
    assert world.calls().mutating == []


def test_a22_suspended_accounts_are_named_and_lose_nothing(make):
    world = make(12)
    assert apply(world).converged
    for number in range(2):
        world.account(number).status = "SUSPENDED"
    world.calls()
    plan = world.work("plan").plan()
    assert sum(warning.count("SUSPENDED") for warning in plan.warnings) == 2
    assert [str(change.key) for change in plan.writes if change.action == "delete"] == []
    assert world.calls().mutating == []
