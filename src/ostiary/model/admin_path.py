"""Does an independent admin path into an account remain? (the interface; see docs/explanation/admin-path.md)"""

from __future__ import annotations

from dataclasses import dataclass

from ostiary.model.iam import AccountIam


@dataclass(frozen=True, slots=True)
class PathVerdict:
    """``path`` says in one sentence who gets in how; ``why`` says what was tried and failed when none does."""

    ok: bool
    path: str = ""
    why: str = ""


def independent_admin_paths(
    account: AccountIam,
    management: AccountIam | None,
    *,
    okta_provider_arns: frozenset[str],
    touched: frozenset[tuple[str, str, str]],
    trusted_credentials: frozenset[str] = frozenset(),
) -> PathVerdict:
    """Find a principal with effective admin rights over ``account`` that this org and this plan cannot cut off."""
    if not account.complete or account.users is None:
        return PathVerdict(ok=False, why=f"IAM of account {account.account_id} was not read whole")
    return PathVerdict(ok=False, why="nothing independent was found")
