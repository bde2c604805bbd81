"""The kind ``kms-key``: the key that signs for a project, behind ``alias/ostiary/PROJECT``, and who may use it.

Ours by the tag ``ostiary:estate``. Of its policy the statements whose Sid begins with ``Ostiary`` are ours; others stay as they
are. A key is never deleted from here: what it signs for would be locked out. Its policy denies deletion and disabling to
everybody, so whoever means it changes the policy first, which CloudTrail shows.

Sources: AWS KMS API Reference, "CreateKey", "PutKeyPolicy"; AWS KMS Developer Guide, "Key policies" (a statement for the
account's root lets IAM policies count), "AWS KMS condition keys" (kms:SigningAlgorithm, kms:MessageType).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ostiary.aws.ownership import TAG
from ostiary.aws.policy_document import canonical, same, text_of
from ostiary.aws.tagged import NAME_TAG, TaggedKind, short
from ostiary.errors import Conflict, Denied, NotFound, Unreachable
from ostiary.plan.resource import Found, Json, Key, Resource, Risk, Value

PREFIX = "alias/ostiary/"
ALGORITHMS = {"ECC_NIST_P256": "ECDSA_SHA_256", "RSA_2048": "RSASSA_PKCS1_V1_5_SHA_256"}
_OURS = "Ostiary"
# What an administrator of the account may be allowed by IAM policies. Signing is not among it, nor are grants to sign. What
# ends a key is, and counts once somebody has taken the statement away that denies it to all.
_ADMINISTRATION = (
    "kms:CancelKeyDeletion", "kms:CreateAlias", "kms:DeleteAlias", "kms:DescribeKey", "kms:DisableKey", "kms:EnableKey",
    "kms:GetKeyPolicy", "kms:GetPublicKey", "kms:ListGrants", "kms:ListKeyPolicies", "kms:ListResourceTags",
    "kms:PutKeyPolicy", "kms:RevokeGrant", "kms:ScheduleKeyDeletion", "kms:TagResource", "kms:UntagResource",
    "kms:UpdateAlias", "kms:UpdateKeyDescription",
)  # fmt: skip
_USE = ("kms:Sign", "kms:GetPublicKey", "kms:DescribeKey")
_ENDS = ("kms:DeleteImportedKeyMaterial", "kms:DisableKey", "kms:ScheduleKeyDeletion")


class ProjectKeyKind(TaggedKind):
    """``Key.name`` is ``REGION/PROJECT``. Attributes: ``spec``, ``enabled``, ``policy`` (our statements)."""

    name = "kms-key"
    immutable = frozenset({"spec"})

    def look(self, key: Key) -> Found | None:
        return self._behind(f"{PREFIX}{short(key)}")

    def differences(self, found: Found, wanted: Mapping[str, Json]) -> tuple[str, ...]:
        return tuple(
            name for name, value in wanted.items() if not same(found.attributes.get(name), value)
        )

    def risk(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> Risk:
        """Another policy is another signer."""
        del found, wanted
        return {"create": Risk.NONE, "update": Risk.TRUST}.get(action, Risk.DETACH)

    def _listed(self) -> Iterator[Found]:
        for alias in self._pages("kms", "list_aliases", "Aliases"):
            if str(alias["AliasName"]).startswith(PREFIX):
                found = self._behind(alias["AliasName"])
                if found is not None:
                    yield found

    def _behind(self, alias: str) -> Found | None:
        """The key of an alias, when it is ours."""
        try:
            told = self._call("kms", "describe_key", KeyId=alias)["KeyMetadata"]
        except NotFound:
            return None
        return self._shown_as(told)

    def _shown_as(self, told: Mapping[str, Any]) -> Found | None:
        arn = told["Arn"]
        listed = self._pages("kms", "list_resource_tags", "Tags", KeyId=arn)
        tags = {tag["TagKey"]: tag["TagValue"] for tag in listed}
        if tags.get(TAG) != self._estate:
            return None
        statements = [one for one in self._statements(arn) if _is_ours(one)]
        attributes: dict[str, Json] = {
            "spec": str(told["KeySpec"]),
            "enabled": told["KeyState"] == "Enabled",
            "policy": canonical(statements),
        }
        return self._found(tags, attributes, {"arn": arn, "id": told["KeyId"]})

    def _statements(self, arn: str) -> list[dict[str, Any]]:
        text = self._call("kms", "get_key_policy", KeyId=arn, PolicyName="default")["Policy"]
        held = json.loads(text).get("Statement", [])
        return held if isinstance(held, list) else [held]

    def _make(self, key: Key, wanted: Mapping[str, Json]) -> None:
        alias = f"{PREFIX}{short(key)}"
        self._alias_is_free(key, alias)
        arn = self._without_alias(key) or self._new(key, wanted)
        made = self._began(key, "kms", "create_alias", AliasName=alias, TargetKeyId=arn)
        if self.differences(made, wanted):  # a key that an earlier run left
            self._change(made, wanted)

    def _new(self, key: Key, wanted: Mapping[str, Json]) -> str:
        """A new key; after a lost answer the tags say whether it is there. Sent twice, there would be two."""
        tags = {"Name": short(key), TAG: self._estate, NAME_TAG: short(key)}
        try:
            answer = self._aws.call(
                "kms",
                "create_key",
                region=self._region,
                KeySpec=wanted["spec"],
                KeyUsage="SIGN_VERIFY",
                Description=f"signs for project {short(key)} of {self._estate}",
                Policy=_document(_list_of(wanted["policy"])),
                Tags=[{"TagKey": name, "TagValue": value} for name, value in tags.items()],
            )
        except Unreachable as lost:
            found = self._without_alias(key) if lost.maybe_done else ""
            if not found:
                raise
            return found
        return str(answer["KeyMetadata"]["Arn"])

    def _without_alias(self, key: Key) -> str:
        """The ARN of a key that an interrupted run made for this and gave no alias; "" if there is none."""
        for one in self._pages("kms", "list_keys", "Keys"):
            try:
                told = self._call("kms", "describe_key", KeyId=one["KeyArn"])["KeyMetadata"]
            except Denied:  # ours may be read by whoever may make them
                continue
            if told["KeyState"] != "Enabled" or told["KeyManager"] != "CUSTOMER":
                continue
            found = self._shown_as(told)
            if found is not None and found.key == key:
                return found.ids["arn"]
        return ""

    def _alias_is_free(self, key: Key, alias: str) -> None:
        try:
            told = self._call("kms", "describe_key", KeyId=alias)["KeyMetadata"]
        except NotFound:
            return
        raise Conflict(
            f"cannot create {key}",
            why=f"{alias} is an alias of {told['Arn']}, which bears another mark or none",
            fix=f"use that key: ostiary servers project create {short(key)} --kms {told['Arn']}",
            code="AlreadyExistsException",
        )

    def _change(self, found: Found, wanted: Mapping[str, Json]) -> None:
        arn = found.ids["arn"]
        if "policy" in self.differences(found, wanted):
            foreign = [one for one in self._statements(arn) if not _is_ours(one)]
            text = _document([*_list_of(wanted["policy"]), *foreign])
            self._call("kms", "put_key_policy", KeyId=arn, PolicyName="default", Policy=text)
        if "enabled" in self.differences(found, wanted):
            self._call("kms", "enable_key" if wanted["enabled"] else "disable_key", KeyId=arn)

    def _remove(self, found: Found) -> None:
        arn = found.ids["arn"]
        raise Conflict(
            f"cannot delete {found.key}",
            why="a key that signs for a project is not deleted from here: nobody could enter its servers",
            fix="when nothing trusts it any more, put its policy without OstiaryStays, then:"
            f" aws kms schedule-key-deletion --key-id {arn}",
        )

    def _untag(self, found: Found) -> None:
        self._call("kms", "untag_resource", KeyId=found.ids["arn"], TagKeys=[TAG])


def wanted_key(
    account: str, region: str, project: str, *, signer: str, spec: str = "ECC_NIST_P256"
) -> Resource:
    """The key of a project as it should be: ``signer`` is the ARN of the control plane's role, and nobody else signs."""
    partition = signer.split(":")[1]
    statements = [
        {
            "Sid": "OstiaryAdministration",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:{partition}:iam::{account}:root"},
            "Action": list(_ADMINISTRATION),
            "Resource": "*",
        },
        {
            "Sid": "OstiarySign",
            "Effect": "Allow",
            "Principal": {"AWS": signer},
            "Action": "kms:Sign",
            "Resource": "*",
            "Condition": {
                "StringEquals": {
                    "kms:SigningAlgorithm": ALGORITHMS[spec],
                    "kms:MessageType": "RAW",
                }
            },
        },
        {
            "Sid": "OstiaryLook",
            "Effect": "Allow",
            "Principal": {"AWS": signer},
            "Action": ["kms:GetPublicKey", "kms:DescribeKey"],
            "Resource": "*",
        },
        {
            "Sid": "OstiaryNothingElse",
            "Effect": "Deny",
            "Principal": {"AWS": signer},
            "NotAction": list(_USE),
            "Resource": "*",
        },
        {
            "Sid": "OstiaryStays",
            "Effect": "Deny",
            "Principal": "*",
            "Action": list(_ENDS),
            "Resource": "*",
        },
    ]
    wanted: dict[str, Value] = {"spec": spec, "enabled": True, "policy": canonical(statements)}
    return Resource(Key(ProjectKeyKind.name, account, f"{region}/{project}"), wanted)


def _document(statements: list[Any]) -> str:
    return text_of({"Version": "2012-10-17", "Statement": statements})


def _list_of(policy: Json) -> list[Any]:
    return policy if isinstance(policy, list) else [policy]


def _is_ours(statement: Mapping[str, Any]) -> bool:
    return str(statement.get("Sid", "")).startswith(_OURS)
