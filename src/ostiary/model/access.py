"""The pivot of the whole product: what can be entered, and who may enter it."""

from __future__ import annotations

from dataclasses import dataclass

from ostiary.model.account import AccountId


@dataclass(frozen=True, slots=True, order=True)
class Entitlement:
    """A thing that can be entered: a role in an account."""

    partition: str
    account_id: AccountId
    role: str

    @property
    def role_arn(self) -> str:
        return f"arn:{self.partition}:iam::{self.account_id}:role/{self.role}"


@dataclass(frozen=True, slots=True, order=True)
class Assignment:
    """Joins a group or a user of an Okta org to an entitlement, by a console of the estate.

    ``principal_kind`` is ``group`` (``principal`` is its exact name) or ``user`` (its login).
    """

    org: str
    principal_kind: str
    principal: str
    entitlement: Entitlement
    console: str


@dataclass(frozen=True, slots=True, order=True)
class Access:
    """One person reaching one entitlement: what a proof compares."""

    login: str
    entitlement: Entitlement
