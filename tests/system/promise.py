"""What the promise tests share: which form is run, faults, and whether a fleet is as its estate wants it."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fleet import ROLES, Fleet, Row

from ostiary.sandbox.adapters import aws_hook

FULL = os.environ.get("OSTIARY_CHAOS") == "full"


def converged(fleet: Fleet) -> None:
    """Every account at the desired state, once: no orphan, no duplicate, nothing foreign changed, a plan is empty."""
    wanted = {*ROLES, "BreakGlass", "OrganizationAccountAccessRole"}
    for number in range(len(fleet.accounts)):
        account = fleet.account(number)
        assert {role.name for role in account.roles} == wanted, account.id
        assert {one.name for one in account.saml_providers} == {"Okta"}, account.id
        for role in ROLES:
            assert len(account.roles[role].managed) == 1
            assert len(account.roles[role].trust["Statement"]) == 1
    names = Counter(group.name for group in fleet.okta.groups.values())
    assert {name: count for name, count in names.items() if count > 1} == {}
    role_groups = [name for name in names if name.startswith("aws#")]
    assert len(role_groups) == len(ROLES) * len(fleet.accounts)
    labels = Counter(app.label for app in fleet.okta.apps.values())
    assert max(labels.values()) == 1, labels
    rules = Counter(rule.name for rule in fleet.okta.rules.values())
    assert max(rules.values()) == 1, rules
    fleet.calls()
    plan = fleet.work("plan").plan()
    assert plan.is_empty, [(str(one.key), one.action, one.reason) for one in plan.changes][:5]
    assert fleet.calls().mutating == []


class InFlight:
    """How many calls the client has under way in each account at once, at most. ``Fleet.join`` may be replaced by ``join``."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._now: dict[str, int] = defaultdict(int)
        self.most: dict[str, int] = defaultdict(int)
        self.times: dict[tuple[str, str], list[float]] = defaultdict(
            list
        )  # (account, body) -> when it was sent
        self._lock = threading.Lock()

    def join(self, client: Any) -> None:
        hook = aws_hook(self._fleet.world)

        def counted(request: Any, **event: Any) -> Any:
            with self._counted(request):
                return hook(request=request, **event)

        client.meta.events.register("before-send", counted)

    @contextmanager
    def _counted(self, request: Any) -> Iterator[None]:
        header = request.headers.get("Authorization", b"")
        text = header.decode() if isinstance(header, bytes) else str(header)
        key = text.partition("Credential=")[2].partition("/")[0]
        held = self._fleet.cloud.keys.get(key)
        account = held.account_id if held else ""
        with self._lock:
            self._now[account] += 1
            self.most[account] = max(self.most[account], self._now[account])
            self.times[account, str(request.body)].append(time.monotonic())
        try:
            yield
        finally:
            with self._lock:
                self._now[account] -= 1

    def most_in_an_account(self) -> int:
        return max(self.most[account] for account in self._fleet.accounts)

    def retries(self) -> list[float]:
        """When something was sent again."""
        return sorted(moment for several in self.times.values() for moment in several[1:])


def at_call(number: int, act: Any, of: Any = None) -> Any:
    """A watcher that does ``act`` once, at the ``number``-th call for which ``of(row)`` holds."""
    left = [number]

    def on_call(row: Row) -> None:
        if of is None or of(row):
            left[0] -= 1
            if left[0] == 0:
                act()

    return on_call
