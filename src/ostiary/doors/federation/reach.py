"""New reach: accounts that selectors match today and did not match at the last apply."""

from __future__ import annotations

from ostiary.doors.federation.seen import Desired
from ostiary.model.estate import Estate

ADMIN_POLICIES = frozenset({"AdministratorAccess", "IAMFullAccess", "PowerUserAccess"})


def matched(wanted: Desired) -> frozenset[str]:
    """``<role ARN>`` of every entitlement that is assigned to somebody."""
    return frozenset(one.entitlement.role_arn for one in wanted.assignments)


def new_reach(
    before: frozenset[str] | None, now: frozenset[str], *, admin_only: Estate | None = None
) -> list[str]:
    """Role ARNs of ``now`` in accounts of which ``before`` had none. The first apply of an estate reaches nothing new.

    With ``admin_only``, only roles of that estate that are as good as an administrator.
    """
    if before is None:
        return []
    known = {_account(arn) for arn in before}
    fresh = [arn for arn in sorted(now) if _account(arn) not in known]
    if admin_only is None:
        return fresh
    return [arn for arn in fresh if _is_admin(admin_only, arn.rpartition("/")[2])]


def _account(arn: str) -> str:
    return arn.split(":")[4]


def _is_admin(estate: Estate, role: str) -> bool:
    """Unknown counts as yes: the policies of an existing role are somebody else's to change."""
    template = estate.roles.get(role)
    if template is None or template.existing:
        return True
    policies = [*template.policies]
    for other in template.by:
        policies += other.policies or ()
    return any(policy.kind != "aws" or policy.name in ADMIN_POLICIES for policy in policies)
