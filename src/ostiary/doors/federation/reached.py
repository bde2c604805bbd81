"""What one person can enter now, or who can enter one account, and by which group: the answers of ``access``."""

from __future__ import annotations

from dataclasses import dataclass

from ostiary.doors.federation.proof import Held, computed_paths
from ostiary.doors.federation.seen import Desired
from ostiary.model.account import Account, AccountId


@dataclass(frozen=True, slots=True)
class ReachedItem:
    """``because`` is the role group that opens it; ``wanted`` says that the estate means it."""

    account: str
    name: str
    role: str
    arn: str
    because: str
    wanted: bool


@dataclass(frozen=True, slots=True)
class Reached:
    """``missing``: ARNs of roles that the estate means and that are not open; ``unread``: ids of accounts that were not read."""

    login: str
    status: str
    items: tuple[ReachedItem, ...]
    missing: tuple[str, ...]
    unread: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        return {
            "login": self.login,
            "status": self.status,
            "access": [
                {
                    "account": item.account,
                    "name": item.name,
                    "role": item.role,
                    "arn": item.arn,
                    "because": item.because,
                    "wanted": item.wanted,
                }
                for item in self.items
            ],
            "missing": list(self.missing),
            "unread": list(self.unread),
        }


def reached(
    login: str,
    status: str,
    held: Held,
    wanted: Desired,
    accounts: tuple[Account, ...],
    *,
    unread: frozenset[AccountId],
) -> Reached:
    """``status`` is Okta's; ``unread`` are the ids of those of ``accounts`` that ``held`` is not about."""
    names = {account.id: account.name for account in accounts}
    meant = {one.entitlement for one in wanted.access if one.login == login}
    paths = [path for path in computed_paths(held) if path.access.login == login]
    items = tuple(
        ReachedItem(
            path.access.entitlement.account_id,
            names.get(path.access.entitlement.account_id, ""),
            path.access.entitlement.role,
            path.access.entitlement.role_arn,
            f"group {path.group} of app {path.app}",
            path.access.entitlement in meant,
        )
        for path in sorted(paths, key=lambda path: (path.access, path.group))
    )
    there = {item.arn for item in items}
    missing = tuple(sorted(one.role_arn for one in meant if one.role_arn not in there))
    return Reached(login, status, items, missing, tuple(sorted(unread & names.keys())))


@dataclass(frozen=True, slots=True)
class ReachedBy:
    """One person who can enter a role of the account that was asked about; otherwise as ``ReachedItem``."""

    login: str
    account: str
    role: str
    arn: str
    because: str
    wanted: bool

    def as_json(self) -> dict[str, object]:
        return {
            "login": self.login,
            "account": self.account,
            "role": self.role,
            "arn": self.arn,
            "because": self.because,
            "wanted": self.wanted,
        }


def reached_by(
    held: Held, wanted: Desired, account: Account, role: str = ""
) -> tuple[ReachedBy, ...]:
    """Everybody who can enter ``role``, or any role, of an account now."""
    paths = [
        path
        for path in computed_paths(held)
        if path.access.entitlement.account_id == account.id
        and role in ("", path.access.entitlement.role)
    ]
    return tuple(
        ReachedBy(
            path.access.login,
            account.id,
            path.access.entitlement.role,
            path.access.entitlement.role_arn,
            f"group {path.group} of app {path.app}",
            path.access in wanted.access,
        )
        for path in sorted(paths, key=lambda path: (path.access, path.group))
    )
