"""The accounts of an organization: where each is, in what state, and whether there is a way in.

The tree is walked once: three calls per OU and their pages (AWS Organizations API Reference, ``ListRoots``,
``ListOrganizationalUnitsForParent``, ``ListAccountsForParent``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from ostiary.aws.account_reading import tags_of
from ostiary.aws.session import Aws
from ostiary.errors import Denied, OstiaryError
from ostiary.model.account import Account, AccountId

WORKERS = 16

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Discovery:
    """``accounts`` are the active ones by id; ``suspended`` all others; ``unreachable`` says why, by account id."""

    accounts: tuple[Account, ...]
    suspended: tuple[Account, ...] = ()
    unreachable: Mapping[str, OstiaryError] = field(default_factory=dict)


def discover(
    aws: Aws,
    organization: str,
    *,
    tags: bool = False,
    alone: bool = False,
    enter: bool = False,
) -> Discovery:
    """Read the organization that the caller belongs to; its name in the estate is ``organization``.

    ``tags`` reads each account's tags (one call each); ``enter`` tries the way into each active account.
    ``alone``: a caller without Organizations gets its own account only. Raises ``Denied`` otherwise, and any
    error of a page: a part of an organization is never taken for the whole.
    """
    try:
        found = sorted(_members(aws, organization), key=lambda account: account.id)
    except Denied:
        if not alone:
            raise
        found = [_own_account(aws, organization)]
    if tags:
        found = list(_side_by_side(lambda account: _tagged(aws, account), found))
    accounts = tuple(account for account in found if account.is_active)
    suspended = tuple(account for account in found if not account.is_active)
    return Discovery(accounts, suspended, no_way_in(aws, accounts) if enter else {})


def no_way_in(aws: Aws, accounts: Iterable[Account]) -> dict[str, OstiaryError]:
    """The accounts that cannot be entered, and why. Credentials of the others are kept for what follows."""

    def refused(account: Account) -> tuple[str, OstiaryError | None]:
        try:
            with aws.acting_in(account.id):
                return account.id, None
        except OstiaryError as error:
            return account.id, error

    tried = _side_by_side(refused, accounts)
    return {account_id: error for account_id, error in tried if error is not None}


def _members(aws: Aws, organization: str) -> list[Account]:
    """Everybody below the roots, level by level: what lies beside each other is asked side by side."""
    described = aws.call("organizations", "describe_organization")["Organization"]
    managing = described["MasterAccountId"]
    level = [(root["Id"], "/") for root in aws.pages("organizations", "list_roots", "Roots")]
    found: list[Account] = []
    while level:
        asked = [partial(_accounts_in, aws, organization, managing, *place) for place in level]
        units = [partial(_units_in, aws, *place) for place in level]
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="organization") as pool:
            below = [pool.submit(one) for one in units]
            found += [account for some in pool.map(_call, asked) for account in some]
            level = [place for some in below for place in some.result()]
    return found


def _call(one: Callable[[], T]) -> T:
    return one()


def _accounts_in(
    aws: Aws, organization: str, managing: str, parent: str, path: str
) -> list[Account]:
    listed = list(
        aws.pages("organizations", "list_accounts_for_parent", "Accounts", ParentId=parent)
    )
    aws.parents.update({one["Id"]: parent for one in listed})
    return [
        Account(
            AccountId(one["Id"]),
            one.get("Name", ""),
            organization,
            aws.partition.name,
            ou=path,
            status=one.get("State") or one["Status"],  # State is the newer of the two
            email=one.get("Email", ""),
            management=one["Id"] == managing,
        )
        for one in listed
    ]


def _units_in(aws: Aws, parent: str, path: str) -> list[tuple[str, str]]:
    """The OUs directly below a parent: their ids and paths."""
    listed = list(
        aws.pages(
            "organizations",
            "list_organizational_units_for_parent",
            "OrganizationalUnits",
            ParentId=parent,
        )
    )
    aws.parents.update({unit["Id"]: parent for unit in listed})
    return [(unit["Id"], f"{path.rstrip('/')}/{unit['Name']}") for unit in listed]


def _own_account(aws: Aws, organization: str) -> Account:
    """The caller's account by itself; whether it manages an organization is not known."""
    own = aws.caller().account_id
    return Account(AccountId(own), own, organization, aws.partition.name)


def _tagged(aws: Aws, account: Account) -> Account:
    listed = list(
        aws.pages("organizations", "list_tags_for_resource", "Tags", ResourceId=account.id)
    )
    return replace(account, tags=tags_of({"Tags": listed}))


def _side_by_side(work: Callable[[Account], T], accounts: Iterable[Account]) -> Iterable[T]:
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="organization") as pool:
        return list(pool.map(work, accounts))
