"""The kind ``trust-statement``: one statement of ours in the trust policy of a role, merged by its Sid.

Ours by the Sid: ``Ostiary`` and 8 hex digits of the estate. IAM has no conditional write, so every write
reads the document just before, changes our statement only and looks afterwards; the window in which somebody
else's edit could be lost is the time of one call. Taking the last statement of a role leaves
``trust_document.NOBODY``, since IAM accepts no trust policy without a statement.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ostiary.aws import trust_document
from ostiary.aws.account_reading import Readings, tags_of
from ostiary.aws.ownership import RulesOf, is_protected, no_rules, role_owner
from ostiary.aws.policy_document import same, size, text_of
from ostiary.aws.propagation import (
    object_too_fresh,
    principal_too_fresh,
    until_accepted,
    until_seen,
)
from ostiary.errors import Conflict, GuardTripped, NotFound, OstiaryError, StalePlan
from ostiary.model.iam import Document, IamRole
from ostiary.plan.resource import Found, Json, Key, Owner, Reading, Ref, Resource, Risk, Value


class TrustStatementKind:
    """``limit`` is the account's quota for trust policies in characters (2,048, or up to 4,096 on request)."""

    name = "trust-statement"

    def __init__(
        self,
        estate: str,
        readings: Readings,
        rules: RulesOf = no_rules,
        *,
        limit: int = trust_document.LIMIT,
    ) -> None:
        self._prefix = trust_document.sid_prefix(estate)
        self._estate = estate
        self._readings = readings
        self._clouds = readings.clouds
        self._rules = rules
        self._limit = limit

    def read(self, scope: str, wanted: Mapping[str, Resource]) -> Reading:
        """Our statements; and for roles that others own, an empty one where ours is wanted and missing."""
        try:
            roles = self._readings.account(scope).roles
        except OstiaryError as error:
            return Reading(self.name, scope, complete=False, why=error)
        found = {}
        for role in roles.values():
            for one in trust_document.statements(role.trust):
                sid = str(one.get("Sid", ""))
                if sid.startswith(self._prefix) or f"{role.name}/{sid}" in wanted:
                    found[f"{role.name}/{sid}"] = self._found(scope, role, sid)
        for name in wanted.keys() - found.keys():
            owner = roles.get(_role_of(name))
            if owner is not None and self._owner(scope, owner)[0] is Owner.ELSEWHERE:
                found[name] = self._found(scope, owner, _sid_of(name))
        return Reading(self.name, scope, tuple(found.values()))

    def problems(self, scope: str, wanted: Mapping[str, Resource]) -> tuple[OstiaryError, ...]:
        """What planning can tell already: trust policies that would grow over the limit, roles that are not there."""
        roles = self._readings.account(scope).roles
        found: list[OstiaryError] = []
        for name, resource in wanted.items():
            role = roles.get(_role_of(name))
            statement = self._with_arns(resource.wanted["statement"])
            if role is not None:
                document = trust_document.with_statement(role.trust, statement)
                found += self._too_long(resource.key, document)
            elif not any(key.kind == "iam-role" for key in resource.after):
                found.append(_no_role(resource.key))
        return tuple(found)

    def look(self, key: Key) -> Found | None:
        role = self._role(key)
        if role is None or trust_document.statement_of(role.trust, _sid_of(key.name)) is None:
            return None
        return self._found(key.scope, role, _sid_of(key.name))

    def differences(self, found: Found, wanted: Mapping[str, Json]) -> tuple[str, ...]:
        return tuple(
            name for name, value in wanted.items() if not same(found.attributes.get(name), value)
        )

    def snippet(self, found: Found, wanted: Mapping[str, Json]) -> str:
        """What the owner of the role is asked to add."""
        statement: Any = wanted["statement"]
        return trust_document.snippet(_role_of(found.key.name), statement)

    def risk(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> Risk:
        """A deletion detaches; any other write to a role that exists says who may enter it."""
        del found
        if action == "delete":
            return Risk.DETACH
        if action == "create" and wanted is not None and not self._role_exists(wanted):
            return Risk.NONE
        return Risk.TRUST

    def detaches(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> int:
        del found, wanted
        return int(action == "delete")

    def create(self, key: Key, wanted: Mapping[str, Json]) -> Found:
        """Merge our statement in; one with our Sid that stands there already is brought in line."""
        aws = self._clouds.of(key.scope)
        role = until_accepted(aws, partial(self._existing_role, key), object_too_fresh)
        return self._merge(key, role, wanted)

    def update(self, found: Found, wanted: Mapping[str, Json]) -> Found:
        role = self._unchanged(found)
        if role is None:
            raise StalePlan(f"cannot update {found.key}", why="it is gone", fix="plan again")
        return self._merge(found.key, role, wanted)

    def delete(self, found: Found) -> None:
        role = self._unchanged(found)
        if role is not None:
            self._take_out(found.key, role)

    def release(self, found: Found) -> None:
        """Give the statement a Sid that is not ours."""
        role = self._role(found.key)
        sid = _sid_of(found.key.name)
        if role is None or (ours := trust_document.statement_of(role.trust, sid)) is None:
            return
        theirs = {**ours, "Sid": "Kept" + sid.removeprefix("Ostiary")}
        document = trust_document.with_statement(role.trust, theirs)
        self._write(found.key, role, trust_document.without_statement(document, sid))

    def restore(self, key: Key, before: Mapping[str, Json] | None) -> None:
        """Our statement as it was; statements that others have changed since stay as they are now."""
        role = self._role(key)
        if before is not None:
            self._merge(key, role or self._existing_role(key), before)
        elif role is not None and trust_document.statement_of(role.trust, _sid_of(key.name)):
            self._take_out(key, role)

    def _found(self, account_id: str, role: IamRole, sid: str) -> Found:
        statement = trust_document.statement_of(role.trust, sid)
        ours = Owner.OURS if sid.startswith(self._prefix) else Owner.FOREIGN
        owner, named = self._owner(account_id, role)
        elsewhere = owner is Owner.ELSEWHERE
        attributes: dict[str, Json] = {"role": role.name, "statement": dict(statement or {})}
        return Found(
            Key(self.name, account_id, f"{role.name}/{sid}"),
            attributes,
            Owner.ELSEWHERE if elsewhere else ours,
            owned_by=named if elsewhere else "",
            protected=is_protected(role, self._rules(account_id)),
            raw={**attributes, "document": dict(role.trust)},
        )

    def _owner(self, account_id: str, role: IamRole) -> tuple[Owner, str]:
        return role_owner(role, self._estate, self._rules(account_id))

    def _role(self, key: Key) -> IamRole | None:
        """The role with its trust policy and tags as they are now: one call."""
        try:
            role = self._clouds.of(key.scope).call(
                "iam", "get_role", account=key.scope, RoleName=_role_of(key.name)
            )["Role"]
        except NotFound:
            return None
        trust = role["AssumeRolePolicyDocument"]
        return IamRole(role["RoleName"], role["Arn"], role["Path"], trust, tags=tags_of(role))

    def _existing_role(self, key: Key) -> IamRole:
        role = self._role(key)
        if role is None:
            raise _no_role(key)
        return role

    def _unchanged(self, found: Found) -> IamRole | None:
        """The role now; None if our statement is gone; StalePlan if it is not as it was found."""
        role = self._role(found.key)
        if role is None:
            return None
        statement = trust_document.statement_of(role.trust, _sid_of(found.key.name))
        if statement is None:
            return None
        if not same(statement, found.attributes["statement"]):
            raise StalePlan(
                f"cannot write {found.key}",
                why="the statement changed since it was read",
                fix="plan again",
            )
        return role

    def _merge(self, key: Key, role: IamRole, wanted: Mapping[str, Json]) -> Found:
        statement: Any = wanted["statement"]
        there = trust_document.statement_of(role.trust, statement["Sid"])
        if there is None or not same(there, statement):
            document = trust_document.with_statement(role.trust, statement)
            for problem in self._too_long(key, document):
                raise problem
            self._may_write(key, role, statement)
            role = self._write(key, role, document)
        return self._found(key.scope, role, statement["Sid"])

    def _take_out(self, key: Key, role: IamRole) -> None:
        sid = _sid_of(key.name)
        self._may_write(key, role, trust_document.statement_of(role.trust, sid) or {})
        self._write(key, role, trust_document.without_statement(role.trust, sid))

    def _write(self, key: Key, role: IamRole, document: Document) -> IamRole:
        aws = self._clouds.of(key.scope)
        params: dict[str, Any] = {"RoleName": role.name, "PolicyDocument": text_of(document)}
        call = partial(
            aws.call,
            "iam",
            "update_assume_role_policy",
            account=key.scope,
            repeatable=True,
            **params,
        )
        try:
            until_accepted(aws, call, principal_too_fresh)
        finally:
            self._readings.forget(key.scope)
        sid = _sid_of(key.name)
        wanted = trust_document.statement_of(document, sid)

        def seen() -> bool:
            now = self._role(key)
            return now is None or same(trust_document.statement_of(now.trust, sid), wanted)

        until_seen(aws, str(key), seen)
        return IamRole(role.name, role.arn, role.path, document, tags=role.tags)

    def _may_write(self, key: Key, role: IamRole, statement: Document) -> None:
        if is_protected(role, self._rules(key.scope)):
            raise GuardTripped(f"refuse to write {key}", why=f"role {role.name} is protected")
        owner, named = self._owner(key.scope, role)
        if owner is Owner.ELSEWHERE:
            raise Conflict(
                f"cannot write {key}",
                why=f"role {role.name} belongs to {named}",
                fix=trust_document.snippet(role.name, statement),
            )

    def _too_long(self, key: Key, document: Document) -> list[OstiaryError]:
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

    def _role_exists(self, wanted: Mapping[str, Value]) -> bool:
        """Whether the role is there now; an account that could not be read counts as having it."""
        account = _account_of(wanted)
        try:
            return not account or wanted["role"] in self._readings.account(account).roles
        except OstiaryError:
            return True

    def _with_arns(self, value: Any) -> Any:
        """The statement with the ARN that each provider will have."""
        if isinstance(value, Ref):
            partition = self._clouds.of(value.key.scope).partition
            return partition.iam_arn(value.key.scope, f"saml-provider/{value.key.name}")
        if isinstance(value, Mapping):
            return {key: self._with_arns(item) for key, item in value.items()}
        return [self._with_arns(item) for item in value] if isinstance(value, list) else value


def _role_of(name: str) -> str:
    return name.partition("/")[0]


def _sid_of(name: str) -> str:
    return name.partition("/")[2]


def _account_of(wanted: Mapping[str, Any]) -> str:
    """The account of the provider that the statement lets in."""
    provider = wanted["statement"]["Principal"]["Federated"]
    return provider.key.scope if isinstance(provider, Ref) else str(provider).split(":")[4]


def _no_role(key: Key) -> NotFound:
    return NotFound(
        f"cannot write {key}",
        why=f"The role with name {_role_of(key.name)} cannot be found",
        fix="create the role, or take it out of the estate for this account",
        code="NoSuchEntity",
    )
