"""The KMS key that signs for a project: planned, journalled and made by the engine, before it signs anything."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ostiary.aws.project_key import ProjectKeyKind
from ostiary.aws.project_key_wanted import named_key, next_key, wanted_key
from ostiary.connect_region import Reached
from ostiary.errors import NotFound
from ostiary.plan.apply import apply
from ostiary.plan.guard import Guard
from ostiary.plan.plan import Plan, make_plan
from ostiary.plan.resource import Key, Resource


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
    """One wish about a project's key: that it is there, that its rotation's is, or that its alias names another."""

    def __init__(self, reached: Reached, project: str, wanted: Resource) -> None:
        self._reached = reached
        self._mark = f"servers-{project}"
        self._kind = ProjectKeyKind(self._mark, reached.aws, reached.region)
        self._wanted = wanted

    def plan(self) -> Plan:
        """What it would change; empty where it is so already. The project's other key stays as it is."""
        scope = self._wanted.key.scope
        held = self._kind.read(scope, {}).found
        others = [Resource(one.key, {}) for one in held if one.key != self._wanted.key]
        scopes = {self._kind.name: [scope]}
        desired = [self._wanted, *others]
        return make_plan(desired, [self._kind], scopes, estate=self._mark, workers=1)

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


def first_key(reached: Reached, project: str, signer: str) -> KeyMaking:
    """The key of a new project. ``signer`` is the ARN of the role that the control plane has; nobody else may sign with it."""
    wanted = wanted_key(reached.account_id, reached.region, project, signer=signer)
    return KeyMaking(reached, project, wanted)


def another_key(reached: Reached, project: str, signer: str) -> KeyMaking:
    """The key that a rotation goes to."""
    wanted = next_key(reached.account_id, reached.region, project, signer=signer)
    return KeyMaking(reached, project, wanted)


def alias_of(reached: Reached, project: str, arn: str) -> KeyMaking:
    """That the project's alias names the key that signs now."""
    wanted = named_key(reached.account_id, reached.region, project, arn)
    return KeyMaking(reached, project, wanted)
