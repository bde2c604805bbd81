"""The Okta kinds of one org, in the order in which they are created, sharing what they must."""

from __future__ import annotations

from ostiary.okta.app import AppKind
from ostiary.okta.app_assignment import AppAssignmentKind
from ostiary.okta.client import Object, OktaClient
from ostiary.okta.group import GroupKind
from ostiary.okta.group_rule import GroupRuleKind
from ostiary.okta.role_group_members import RoleGroupMembersKind
from ostiary.plan.resource import Kind


def okta_kinds(client: OktaClient, org: str, estate: str) -> tuple[Kind, ...]:
    """``org`` is the org's name in the estate, the scope of every key."""
    removed: set[str] = set()
    renamed: dict[str, str] = {}
    made: dict[str, Object] = {}
    return (
        AppKind(client, org, estate),
        GroupKind(client, org, estate, renamed=renamed, made=made),
        GroupRuleKind(client, org, estate, removed=removed),
        RoleGroupMembersKind(client, org, estate, removed=removed, renamed=renamed, made=made),
        AppAssignmentKind(client, org, estate),
    )
