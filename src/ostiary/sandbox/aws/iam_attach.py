"""Policies on roles, users and groups: attached managed ones and inline ones, the same for all three.

Source: IAM API Reference, AttachRolePolicy … ListUserPolicies; IAM User Guide, "IAM and AWS STS quotas".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from ostiary.sandbox.aws.call import Call, policy_document
from ostiary.sandbox.aws.documents import MAX_INLINE, compact, identity_policy, size
from ostiary.sandbox.aws.iam_state import FOREVER, AwsError, Document, Shelf

MAX_MANAGED_PER_ENTITY = 10
Answer = dict[str, Any]


def check_attachable(call: Call, arn: str) -> None:
    if policy_document(call.cloud, call.account, arn, FOREVER) is None:
        raise AwsError("NoSuchEntity", f"Policy {arn} does not exist or is not attachable.", 404)


@dataclass(frozen=True, slots=True)
class Holder:
    """One kind of entity that holds policies: its word, its name's parameter and its shelf."""

    word: str
    parameter: str
    shelf: Callable[[Call], Shelf[Any]]

    def missing(self, name: str) -> AwsError:
        return AwsError("NoSuchEntity", f"The {self.word} with name {name} cannot be found.", 404)

    def truth(self, call: Call) -> Any:
        name = call.params[self.parameter]
        entity = self.shelf(call).get(name)
        if entity is None:
            raise self.missing(name)
        if entity.path.startswith(("/aws-service-role/", "/aws-reserved/")):
            raise AwsError(
                "UnmodifiableEntity",
                f"Cannot perform the operation on the protected role '{name}' - this role is only"
                " modifiable by AWS",
            )
        return entity

    def visible(self, call: Call) -> Any:
        name = call.params[self.parameter]
        entity = self.shelf(call).seen(name, call.now)
        if entity is None:
            raise self.missing(name)
        return entity

    def put(self, call: Call, entity: Any) -> Answer:
        self.shelf(call).put(entity, call.seen_from)
        return {}

    def attach(self, call: Call) -> Answer:
        entity, arn = self.truth(call), call.params["PolicyArn"]
        check_attachable(call, arn)
        if arn in entity.managed:
            return {}
        if len(entity.managed) >= MAX_MANAGED_PER_ENTITY:
            raise AwsError(
                "LimitExceeded",
                f"Cannot exceed quota for PoliciesPer{self.word.title()}: {MAX_MANAGED_PER_ENTITY}",
                409,
            )
        return self.put(call, replace(entity, managed=(*entity.managed, arn)))

    def detach(self, call: Call) -> Answer:
        entity, arn = self.truth(call), call.params["PolicyArn"]
        if arn not in entity.managed:
            raise AwsError("NoSuchEntity", f"Policy {arn} was not found.", 404)
        return self.put(
            call, replace(entity, managed=tuple(one for one in entity.managed if one != arn))
        )

    def list_attached(self, call: Call) -> Answer:
        page = call.page("AttachedPolicies", self.visible(call).managed, str)
        page["AttachedPolicies"] = [shown_attached(arn) for arn in page["AttachedPolicies"]]
        return page

    def put_policy(self, call: Call) -> Answer:
        entity, name = self.truth(call), call.params["PolicyName"]
        limit = MAX_INLINE[self.word]
        where = f"{self.word} {entity.name}"
        document = identity_policy(call.params["PolicyDocument"], limit, where)
        inline = {**entity.inline, name: document}
        if sum(size(compact(one)) for one in inline.values()) > limit:
            raise AwsError(
                "LimitExceeded", f"Maximum policy size of {limit} bytes exceeded for {where}", 409
            )
        return self.put(call, replace(entity, inline=inline))

    def get_policy(self, call: Call) -> Answer:
        entity, name = self.visible(call), call.params["PolicyName"]
        if name not in entity.inline:
            raise self._no_policy(name)
        return {
            self.parameter: entity.name,
            "PolicyName": name,
            "PolicyDocument": quoted(entity.inline[name]),
        }

    def delete_policy(self, call: Call) -> Answer:
        entity, name = self.truth(call), call.params["PolicyName"]
        if name not in entity.inline:
            raise self._no_policy(name)
        left = {one: document for one, document in entity.inline.items() if one != name}
        return self.put(call, replace(entity, inline=left))

    def list_policies(self, call: Call) -> Answer:
        return call.page("PolicyNames", list(self.visible(call).inline), str)

    def _no_policy(self, name: str) -> AwsError:
        return AwsError(
            "NoSuchEntity", f"The {self.word} policy with name {name} cannot be found.", 404
        )


def quoted(document: Document) -> str:
    """A policy document as IAM returns it: percent-encoded JSON (RFC 3986)."""
    return quote(compact(document), safe="-_.~")


def shown_boundary(arn: str) -> Answer:
    return {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": arn}


def shown_attached(arn: str) -> Answer:
    return {"PolicyName": arn.rsplit("/", 1)[-1], "PolicyArn": arn}


ROLE = Holder("role", "RoleName", lambda call: call.account.roles)
USER = Holder("user", "UserName", lambda call: call.account.users)
GROUP = Holder("group", "GroupName", lambda call: call.account.groups)
