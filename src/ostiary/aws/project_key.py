"""The kind ``kms-key``: the key that signs for a project, behind ``alias/ostiary/PROJECT``, and who may use it.

Ours by the tag ``ostiary:estate``; which one it is, its alias says. A rotation makes its key behind
``alias/ostiary/PROJECT/next``; when that signs, the project's alias goes over to it. Of a key's policy the statements whose
Sid begins with ``Ostiary`` are ours; others stay as they are. A key is never deleted from here: what it signs for would be locked out. Its policy denies deletion and disabling to
everybody, so whoever means it changes the policy first, which CloudTrail shows.

Sources: AWS KMS API Reference, "CreateKey", "PutKeyPolicy", "UpdateAlias"; AWS KMS Developer Guide, "Key policies" (a statement for the
account's root lets IAM policies count), "Aliases" (one moves at once from key to key).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ostiary.aws.ownership import TAG
from ostiary.aws.policy_document import canonical, same, text_of
from ostiary.aws.project_key_wanted import KIND, NEXT, OURS
from ostiary.aws.tagged import NAME_TAG, TaggedKind, short
from ostiary.errors import Conflict, Denied, NotFound, Unreachable
from ostiary.plan.resource import Found, Json, Key, Risk, Value

PREFIX = "alias/ostiary/"
FORMER = "/former"  # the key that signed before; no alias names it


class ProjectKeyKind(TaggedKind):
    """``Key.name`` is ``REGION/PROJECT``, or ``REGION/PROJECT/next``. Attributes: ``spec``, ``enabled``, ``policy`` (our
    statements), ``arn``, which is wanted only where the alias is to name another key.
    """

    name = KIND
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
        return self._shown_as(told, alias.removeprefix(PREFIX))

    def _shown_as(self, told: Mapping[str, Any], name: str = "") -> Found | None:
        """The key, when it is ours; of a ``name``, else of that which its tag says."""
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
            "arn": arn,
        }
        if name:
            tags[NAME_TAG] = name
        return self._found(tags, attributes, {"arn": arn, "id": told["KeyId"]})

    def _statements(self, arn: str) -> list[dict[str, Any]]:
        text = self._call("kms", "get_key_policy", KeyId=arn, PolicyName="default")["Policy"]
        held = json.loads(text).get("Statement", [])
        return held if isinstance(held, list) else [held]

    def _make(self, key: Key, wanted: Mapping[str, Json]) -> None:
        alias = f"{PREFIX}{short(key)}"
        self._alias_is_free(key, alias)
        if arn := str(wanted.get("arn", "")):
            self._gives_up_next(key, arn)
        else:
            arn = self._without_alias(key) or self._new(key, wanted)
        made = self._began(key, "kms", "create_alias", AliasName=alias, TargetKeyId=arn)
        if self.differences(made, wanted):  # a key that an earlier run left
            self._change(made, wanted)

    def _new(self, key: Key, wanted: Mapping[str, Json]) -> str:
        """A new key; after a lost answer the tags say whether it is there. Sent twice, there would be two."""
        tags = self._named(short(key)) | {TAG: self._estate}
        try:
            answer = self._aws.call(
                "kms",
                "create_key",
                region=self._region,
                KeySpec=wanted["spec"],
                KeyUsage="SIGN_VERIFY",
                Description=f"signs for project {short(key).removesuffix(NEXT)} of {self._estate}",
                Policy=_document(_list_of(wanted["policy"])),
                Tags=_listed(tags),
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
            fix=f"to use that key, name it: --kms {told['Arn']}",
            code="AlreadyExistsException",
        )

    def _change(self, found: Found, wanted: Mapping[str, Json]) -> None:
        if "arn" in self.differences(found, wanted):
            found = self._moved(found, str(wanted["arn"]))
        arn = found.ids["arn"]
        if "policy" in self.differences(found, wanted):
            foreign = [one for one in self._statements(arn) if not _is_ours(one)]
            text = _document([*_list_of(wanted["policy"]), *foreign])
            self._call("kms", "put_key_policy", KeyId=arn, PolicyName="default", Policy=text)
        if "enabled" in self.differences(found, wanted):
            self._call("kms", "enable_key" if wanted["enabled"] else "disable_key", KeyId=arn)

    def _moved(self, found: Found, arn: str) -> Found:
        """Behind the alias, the other key. The alias moves last: until then all of it may be done again."""
        name = short(found.key)
        self._gives_up_next(found.key, arn)
        self._tag(found.ids["arn"], f"{name}{FORMER}")
        self._call("kms", "update_alias", AliasName=f"{PREFIX}{name}", TargetKeyId=arn)
        return self._after(found.key)

    def _gives_up_next(self, key: Key, arn: str) -> None:
        """The key of a rotation is to be the project's own. Conflict where it is none of ours."""
        if self._shown_as(self._call("kms", "describe_key", KeyId=arn)["KeyMetadata"]) is None:
            raise Conflict(
                f"cannot give {PREFIX}{short(key)} to {arn}",
                why="that key bears another mark or none",
                fix="leave --kms without an ARN out: who made that key names it",
            )
        self._tag(arn, short(key))
        with contextlib.suppress(NotFound):
            self._call("kms", "delete_alias", AliasName=f"{PREFIX}{short(key)}{NEXT}")

    def _tag(self, arn: str, name: str) -> None:
        self._call("kms", "tag_resource", KeyId=arn, Tags=_listed(self._named(name)))

    def _named(self, name: str) -> dict[str, str]:
        return {"Name": name, NAME_TAG: name}

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


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"TagKey": name, "TagValue": value} for name, value in tags.items()]


def _document(statements: list[Any]) -> str:
    return text_of({"Version": "2012-10-17", "Statement": statements})


def _list_of(policy: Json) -> list[Any]:
    return policy if isinstance(policy, list) else [policy]


def _is_ours(statement: Mapping[str, Any]) -> bool:
    return str(statement.get("Sid", "")).startswith(OURS)
