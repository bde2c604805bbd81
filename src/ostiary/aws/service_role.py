"""The kind ``service-role``: the role ``vmimport`` that VM Import works as, with the least that an import needs.

The role is often there already, made by hand from Okta's or AWS's guide. Then only our statement of its trust policy
(by Sid) and our inline policy are ours; every other statement stays byte for byte. Source: VM Import/Export User Guide,
"Required service role"; IAM User Guide, "The confused deputy problem" (SourceAccount, SourceArn). Okta's page lost the
principal of the trust policy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from ostiary.aws.ownership import TAG, mark
from ostiary.aws.propagation import until_seen
from ostiary.aws.session import Aws
from ostiary.errors import Conflict, NotFound, OstiaryError, StalePlan
from ostiary.plan.resource import Found, Json, Key, Owner, Reading, Resource, Risk, Value

NAME = "vmimport"
SERVICE = "vmie.amazonaws.com"
SID = "OstiaryVmImport"
POLICY = "ostiary-gateway-import"
ESTATE = "gateway-import"
MOST_TRUST = 2048  # characters, IAM's quota


def trust_statement(partition: str, account_id: str) -> dict[str, Json]:
    """VM Import may assume the role, for tasks of this account alone."""
    return {
        "Sid": SID,
        "Effect": "Allow",
        "Principal": {"Service": SERVICE},
        "Action": "sts:AssumeRole",
        "Condition": {
            "StringEquals": {"sts:Externalid": "vmimport", "aws:SourceAccount": account_id},
            "ArnLike": {"aws:SourceArn": f"arn:{partition}:vmie:*:{account_id}:*"},
        },
    }


def import_policy(partition: str, buckets: list[str], keys: list[str]) -> dict[str, Json]:
    """What an import does with these buckets and, for encrypted results, KMS keys (ARNs)."""
    arns = [f"arn:{partition}:s3:::{name}" for name in sorted(buckets)]
    statements: list[Json] = [
        {
            "Sid": "Read",
            "Effect": "Allow",
            "Action": ["s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket"],
            "Resource": [one for arn in arns for one in (arn, f"{arn}/*")],
        },
        {
            "Sid": "Make",
            "Effect": "Allow",
            "Action": [
                "ec2:CopySnapshot",
                "ec2:Describe*",
                "ec2:ModifySnapshotAttribute",
                "ec2:RegisterImage",
            ],
            "Resource": "*",
        },
    ]
    if keys:
        statements.append(
            {
                "Sid": "Encrypt",
                "Effect": "Allow",
                "Action": [
                    "kms:CreateGrant",
                    "kms:Decrypt",
                    "kms:DescribeKey",
                    "kms:Encrypt",
                    "kms:GenerateDataKey*",
                    "kms:ReEncrypt*",
                ],
                "Resource": cast("Json", sorted(keys)),
            }
        )
    return {"Version": "2012-10-17", "Statement": statements}


class ServiceRoleKind:
    """The one role ``vmimport`` of an account; wanted are ``buckets`` and ``keys``, which are added to what it has."""

    name = "service-role"

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    def read(self, scope: str, wanted: Mapping[str, Resource]) -> Reading:
        try:
            found = [self.look(Key(self.name, scope, name)) for name in wanted]
        except OstiaryError as error:
            return Reading(self.name, scope, complete=False, why=error)
        return Reading(self.name, scope, tuple(one for one in found if one is not None))

    def look(self, key: Key) -> Found | None:
        try:
            role = self._aws.call("iam", "get_role", RoleName=key.name)["Role"]
        except NotFound:
            return None
        trust = role["AssumeRolePolicyDocument"]
        policy = self._policy(key.name)
        ours = next((one for one in _statements(trust) if one.get("Sid") == SID), None)
        made_by_us = any(
            one["Key"] == TAG and one["Value"] == ESTATE for one in role.get("Tags") or ()
        )
        attributes: dict[str, Json] = {
            "trust": ours,
            "buckets": cast("Json", _buckets(policy)),
            "keys": cast("Json", _keys(policy)),
        }
        return Found(
            key,
            attributes,
            Owner.OURS,  # our statement and our inline policy are; what is around them is never written
            ids={"arn": role["Arn"]},
            raw={"trust": trust, "policy": policy, "made_by_us": made_by_us},
        )

    def differences(self, found: Found, wanted: Mapping[str, Json]) -> tuple[str, ...]:
        trust = ("trust",) if found.attributes["trust"] != wanted["trust"] else ()
        added = (
            name
            for name in ("buckets", "keys")
            if not _texts(wanted.get(name)) <= _texts(found.attributes[name])
        )
        return (*trust, *added)

    def risk(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> Risk:
        """Our trust statement names an AWS service under conditions; still it says who may enter a role."""
        trust = dict(found.attributes).get("trust") if found else None
        if action == "update" and wanted is not None and trust != wanted.get("trust"):
            return Risk.TRUST
        return Risk.DETACH if action == "delete" else Risk.NONE

    def detaches(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> int:
        del found, wanted
        return int(action == "delete")

    def create(self, key: Key, wanted: Mapping[str, Json]) -> Found:
        trust = {"Version": "2012-10-17", "Statement": [wanted["trust"]]}
        try:
            self._aws.call(
                "iam",
                "create_role",
                RoleName=key.name,
                AssumeRolePolicyDocument=json.dumps(trust),
                Description="VM Import works as this role",
                Tags=[mark(ESTATE)],
            )
        except Conflict as exists:
            if exists.code != "EntityAlreadyExists":
                raise
            found = self.look(key)
            if found is None:
                raise
            return self.update(found, wanted)
        until_seen(self._aws, str(key), lambda: self.look(key) is not None)
        self._put_policy(key, _texts(wanted.get("buckets")), _texts(wanted.get("keys")))
        return self._seen(key, wanted)

    def update(self, found: Found, wanted: Mapping[str, Json]) -> Found:
        key = found.key
        now = self.look(key)
        if now is None or now.raw.get("trust") != found.raw.get("trust"):
            raise StalePlan(
                f"cannot update {key}", why="changed since it was read", fix="run the command again"
            )
        if now.attributes["trust"] != wanted["trust"]:
            self._put_trust(
                key, _merged(now.raw["trust"], cast("dict[str, Json]", wanted["trust"]))
            )
        buckets = _texts(now.attributes["buckets"]) | _texts(wanted.get("buckets"))
        self._put_policy(key, buckets, _texts(now.attributes["keys"]) | _texts(wanted.get("keys")))
        return self._seen(key, wanted)

    def delete(self, found: Found) -> None:
        self.restore(found.key, None)

    def release(self, found: Found) -> None:
        try:
            self._aws.call(
                "iam", "untag_role", repeatable=True, RoleName=found.key.name, TagKeys=[TAG]
            )
        except NotFound:
            return

    def restore(self, key: Key, before: Mapping[str, Json] | None) -> None:
        """Write the trust policy and our inline policy back as they were; a role that we made goes."""
        now = self.look(key)
        if now is None:
            return
        policy = before.get("policy") if before else None
        if policy is None:
            self._drop_policy(key)
        else:
            self._aws.call(
                "iam",
                "put_role_policy",
                repeatable=True,
                RoleName=key.name,
                PolicyName=POLICY,
                PolicyDocument=json.dumps(policy),
            )
        if before is not None:
            self._put_trust(key, cast("dict[str, Any]", before["trust"]))
        elif now.raw.get("made_by_us"):
            self._aws.call("iam", "delete_role", repeatable=True, RoleName=key.name)

    def _seen(self, key: Key, wanted: Mapping[str, Json]) -> Found:
        """The role once it reads as wanted: VM Import looks at it the moment after."""

        def there() -> bool:
            found = self.look(key)
            return found is not None and not self.differences(found, wanted)

        until_seen(self._aws, str(key), there)
        found = self.look(key)
        if found is None:
            raise NotFound(f"{key} is gone again")
        return found

    def _policy(self, role: str) -> Any:
        try:
            answer = self._aws.call("iam", "get_role_policy", RoleName=role, PolicyName=POLICY)
        except NotFound:
            return None
        return answer["PolicyDocument"]

    def _put_policy(self, key: Key, buckets: set[str], keys: set[str]) -> None:
        document = import_policy(self._aws.partition.name, sorted(buckets), sorted(keys))
        self._aws.call(
            "iam",
            "put_role_policy",
            repeatable=True,
            RoleName=key.name,
            PolicyName=POLICY,
            PolicyDocument=json.dumps(document),
        )

    def _drop_policy(self, key: Key) -> None:
        try:
            self._aws.call(
                "iam", "delete_role_policy", repeatable=True, RoleName=key.name, PolicyName=POLICY
            )
        except NotFound:
            return

    def _put_trust(self, key: Key, trust: Mapping[str, Any]) -> None:
        text = json.dumps(trust, separators=(",", ":"))
        if len(text) > MOST_TRUST:
            raise Conflict(
                f"cannot extend the trust policy of role {key.name}",
                why=f"it would have {len(text)} characters, IAM takes {MOST_TRUST}",
                fix="remove statements that nobody needs, then run the command again",
            )
        self._aws.call(
            "iam",
            "update_assume_role_policy",
            repeatable=True,
            RoleName=key.name,
            PolicyDocument=text,
        )


def _merged(trust: Any, statement: Mapping[str, Json]) -> dict[str, Any]:
    """The document with our statement in its place, or at the end; the others as they are."""
    kept = [one for one in _statements(trust) if one.get("Sid") != SID]
    return {**trust, "Statement": [*kept, statement]}


def _statements(document: Any) -> list[dict[str, Any]]:
    found = document.get("Statement") or []
    return found if isinstance(found, list) else [found]


def _buckets(policy: Any) -> list[str]:
    arns = _resources(policy, "Read")
    return sorted({one.rpartition(":::")[2].partition("/")[0] for one in arns})


def _keys(policy: Any) -> list[str]:
    return sorted(_resources(policy, "Encrypt"))


def _resources(policy: Any, sid: str) -> list[str]:
    for one in _statements(policy or {}):
        if one.get("Sid") == sid:
            found = one.get("Resource") or []
            return found if isinstance(found, list) else [found]
    return []


def _texts(value: object) -> set[str]:
    return {str(one) for one in value} if isinstance(value, list | tuple) else set()
