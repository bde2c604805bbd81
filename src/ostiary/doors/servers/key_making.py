"""The KMS key that signs for a project: planned, journalled and made by the engine, before the project is."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ostiary.aws.project_key import ProjectKeyKind, wanted_key
from ostiary.connect_region import Reached
from ostiary.errors import NotFound
from ostiary.plan.apply import apply
from ostiary.plan.guard import Guard
from ostiary.plan.plan import Plan, make_plan
from ostiary.plan.resource import Key


@dataclass(frozen=True, slots=True)
class _Stays:
    ok: bool = True
    path: str = "a key that signs for servers is nobody's way into the account"
    why: str = ""


class _NobodysWayIn:
    """What the guard asks where a policy says who may: this one says who may sign, not who may enter the account."""

    def check(self, account_id: str, touched: Collection[Key]) -> _Stays:
        del account_id, touched
        return _Stays()


class KeyMaking:
    """``signer`` is the ARN of the role that the control plane has; nobody else may sign with the key."""

    def __init__(self, reached: Reached, project: str, signer: str) -> None:
        self._reached = reached
        self._mark = f"servers-{project}"
        self._kind = ProjectKeyKind(self._mark, reached.aws, reached.region)
        account = reached.account_id
        self._wanted = wanted_key(account, reached.region, project, signer=signer)

    def plan(self) -> Plan:
        """What making it would change; empty where it is there already."""
        scopes = {self._kind.name: [self._wanted.key.scope]}
        return make_plan([self._wanted], [self._kind], scopes, estate=self._mark, workers=1)

    def make(self, made: Plan) -> str:
        """Do the plan; the key's ARN."""
        reached = self._reached
        guard = Guard(_NobodysWayIn())
        apply(
            made, [self._kind], store=reached.store, wrap=reached.wrap, guard=guard, workers=1
        ).raise_for_result()
        found = self._kind.look(self._wanted.key)
        if found is None:
            raise NotFound(f"{self._wanted.key} is gone again", fix="run the same command again")
        return found.ids["arn"]
