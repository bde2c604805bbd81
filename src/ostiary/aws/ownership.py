"""Whose an IAM object is: our tag, another estate's, or somebody's who would undo what we write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from ostiary.model.iam import IamRole
from ostiary.plan.resource import Owner

TAG = "ostiary:estate"
_STACK_TAG = "aws:cloudformation:stack-name"

# Never changed and never deleted, whatever an estate says: AWS's own roles, and the hands of StackSets.
_PROTECTED_PATHS = ("/aws-service-role/", "/aws-reserved/")
_PROTECTED_NAMES = ("AWS*", "aws-controltower-*", "stacksets-exec-*")
_CONTROL_TOWER = ("AWSControlTower*", "aws-controltower-*")


@dataclass(frozen=True, slots=True)
class RoleRules:
    """Role-name globs of one organization: ``protect`` from us, ``owned_elsewhere`` by other tools."""

    protect: tuple[str, ...] = ()
    owned_elsewhere: tuple[str, ...] = ()


RulesOf: TypeAlias = Callable[[str], RoleRules]  # account id -> its organization's rules


def no_rules(account_id: str) -> RoleRules:
    """For an estate that has none."""
    del account_id
    return RoleRules()


def mark(estate: str) -> dict[str, str]:
    """The tag that makes an IAM object ours, as IAM takes it."""
    return {"Key": TAG, "Value": estate}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def owner_by_tag(tags: Mapping[str, str], estate: str) -> tuple[Owner, str]:
    """The owner by our tag, and the name of the other estate if it is one."""
    named = tags.get(TAG)
    if named is None:
        return Owner.FOREIGN, ""
    return (Owner.OURS, "") if named == estate else (Owner.OTHER_ESTATE, f"estate {named}")


def role_owner(role: IamRole, estate: str, rules: RoleRules) -> tuple[Owner, str]:
    """The owner of a role. CloudFormation and patterns come first: they would undo what we write."""
    stack = role.tags.get(_STACK_TAG, "")
    if stack:
        kind = "StackSet" if stack.startswith("StackSet-") else "CloudFormation stack"
        return Owner.ELSEWHERE, f"{kind} {stack}"
    if _matches(role.name, _CONTROL_TOWER):
        return Owner.ELSEWHERE, "Control Tower"
    pattern = next((one for one in rules.owned_elsewhere if fnmatchcase(role.name, one)), "")
    if pattern:
        return Owner.ELSEWHERE, f"owned_elsewhere {pattern}"
    return owner_by_tag(role.tags, estate)


def is_protected(role: IamRole, rules: RoleRules) -> bool:
    return role.path.startswith(_PROTECTED_PATHS) or _matches(
        role.name, (*_PROTECTED_NAMES, *rules.protect)
    )


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def own_tags(tags: Mapping[str, str]) -> dict[str, Any]:
    """The tags that an estate speaks of: neither our mark nor AWS's."""
    return {
        key: value
        for key, value in sorted(tags.items())
        if key != TAG and not key.startswith("aws:")
    }
