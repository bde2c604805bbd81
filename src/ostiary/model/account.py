"""AWS accounts as an Organization lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NewType

AccountId = NewType("AccountId", str)  # always 12 digits of text, never an int


@dataclass(frozen=True, slots=True)
class Account:
    """One account of an Organization.

    ``ou`` is the path of its parent, ``/`` for the root, ``/Workloads/Prod`` below. ``alias`` is the IAM
    account alias, "" when it has none, None when it was not read.
    """

    id: AccountId
    name: str
    organization: str  # the name in the estate
    partition: str
    ou: str = "/"
    status: str = "ACTIVE"
    email: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    management: bool = False
    alias: str | None = None

    @property
    def is_active(self) -> bool:
        return self.status == "ACTIVE"

    def __str__(self) -> str:
        return f"{self.id} ({self.name})"
