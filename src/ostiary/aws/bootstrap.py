"""Puts the plan and apply roles into accounts: as a CloudFormation template for a StackSet, or directly.

A service-managed StackSet with auto-deployment also reaches accounts that do not exist yet; it never reaches the
management account, where the same template runs as a plain stack (CloudFormation User Guide, "StackSets").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from ostiary.aws.account_reading import look_at_role
from ostiary.aws.bootstrap_policies import Bootstrap, apply_policy, plan_policy, trust
from ostiary.aws.iam_role_writes import Write, alteration, creation
from ostiary.aws.policy_document import same, text_of
from ostiary.aws.propagation import object_too_fresh, until_accepted
from ostiary.aws.session import Aws
from ostiary.errors import Conflict, OstiaryError
from ostiary.model.account import Account
from ostiary.model.iam import IamRole

TAG = "ostiary:bootstrap"  # not the estate's mark: a plan of the estate must not find its own hands superfluous
WORKERS = 16
_DESCRIPTION = "Lets Ostiary {} the way in through Okta (estate {})"


@dataclass(frozen=True, slots=True)
class Deployed:
    """``outcome`` is created, updated, kept or failed (then ``error`` says why)."""

    account_id: str
    role: str
    outcome: str
    error: OstiaryError | None = None


def roles(wanted: Bootstrap, partition: str, account_id: str) -> tuple[IamRole, IamRole]:
    """The plan and the apply role of one account."""
    documents = {
        wanted.plan: ("read", plan_policy()),
        wanted.apply: ("write", apply_policy(wanted, partition, account_id)),
    }
    plan, apply = (
        IamRole(
            name,
            f"arn:{partition}:iam::{account_id}:role/{name}",
            "/",
            trust(wanted),
            description=_DESCRIPTION.format(verb, wanted.estate),
            tags={TAG: wanted.estate},
            inline={"Ostiary": document},
        )
        for name, (verb, document) in documents.items()
    )
    return plan, apply


def template(wanted: Bootstrap) -> dict[str, Any]:
    """A CloudFormation template (JSON) for a stack or a StackSet; needs CAPABILITY_NAMED_IAM."""
    plan, apply = roles(wanted, "${AWS::Partition}", "${AWS::AccountId}")
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Plan and apply roles of Ostiary, estate {wanted.estate}",
        "Resources": {"PlanRole": _resource(plan), "ApplyRole": _resource(apply)},
        "Outputs": {
            "PlanRoleArn": {"Value": {"Fn::GetAtt": ["PlanRole", "Arn"]}},
            "ApplyRoleArn": {"Value": {"Fn::GetAtt": ["ApplyRole", "Arn"]}},
        },
    }


def deploy(aws: Aws, accounts: Iterable[Account], wanted: Bootstrap) -> tuple[Deployed, ...]:
    """Create or bring in line both roles in every account, by the way in that ``aws`` has (a fallback role).

    One account's failure does not stop the others. A role of that name that is not ours is left as it is.
    """

    def both(account: Account) -> list[Deployed]:
        pair = roles(wanted, aws.partition.name, account.id)
        return [_deployed(aws, account.id, role) for role in pair]

    with ThreadPoolExecutor(WORKERS, thread_name_prefix="bootstrap") as pool:
        return tuple(one for done in pool.map(both, accounts) for one in done)


def _deployed(aws: Aws, account_id: str, role: IamRole) -> Deployed:
    try:
        now = look_at_role(aws, account_id, role.name)
        if now is not None and now.tags.get(TAG) != role.tags[TAG]:
            raise Conflict(
                f"cannot bootstrap {role.name} in account {account_id}",
                why="a role of that name exists and was not made by bootstrap for this estate",
                fix="name other roles under reach: in the estate, or remove that role",
            )
        writes = list(creation(role) if now is None else _alterations(now, role))
        for write in writes:
            until_accepted(aws, partial(_send, aws, account_id, role.name, write), object_too_fresh)
    except OstiaryError as error:
        return Deployed(account_id, role.name, "failed", error)
    outcome = "created" if now is None else "updated" if writes else "kept"
    return Deployed(account_id, role.name, outcome)


def _alterations(now: IamRole, role: IamRole) -> Iterator[Write]:
    if not same(now.trust, role.trust):
        yield Write("update_assume_role_policy", {"PolicyDocument": text_of(role.trust)})
    yield from alteration(now, role)


def _send(aws: Aws, account_id: str, name: str, write: Write) -> None:
    aws.call(
        "iam", write.operation, account=account_id, repeatable=True, RoleName=name, **write.params
    )


def _resource(role: IamRole) -> dict[str, Any]:
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": role.name,
            "Description": role.description,
            "AssumeRolePolicyDocument": role.trust,
            "Policies": [
                {"PolicyName": name, "PolicyDocument": _substituted(document)}
                for name, document in role.inline.items()
            ],
            "Tags": [{"Key": key, "Value": value} for key, value in role.tags.items()],
        },
    }


def _substituted(value: Any) -> Any:
    """Strings with a pseudo parameter become ``Fn::Sub``."""
    if isinstance(value, Mapping):
        return {key: _substituted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_substituted(item) for item in value]
    return {"Fn::Sub": value} if isinstance(value, str) and "${AWS::" in value else value
