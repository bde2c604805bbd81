"""The part of a plan that concerns some accounts only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ostiary.connect import AWS_KINDS
from ostiary.plan.change import Change
from ostiary.plan.plan import Plan


def within(made: Plan, only: Collection[str]) -> Plan:
    """The changes of these accounts, and what they need in Okta: nothing that is another account's alone."""
    return replace(
        made,
        changes=tuple(one for one in made.changes if _concerns(one, only)),
        unread=tuple(one for one in made.unread if not one.scope.isdigit() or one.scope in only),
    )


def _concerns(change: Change, only: Collection[str]) -> bool:
    """In AWS the account decides. In Okta nothing is taken away that another account may need."""
    if change.key.kind in AWS_KINDS:
        return change.account in only
    if not change.key.kind.startswith("okta-"):
        return False
    if change.key.kind in ("okta-group", "okta-role-group-members"):
        return any(account in change.key.name for account in only)
    return change.action != "delete" or change.key.kind == "okta-group-rule"
