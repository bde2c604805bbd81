"""One call of an AWS API on its way through the embedded AWS: who, where, with which parameters."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ostiary.sandbox.aws.iam_state import (
    AccessKey,
    AwsError,
    Document,
    IamGroup,
    IamUser,
    Role,
    Session,
)
from ostiary.sandbox.aws.managed_policies import aws_policy
from ostiary.sandbox.aws.state import AwsAccount, Cloud
from ostiary.sandbox.http import Request
from ostiary.sandbox.world import World

T = TypeVar("T")
PAGE = 100
MAX_TAGS = 50


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. ``arn`` is GetCallerIdentity's; ``entity`` the IamUser or Role behind it, None for root."""

    arn: str
    user_id: str
    account: AwsAccount
    entity: IamUser | Role | None
    session: Session | None = None

    @property
    def entity_arn(self) -> str:
        return self.entity.arn if self.entity else self.arn


@dataclass(slots=True)
class Call:
    """``seen_from`` is when readers will meet what this call writes (0: at once)."""

    world: World
    request: Request
    service: str
    operation: str
    region: str
    params: dict[str, Any]
    principal: Principal
    now: float
    seen_from: float = 0.0
    request_id: str = ""
    context: dict[str, Any] = field(default_factory=dict)

    @property
    def cloud(self) -> Cloud:
        return self.world.aws

    @property
    def account(self) -> AwsAccount:
        return self.principal.account

    def page(self, result: str, items: Sequence[T], name_of: Callable[[T], str]) -> dict[str, Any]:
        """One page of ``items`` (sorted by ``name_of``) in IAM's way: MaxItems, Marker, IsTruncated."""
        ordered = sorted(items, key=lambda item: name_of(item).lower())
        if marker := self.params.get("Marker"):
            after = decode_marker(marker)
            ordered = [item for item in ordered if name_of(item).lower() > after]
        size = self.params.get("MaxItems", PAGE)
        page = ordered[:size]
        answer: dict[str, Any] = {result: page, "IsTruncated": len(ordered) > size}
        if len(ordered) > size:
            answer["Marker"] = encode_marker(name_of(page[-1]).lower())
        return answer


def encode_marker(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


def decode_marker(marker: str) -> str:
    try:
        return base64.urlsafe_b64decode(marker.encode()).decode()
    except (binascii.Error, ValueError) as error:
        raise AwsError("ValidationError", "Invalid Marker") from error


def principal_of(cloud: Cloud, credential: AccessKey | Session) -> Principal:
    """The principal behind verified credentials; one that is gone has no valid credentials."""
    account, now = cloud.account(credential.account_id), cloud.clock.now()
    gone = AwsError(
        "InvalidClientTokenId", "The security token included in the request is invalid.", 403
    )
    if isinstance(credential, AccessKey):
        if not credential.user:
            return Principal(account.arn("root"), account.id, account, None)
        user = account.users.seen(credential.user, now)
        if user is None:
            raise gone
        return Principal(user.arn, user.id, account, user)
    if credential.role_name:
        role = account.roles.seen(credential.role_name, now)
        if role is None or role.id != credential.principal_id:
            raise gone
        user_id = f"{role.id}:{credential.session_name}"
        return Principal(credential.principal_arn, user_id, account, role, credential)
    user = account.users.find(lambda one: one.arn == credential.principal_arn, now)
    if user is None:
        raise gone
    return Principal(user.arn, user.id, account, user, credential)


def policy_document(
    cloud: Cloud, account: AwsAccount, arn: str, now: float | None = None
) -> Document | None:
    """The document of a managed policy, AWS's or the account's own, as visible now; None if there is none."""
    if known := aws_policy(arn, account.partition):
        return known.document
    moment = cloud.clock.now() if now is None else now
    own = account.policies.seen(arn.rsplit("/", 1)[-1], moment)
    return own.document if own is not None and own.arn == arn else None


def identity_policies(
    cloud: Cloud, account: AwsAccount, entity: IamUser | Role | IamGroup
) -> tuple[Document, ...]:
    """Every identity-based policy of a user (with its groups), role or group, as visible now."""
    documents = [policy_document(cloud, account, arn) for arn in entity.managed]
    found = [document for document in documents if document is not None]
    found += entity.inline.values()
    if isinstance(entity, IamUser):
        now = cloud.clock.now()
        for name in entity.groups:
            group = account.groups.seen(name, now)
            if group is not None:
                found += identity_policies(cloud, account, group)
    return tuple(found)


def tags_of(params: Mapping[str, Any]) -> dict[str, str]:
    """The Tags parameter as a mapping, checked as IAM does."""
    tags: dict[str, str] = {}
    seen: set[str] = set()
    for tag in params.get("Tags") or ():
        key = tag["Key"]
        if key.lower() in seen:
            raise AwsError(
                "InvalidInput",
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            )
        if key.lower().startswith("aws:"):
            raise AwsError(
                "InvalidInput",
                "aws: prefixed tag key names are not allowed for external use.",
            )
        seen.add(key.lower())
        tags[key] = tag["Value"]
    return tags


def with_tags(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """``old`` with ``new`` put over it; tag keys are compared without regard to case."""
    fresh = {key.lower() for key in new}
    merged = {key: value for key, value in old.items() if key.lower() not in fresh}
    merged |= new
    if len(merged) > MAX_TAGS:
        raise AwsError(
            "LimitExceeded", f"The number of tags has reached the maximum limit: {MAX_TAGS}", 409
        )
    return merged


def without_tags(old: Mapping[str, str], keys: list[str]) -> dict[str, str]:
    gone = {key.lower() for key in keys}
    return {key: value for key, value in old.items() if key.lower() not in gone}


def shown_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
