"""Which ``Aws`` reaches an account: one, or one per organization of the estate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ostiary.aws.session import Aws
from ostiary.errors import NotFound


class Clouds(Protocol):
    """Whatever knows which ``Aws`` reaches an account; an ``Aws`` knows itself."""

    def of(self, account_id: str) -> Aws: ...


class Fleet:
    """Several organizations behind one question: how is this account reached?"""

    def __init__(self, members: Mapping[str, Aws]) -> None:
        self._members = members
        self._places: dict[str, str] = {}

    def place(self, account_id: str, organization: str) -> None:
        """Remember that an account belongs to an organization of the estate."""
        self._places[account_id] = organization

    def of(self, account_id: str) -> Aws:
        try:
            return self._members[self._places[account_id]]
        except KeyError:
            raise NotFound(
                f"account {account_id} is in no organization of the estate",
                fix="run: ostiary doctor",
            ) from None

    def organization_of(self, account_id: str) -> str:
        """The organization of the estate that an account was found in; "" before that."""
        return self._places.get(account_id, "")
