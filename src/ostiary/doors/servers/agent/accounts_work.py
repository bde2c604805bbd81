"""One application of a state to the accounts of a host: what is wanted, what is known, what went wrong, and by which backend."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ostiary.doors.servers.agent import accounts_local, accounts_repair, extrausers
from ostiary.doors.servers.agent.accounts_lookup import Lookup
from ostiary.doors.servers.agent.accounts_owned import Owned
from ostiary.doors.servers.agent.accounts_wanted import Account
from ostiary.doors.servers.agent.files import HostError
from ostiary.doors.servers.agent.run import run
from ostiary.doors.servers.wire.host import HostGroup, HostUser


@dataclass
class Work:
    """``problems`` are by the user or group that they keep out; whatever else is told has a name of its own."""

    users: Sequence[HostUser]
    groups: Sequence[HostGroup]
    owned: Owned
    lookup: Lookup
    local: frozenset[str]  # who has a line in /etc/passwd itself
    managed: tuple[str, ...]  # the groups that all of ours are in
    problems: dict[str, str] = field(default_factory=dict)

    def failed(self, name: str, error: HostError) -> None:
        self.problems.setdefault(name, str(error))

    def attempt(self, name: str, step: Callable[[], object]) -> bool:
        """Whether it was done; what failed is a problem of ``name``."""
        try:
            step()
        except HostError as error:
            self.failed(name, error)
        except OSError as error:
            self.failed(name, HostError(f"{error.filename}: {error.strerror}"))
        else:
            return True
        return False

    def bring(self, accounts: Iterable[Account], groups: Iterable[HostGroup]) -> None:
        """By extrausers where NSS reads them, but an account that is in /etc/passwd stays there."""
        accounts, groups = list(accounts), list(groups)
        if not extrausers.configured():
            accounts_local.bring(accounts, groups, self.lookup, self.failed)
            return
        if here := [one for one in accounts if one.name in self.local]:
            accounts_local.bring(here, (), self.lookup, self.failed)
        others = [one for one in accounts if one.name not in self.local]
        self.attempt("extrausers", lambda: extrausers.bring(others, groups, self.lookup))

    def repair(self) -> None:
        """Mend what an earlier run left half done, if it was killed."""
        self.attempt("files of accounts", self._repair)

    def _repair(self) -> None:
        owned = self.owned
        groups = [*self.managed, *owned.groups]
        files = accounts_repair.read()
        for command in accounts_repair.repairs(files, owned.users, owned.gone, groups):
            self.attempt(command[-1], functools.partial(run, *command))


def complaints() -> tuple[str, ...]:
    """What the host's own checks find wrong with the files of accounts."""
    return (*accounts_local.complaints(), *extrausers.complaints())
