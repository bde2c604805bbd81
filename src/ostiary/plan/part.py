"""What a door adds to the plan of an estate beside the accounts and orgs: own kinds of objects in a scope of their own."""

from __future__ import annotations

from datetime import date
from typing import Protocol

from ostiary.plan.change import Plan
from ostiary.plan.resource import Kind, Resource


class Part(Protocol):
    """``scope`` is the one scope of ``kinds``, ``title`` what plans call it for people."""

    @property
    def scope(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def kinds(self) -> tuple[Kind, ...]: ...

    def resources(self, today: date) -> tuple[Resource, ...]:
        """What the estate wants of it on a day."""
        ...

    def warnings(self, today: date, made: Plan) -> tuple[str, ...]:
        """What people should know of it, one line each."""
        ...

    def problems(self, made: Plan) -> tuple[str, ...]:
        """What the estate asks and cannot have, seen from what was read: lines of ``file:line: message``."""
        ...

    def checks(self, purpose: str) -> tuple[tuple[str, bool | None, str], ...]:
        """What can be tested by harmless reads for plan or apply: (what, whether it is well, what to ask for)."""
        ...

    def close(self) -> None: ...
