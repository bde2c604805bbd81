"""The guard's question about an account, answered from what IAM says now: does an independent admin path remain?"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable

from ostiary.aws.account_reading import Readings
from ostiary.aws.control_policies import ControlPolicies
from ostiary.aws.principals import read_principals
from ostiary.errors import OstiaryError
from ostiary.model.admin_path import PathVerdict, independent_admin_paths
from ostiary.model.iam import AccountIam
from ostiary.plan.resource import Key

_IAM_KINDS = frozenset(("iam-role", "saml-provider", "trust-statement"))


class AdminPathCheck:
    """Satisfies ``plan.guard.AdminPath``. Each account is read once, and only if it is asked about; threads may ask.

    ``providers`` are the names of the SAML providers that this estate feeds; ``trusted`` ARNs of providers or
    principals that it names as independent.
    """

    def __init__(
        self, readings: Readings, providers: Iterable[str], trusted: Iterable[str] = ()
    ) -> None:
        self._readings = readings
        self._providers = frozenset(providers)
        self._trusted = frozenset(trusted)
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._read: dict[str, AccountIam] = {}
        self._scps: dict[int, ControlPolicies] = {}  # by the Aws that reads them

    def check(self, account_id: str, touched: Collection[Key]) -> PathVerdict:
        """Unknown counts as no: an account that cannot be read has no path."""
        try:
            account = self._account(account_id)
            management = self._management_of(account_id)
        except OstiaryError as error:
            return PathVerdict(ok=False, why=f"IAM of account {account_id} was not read: {error}")
        read = [one for one in (account, management) if one is not None]
        return independent_admin_paths(
            account,
            management,
            okta_provider_arns=frozenset(self._provider_arns(one.account_id for one in read)),
            touched=frozenset(
                (key.kind, key.scope, key.name) for key in touched if key.kind in _IAM_KINDS
            ),
            trusted_credentials=self._trusted,
        )

    def _account(self, account_id: str) -> AccountIam:
        aws = self._readings.clouds.of(account_id)
        with self._lock:
            lock = self._locks.setdefault(account_id, threading.Lock())
            scps = self._scps.setdefault(id(aws), ControlPolicies(aws))
        with lock:
            if account_id not in self._read:
                over = scps.over(account_id)
                self._read[account_id] = read_principals(self._readings, account_id, over)
            return self._read[account_id]

    def _management_of(self, account_id: str) -> AccountIam | None:
        """The management account's IAM; None when there is none or we have no way in."""
        aws = self._readings.clouds.of(account_id)
        managing = str((aws.organization() or {}).get("MasterAccountId", ""))
        if not managing or managing == account_id:
            return None
        try:
            return self._account(managing)
        except OstiaryError:
            return None  # then no path through it is found

    def _provider_arns(self, account_ids: Iterable[str]) -> Iterable[str]:
        for account_id in account_ids:
            partition = self._readings.clouds.of(account_id).partition
            for name in self._providers:
                yield partition.iam_arn(account_id, f"saml-provider/{name}")
