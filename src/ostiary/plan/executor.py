"""Which change when: dependency order, bounded side by side, deletions last. The main thread decides, workers write.

Waves run one after another: the canary's scope with what it needs (if asked), everything that creates or updates, then
deletions kind by kind in reverse order. A deletion is held back while something in its scope did not succeed; an Okta
org counts as tied to every account, so nothing old goes before everything new is in place.
"""

from __future__ import annotations

import heapq
import queue
import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ostiary.errors import OstiaryError, Partial
from ostiary.plan.change import Change, Event, OnEvent, Plan
from ostiary.plan.outcome import Result
from ostiary.plan.resource import Key
from ostiary.plan.writing import Halt, Writer

PER_ACCOUNT = 4  # changes in flight in one account: IAM throttles each account by itself
PER_ORG = (
    12  # in one Okta org, which holds most changes of an estate; its client keeps the rate limits
)
_WENT = {"failed": "failed", "left": "was not begun", "unknown": "may or may not be done"}
_POLL = 0.1  # seconds until a stop is noticed

_ACCOUNT = re.compile(r"[0-9]{12}")


class Executor:
    def __init__(
        self,
        plan: Plan,
        writer: Writer,
        stop: threading.Event,
        *,
        workers: int,
        max_failures: int | None,
        on_event: OnEvent | None,
    ) -> None:
        self._plan = plan
        self._writer = writer
        self._stop = stop
        self._workers = workers
        self._max_failures = max_failures
        self._on_event = on_event
        self._total = len(plan.writes)
        self._stuck = {
            change.key: f"{change.key} is {change.action}"
            for change in plan.changes
            if change.action in ("unread", "foreign")
        }
        self._failed_scopes: set[str] = set()
        self._bad_scopes: set[str] = set()
        self.results: dict[Key, Result] = {}
        self.halted: OstiaryError | None = None

    def run(self, waves: Iterable[Sequence[Change]], *, canary: bool) -> None:
        """Run the waves; what could not begin is ``left``. Anything but an OstiaryError of a worker is raised here."""
        orgs = {one.account for one in self._plan.writes if not _is_account(one.account)}
        most = self._workers + PER_ORG * len(orgs)
        with ThreadPoolExecutor(most, thread_name_prefix="apply") as pool:
            for number, wave in enumerate(waves):
                self._wave(wave, pool)
                if canary and number == 0 and self._bad_scopes and self.halted is None:
                    self.halted = Partial(
                        "stopped after the first account", why=self._first_failure()
                    )
                if self._is_over():
                    break
        for change in self._plan.writes:
            if change.key not in self.results:
                self._record(Result(change, "left"))

    def _wave(self, changes: Sequence[Change], pool: ThreadPoolExecutor) -> None:
        wave = _Wave(changes, self._workers)
        answers: queue.SimpleQueue[tuple[Change, Result | BaseException]] = queue.SimpleQueue()
        in_flight = 0
        while True:
            while not self._is_over() and (change := wave.next()):
                hindrance = self._hindrance(change)
                if hindrance:
                    self._record(Result(change, "blocked", hindrance))
                    wave.finish(change)
                    continue
                self._tell("start", change)
                in_flight += 1
                pool.submit(self._work, change, answers)
            if not in_flight:
                return
            try:
                change, answer = answers.get(timeout=_POLL)
            except queue.Empty:
                continue
            in_flight -= 1
            wave.finish(change)
            if isinstance(answer, Result):
                self._record(answer)
            elif isinstance(answer, Halt):
                self.halted = self.halted or answer.error
                self._record(Result(change, answer.result, str(answer)))
            else:
                raise answer

    def _work(
        self, change: Change, answers: queue.SimpleQueue[tuple[Change, Result | BaseException]]
    ) -> None:
        try:
            answers.put((change, self._writer.write(change)))
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            answers.put((change, error))

    def _is_over(self) -> bool:
        return self._stop.is_set() or self.halted is not None

    def _hindrance(self, change: Change) -> str:
        """Why a change may not begin; "" if it may."""
        for key in change.depends_on:
            before = self.results.get(key)
            if before is not None and before.result != "done":
                return f"{key} {_WENT.get(before.result, 'is ' + before.result)}"
            if key in self._stuck:
                return self._stuck[key]
        if change.action != "delete":
            return ""
        if _is_account(change.account):
            bad = {scope for scope in self._bad_scopes if not _is_account(scope)}
            bad |= self._bad_scopes & {change.account}
        else:
            bad = self._bad_scopes
        return f"held back: not all is done in {', '.join(sorted(bad)[:3])}" if bad else ""

    def _record(self, result: Result) -> None:
        change = result.change
        self.results[change.key] = result
        if result.result != "done":
            self._bad_scopes.add(change.account)
        if result.result in ("failed", "unknown"):
            self._failed_scopes.add(change.account)
            limit = self._max_failures
            if limit is not None and len(self._failed_scopes) >= limit and self.halted is None:
                why = f"{len(self._failed_scopes)} accounts or orgs failed; {self._first_failure()}"
                self.halted = Partial("stopped after too many failures", why=why)
        self._tell(result.result, change, result.why)

    def _first_failure(self) -> str:
        return next((str(one) for one in self.results.values() if one.result != "done"), "")

    def _tell(self, what: str, change: Change, text: str = "") -> None:
        if self._on_event is not None:
            done = len(self.results)
            self._on_event(
                Event(what, change.account, change.key, change.action, text, done, self._total)
            )


class _Wave:
    """The changes of one wave: each becomes ready when all it depends on in this wave is finished.

    In a scope, what the longest chain of others waits for goes first: one app holds up every account, a group nobody.
    ``workers`` bounds what is in flight in all accounts together; each org has room of its own.
    """

    def __init__(self, changes: Sequence[Change], workers: int) -> None:
        self._workers = workers
        keys = {change.key for change in changes}
        self._waits: dict[Key, int] = {}
        self._followers: dict[Key, list[Change]] = defaultdict(list)
        self._ready: dict[str, list[tuple[int, int, Change]]] = defaultdict(list)  # heaps
        self._in_flight: dict[str, int] = defaultdict(int)
        scopes = sorted({change.account for change in changes})
        self._orgs = [scope for scope in scopes if not _is_account(scope)]
        self._room = {scope: PER_ORG if scope in self._orgs else PER_ACCOUNT for scope in scopes}
        for change in changes:
            needs = keys.intersection(change.depends_on)
            self._waits[change.key] = len(needs)
            for key in needs:
                self._followers[key].append(change)
        self._chains = self._measured(changes)
        self._number = 0
        for change in changes:
            if not self._waits[change.key]:
                self._add(change)

    def next(self) -> Change | None:
        """A ready change of a scope that has room: accounts take turns."""
        busy = sum(self._in_flight.values()) - sum(self._in_flight[org] for org in self._orgs)
        for scope in self._orgs if busy >= self._workers else self._ready:
            if self._ready.get(scope) and self._in_flight[scope] < self._room[scope]:
                ready = self._ready.pop(scope)
                _, _, change = heapq.heappop(ready)
                if ready:
                    self._ready[scope] = ready  # at the end of the line
                self._in_flight[scope] += 1
                return change
        return None

    def finish(self, change: Change) -> None:
        self._in_flight[change.account] -= 1
        for follower in self._followers[change.key]:
            self._waits[follower.key] -= 1
            if not self._waits[follower.key]:
                self._add(follower)

    def _add(self, change: Change) -> None:
        self._number += 1  # among equals as planned
        place = (-self._chains[change.key], self._number, change)
        heapq.heappush(self._ready[change.account], place)

    def _measured(self, changes: Sequence[Change]) -> dict[Key, int]:
        """How many changes, one after another, wait for each; whatever it depends on counts one more."""
        waits = dict(self._waits)
        order = [change.key for change in changes if not waits[change.key]]
        for key in order:  # grows while it is walked: what has no more to wait for is next
            for follower in self._followers[key]:
                waits[follower.key] -= 1
                if not waits[follower.key]:
                    order.append(follower.key)
        chains: dict[Key, int] = {}
        for key in reversed(order):
            followers = (chains[follower.key] for follower in self._followers[key])
            chains[key] = 1 + max(followers, default=0)
        return chains


def waves_of(plan: Plan, kind_names: Sequence[str], *, canary: bool) -> list[list[Change]]:
    """The order of work; with ``canary`` the first wave is one account and what it needs elsewhere."""
    building = [change for change in plan.writes if change.action != "delete"]
    waves = [building]
    if canary:
        first = _canary(building)
        waves = [
            [change for change in building if change.key in first],
            [change for change in building if change.key not in first],
        ]
    for name in reversed(kind_names):
        waves.append(
            [one for one in plan.writes if one.action == "delete" and one.key.kind == name]
        )
    return [wave for index, wave in enumerate(waves) if wave or (canary and index == 0)]


def restore_waves(plan: Plan, kind_names: Sequence[str]) -> list[list[Change]]:
    """Bring back in the order of kinds, then take away in reverse: the mirror image of an apply."""
    back = [
        [one for one in plan.writes if one.action != "delete" and one.key.kind == name]
        for name in kind_names
    ]
    away = [
        [one for one in plan.writes if one.action == "delete" and one.key.kind == name]
        for name in reversed(kind_names)
    ]
    return [wave for wave in (*back, *away) if wave]


def _canary(building: Sequence[Change]) -> set[Key]:
    by_key = {change.key: change for change in building}
    account = min((one.account for one in building if _is_account(one.account)), default="")
    todo = [change for change in building if change.account == account]
    chosen: set[Key] = set()
    while todo:
        change = todo.pop()
        if change.key not in chosen:
            chosen.add(change.key)
            todo += [by_key[key] for key in change.depends_on if key in by_key]
    return chosen


def _is_account(scope: str) -> bool:
    return _ACCOUNT.fullmatch(scope) is not None
