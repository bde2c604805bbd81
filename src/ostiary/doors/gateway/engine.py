"""Plans and applies the gateway's objects by the one engine: journalled, under the guard, resumable, restorable."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ostiary.connect_region import Reached
from ostiary.plan.apply import Outcome, apply
from ostiary.plan.change import OnEvent, Plan
from ostiary.plan.guard import Guard, Overrides
from ostiary.plan.plan import make_plan
from ostiary.plan.resource import Key, Kind, Resource


@dataclass(frozen=True, slots=True)
class _Stays:
    ok: bool = True
    path: str = "no change here says which person may enter the account"
    why: str = ""


class NobodysWayIn:
    """The answer to the guard's question for a way into the account that remains.

    The gateway's objects are networks, instances, load balancers, and one role that only an AWS service may assume: none
    of them is a way for a person into the account, so every way that there was remains.
    """

    def check(self, account_id: str, touched: Collection[Key]) -> _Stays:
        del account_id, touched
        return _Stays()


def plan_for(
    reached: Reached,
    name: str,
    desired: Sequence[Resource],
    kinds: Sequence[Kind],
    on_event: OnEvent | None = None,
) -> Plan:
    """What would change for the objects of ``name``, which is their estate."""
    scopes = {kind.name: [reached.account_id] for kind in kinds}
    return make_plan(desired, kinds, scopes, estate=name, workers=4, on_event=on_event)


def carry_out(
    reached: Reached,
    plan: Plan,
    kinds: Sequence[Kind],
    *,
    overrides: Overrides | None = None,
    on_event: OnEvent | None = None,
    stop: threading.Event | None = None,
) -> Outcome:
    """Do the plan; raises what the exit code should say if not all of it was done."""
    outcome = apply(
        plan,
        kinds,
        store=reached.store,
        wrap=reached.wrap,
        guard=Guard(NobodysWayIn(), (), overrides or Overrides()),
        on_event=on_event,
        workers=4,
        stop=stop,
    )
    outcome.raise_for_result()
    return outcome
