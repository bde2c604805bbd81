"""Writes one statement into the trust policy of a role, and nothing else of it.

IAM has no conditional write, so every write reads the document just before, changes our statement only and
looks afterwards; the window in which somebody else's edit could be lost is the time of one call. Taking the
last statement of a role leaves ``trust_document.NOBODY``, since IAM accepts no trust policy without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ostiary.aws import trust_document
from ostiary.aws.account_reading import Readings, tags_of
from ostiary.aws.ownership import RulesOf, is_protected, role_owner
from ostiary.aws.policy_document import same, size, text_of
from ostiary.aws.propagation import (
    object_too_fresh,
    principal_too_fresh,
    until_accepted,
    until_seen,
)
from ostiary.errors import Conflict, GuardTripped, NotFound, OstiaryError
from ostiary.model.iam import Document, IamRole
from ostiary.plan.resource import Key, Owner


class RoleTrust:
    """Keys are those of ``trust-statement``: ``<role>/<Sid>`` in an account."""

    def __init__(self, estate: str, readings: Readings, rules: RulesOf, limit: int) -> None:
        self._estate = estate
        self._readings = readings
        self._rules = rules
        self._limit = limit

    def role(self, key: Key) -> IamRole | None:
        """The role with its trust policy and tags as they are now, in one call; without its policies."""
        aws = self._readings.clouds.of(key.scope)
        try:
            role = aws.call("iam", "get_role", account=key.scope, RoleName=role_of(key.name))[
                "Role"
            ]
        except NotFound:
            return None
        trust = role["AssumeRolePolicyDocument"]
        return IamRole(role["RoleName"], role["Arn"], role["Path"], trust, tags=tags_of(role))

    def existing_role(self, key: Key) -> IamRole:
        """The role, waited for: it may have been made a moment ago."""

        def there() -> IamRole:
            role = self.role(key)
            if role is None:
                raise no_role(key)
            return role

        return until_accepted(self._readings.clouds.of(key.scope), there, object_too_fresh)

    def merge(self, key: Key, role: IamRole, statement: Mapping[str, Any]) -> IamRole:
        """Put our statement in, or in the place of the one with its Sid; ``role`` was read just now."""
        there = trust_document.statement_of(role.trust, statement["Sid"])
        if there is not None and same(there, statement):
            return role
        document = trust_document.with_statement(role.trust, statement)
        for problem in self.too_long(key, document):
            raise problem
        self._may_write(key, role, statement)
        return self._write(key, role, document)

    def take_out(self, key: Key, role: IamRole) -> None:
        sid = sid_of(key.name)
        self._may_write(key, role, trust_document.statement_of(role.trust, sid) or {})
        self._write(key, role, trust_document.without_statement(role.trust, sid))

    def rename(self, key: Key, role: IamRole, sid: str) -> None:
        """Give the statement another Sid; without one there is nothing to do."""
        ours = trust_document.statement_of(role.trust, sid_of(key.name))
        if ours is None:
            return
        self._may_write(key, role, ours)
        document = trust_document.with_statement(role.trust, {**ours, "Sid": sid})
        self._write(key, role, trust_document.without_statement(document, sid_of(key.name)))

    def too_long(self, key: Key, document: Document) -> list[OstiaryError]:
        """The problem, if the document is over the limit."""
        length = size(document)
        if length <= self._limit:
            return []
        return [
            Conflict(
                f"cannot write {key}",
                why=f"the trust policy would have {length:,} characters, the limit is {self._limit:,}",
                fix="remove statements that are not needed, or ask AWS for a longer RoleTrustPolicyLength",
                code="LimitExceeded",
            )
        ]

    def _write(self, key: Key, role: IamRole, document: Document) -> IamRole:
        aws = self._readings.clouds.of(key.scope)
        params: dict[str, Any] = {"RoleName": role.name, "PolicyDocument": text_of(document)}
        send = partial(
            aws.call,
            "iam",
            "update_assume_role_policy",
            account=key.scope,
            repeatable=True,
            **params,
        )
        try:
            until_accepted(aws, send, principal_too_fresh)
        finally:
            self._readings.forget(key.scope)
        wanted = trust_document.statement_of(document, sid_of(key.name))

        def seen() -> bool:
            now = self.role(key)
            there = now and trust_document.statement_of(now.trust, sid_of(key.name))
            return now is None or same(there, wanted)

        until_seen(aws, str(key), seen)
        return IamRole(role.name, role.arn, role.path, document, tags=role.tags)

    def _may_write(self, key: Key, role: IamRole, statement: Document) -> None:
        rules = self._rules(key.scope)
        if is_protected(role, rules):
            raise GuardTripped(f"refuse to write {key}", why=f"role {role.name} is protected")
        owner, named = role_owner(role, self._estate, rules)
        if owner is Owner.ELSEWHERE:
            raise Conflict(
                f"cannot write {key}",
                why=f"role {role.name} belongs to {named}",
                fix=trust_document.snippet(role.name, statement),
            )


def role_of(name: str) -> str:
    return name.partition("/")[0]


def sid_of(name: str) -> str:
    return name.partition("/")[2]


def no_role(key: Key) -> NotFound:
    return NotFound(
        f"cannot write {key}",
        why=f"The role with name {role_of(key.name)} cannot be found",
        fix="create the role, or take it out of the estate for this account",
        code="NoSuchEntity",
    )
