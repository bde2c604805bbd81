"""Which accounts an assignment means: the ``in`` and ``not_in`` of the estate.

``in`` is a union of selectors; one selector with several terms is their intersection. The management
account is meant only where it is named by id or by its exact name; suspended accounts never are.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ostiary.model.account import Account

ACCOUNT_ID = re.compile(r"[0-9]{12}\Z")


@dataclass(frozen=True, slots=True)
class Selector:
    """One item of ``in`` or ``not_in``; the terms that are set must all hold.

    ``ou`` is a path without the trailing ``/.``; ``ou_direct`` says that only accounts directly in it are
    meant. ``account`` is a 12-digit id, a name or a name glob (``*``, ``?``, ``[``; case counts).
    ``text`` is how the estate writes it, for messages and stable keys.
    """

    text: str
    everything: bool = False
    ou: str | None = None
    ou_direct: bool = False
    tag: tuple[str, str] | None = None
    account: str | None = None

    def matches(self, account: Account) -> bool:
        """Whether an ``in`` item chooses the account: active, and a management account by name only."""
        return account.is_active and self.means(account)

    def means(self, account: Account) -> bool:
        """The same, whatever state the account is in."""
        if account.management and self.account not in (account.id, account.name):
            return False
        return self.covers(account)

    def covers(self, account: Account) -> bool:
        """Whether every term holds: what ``not_in`` and ``by`` go by, management account or not."""
        return (
            self._ou_holds(account.ou)
            and (self.tag is None or account.tags.get(self.tag[0]) == self.tag[1])
            and self._name_holds(account)
        )

    def _ou_holds(self, path: str) -> bool:
        if self.ou is None:
            return True
        if self.ou_direct or path == self.ou:
            return path == self.ou
        return self.ou == "/" or path.startswith(self.ou + "/")

    def _name_holds(self, account: Account) -> bool:
        if self.account is None:
            return True
        if ACCOUNT_ID.match(self.account):
            return account.id == self.account
        # A name with a bracket or star in it is still reachable by its exact spelling.
        return account.name == self.account or fnmatch.fnmatchcase(account.name, self.account)

    def __str__(self) -> str:
        return self.text


def select(
    include: Iterable[Selector],
    exclude: Iterable[Selector],
    accounts: Iterable[Account],
    *,
    inactive: bool = False,
) -> tuple[Account, ...]:
    """The accounts that any of ``include`` matches and none of ``exclude`` covers, ordered by id.

    ``inactive``: also those that would be chosen if they were active.
    """
    wanted, unwanted = tuple(include), tuple(exclude)
    chosen = {
        account.id: account
        for account in accounts
        if any((item.means if inactive else item.matches)(account) for item in wanted)
        and not any(item.covers(account) for item in unwanted)
    }
    return tuple(chosen[key] for key in sorted(chosen))
