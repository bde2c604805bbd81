"""What group rules do, some time after what set them off.

Source: Okta help, "Manual group user management": a rule takes over members that were added by hand; removing a
member that a rule gave puts the person on the rule's exception list. A rule may follow groups that other rules
fill ("cascading rules" are advised against, not refused), and so do these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostiary.sandbox.okta.expressions import Expression, parse
from ostiary.sandbox.okta.objects import RULE_STATUSES, Group, Rule, User

if TYPE_CHECKING:
    from ostiary.sandbox.okta.state import OktaOrg

_CASCADES = 25


def settle(org: OktaOrg, now: float) -> None:
    """Carry out every evaluation that is due."""
    for _ in range(_CASCADES):
        users = {known for known, due in org.dirty_users.items() if due <= now}
        rules = {known for known, due in org.dirty_rules.items() if due <= now}
        if not users and not rules:
            return
        for known in users:
            del org.dirty_users[known]
        for known in rules:
            del org.dirty_rules[known]
        active = [rule for rule in org.rules.values() if rule.status == "ACTIVE"]
        for rule in active:
            expression = parse(rule.expression)
            for known in org.users if rule.id in rules else users:
                user = org.users.get(known)
                if user is not None:
                    _evaluate(org, rule, expression, user, now)


def _evaluate(org: OktaOrg, rule: Rule, expression: Expression, user: User, now: float) -> None:
    wanted = (
        user.status in RULE_STATUSES and user.id not in rule.excluded and expression.test(org, user)
    )
    for target in rule.targets:
        group = org.groups.get(target)
        if group is None or wanted == (user.id in group.by_rule.get(rule.id, ())):
            continue
        given = group.by_rule.setdefault(rule.id, set())
        before = org.holds(group, user.id)
        if wanted:
            given.add(user.id)
            group.direct.discard(user.id)
        else:
            given.discard(user.id)
        if before != org.holds(group, user.id):
            moved(org, group, user, now, inside=wanted)
            org.dirty_users[user.id] = now


def moved(org: OktaOrg, group: Group, user: User, now: float, *, inside: bool) -> None:
    """Note a change of membership that a rule made."""
    group.membership_updated = now
    event = f"group.user_membership.{'add' if inside else 'remove'}"
    targets = ((user.id, "User", user.name), (group.id, "UserGroup", group.name))
    org.record(event, (org.id, "Okta System"), targets)


def release(org: OktaOrg, rule: Rule, now: float, *, remove: bool) -> None:
    """Forget a rule: its members leave, or stay as if they had been added by hand."""
    for target in rule.targets:
        group = org.groups.get(target)
        given = group.by_rule.pop(rule.id, set()) if group else set()
        if group is None:
            continue
        if not remove:
            others = set().union(*group.by_rule.values())
            group.direct |= given - others
            continue
        for known in given:
            if not org.holds(group, known):
                moved(org, group, org.users[known], now, inside=False)
                org.dirty_users[known] = now


def invalidate(org: OktaOrg, group_id: str) -> None:
    """A group is gone: rules that assign to it, or name it, become INVALID and do nothing any more."""
    for rule in org.rules.values():
        if group_id in rule.targets or group_id in parse(rule.expression).group_ids:
            rule.status = "INVALID"
