"""The kind ``trust-statement``: one statement of ours in the trust policy of a role, merged by its Sid.

Ours by the Sid: ``Ostiary`` and 8 hex digits of the estate; what a statement of ours says is only ours to say,
so one with our Sid that stands there already is brought in line. One that is not wanted and lets in other than a
provider's people was never ours, whatever its Sid. How it is written: ``role_trust``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ostiary.aws import trust_document
from ostiary.aws.account_reading import Readings
from ostiary.aws.ownership import RulesOf, is_protected, no_rules, role_owner
from ostiary.aws.policy_document import same
from ostiary.aws.role_trust import RoleTrust, no_role, role_of, sid_of
from ostiary.errors import OstiaryError, StalePlan
from ostiary.model.iam import IamRole
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
        self._rules = rules
        self._trust = RoleTrust(estate, readings, rules, limit)

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
                if trust_document.is_ours(one, self._prefix) or f"{role.name}/{sid}" in wanted:
                    found[f"{role.name}/{sid}"] = self._found(scope, role, sid)
        for name in wanted.keys() - found.keys():
            owner = roles.get(role_of(name))
            if owner is not None and self._owner(scope, owner)[0] is Owner.ELSEWHERE:
                found[name] = self._found(scope, owner, sid_of(name))
        return Reading(self.name, scope, tuple(found.values()))

    def problems(self, scope: str, wanted: Mapping[str, Resource]) -> tuple[OstiaryError, ...]:
        """What planning can tell already: trust policies that would grow over the limit, roles that are not there."""
        roles = self._readings.account(scope).roles
        found: list[OstiaryError] = []
        for name, resource in wanted.items():
            role = roles.get(role_of(name))
            statement = self._with_arns(resource.wanted["statement"])
            if role is not None:
                document = trust_document.with_statement(role.trust, statement)
                found += self._trust.too_long(resource.key, document)
            elif not any(key.kind == "iam-role" for key in resource.after):
                found.append(no_role(resource.key))
        return tuple(found)

    def look(self, key: Key) -> Found | None:
        role = self._trust.role(key)
        if role is None or trust_document.statement_of(role.trust, sid_of(key.name)) is None:
            return None
        return self._found(key.scope, role, sid_of(key.name))

    def differences(self, found: Found, wanted: Mapping[str, Json]) -> tuple[str, ...]:
        return tuple(
            name for name, value in wanted.items() if not same(found.attributes.get(name), value)
        )

    def snippet(self, found: Found, wanted: Mapping[str, Json]) -> str:
        """What the owner of the role is asked to add."""
        statement: Any = wanted["statement"]
        return trust_document.snippet(role_of(found.key.name), statement)

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
        """Merge our statement in. A role that was just made has it from its creation: that costs no call."""
        new = self._readings.take_new(key.scope, role_of(key.name))
        there = new and trust_document.statement_of(new.trust, sid_of(key.name))
        if new is not None and same(there, wanted["statement"]):
            return self._found(key.scope, new, sid_of(key.name))
        return self._merge(key, self._trust.existing_role(key), wanted)

    def update(self, found: Found, wanted: Mapping[str, Json]) -> Found:
        role = self._unchanged(found)
        if role is None:
            raise StalePlan(f"cannot update {found.key}", why="it is gone", fix="run: ostiary plan")
        return self._merge(found.key, role, wanted)

    def delete(self, found: Found) -> None:
        role = self._unchanged(found)
        if role is not None:
            self._trust.take_out(found.key, role)

    def release(self, found: Found) -> None:
        """Give the statement a Sid that is not ours."""
        role = self._trust.role(found.key)
        if role is not None:
            sid = sid_of(found.key.name)
            self._trust.rename(found.key, role, "Kept" + sid.removeprefix("Ostiary"))

    def restore(self, key: Key, before: Mapping[str, Json] | None) -> None:
        """Our statement as it was; statements that others have changed since stay as they are now."""
        if before is not None:
            self._merge(key, self._trust.existing_role(key), before)
            return
        role = self._trust.role(key)
        if role is not None and trust_document.statement_of(role.trust, sid_of(key.name)):
            self._trust.take_out(key, role)

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

    def _unchanged(self, found: Found) -> IamRole | None:
        """The role now; None if our statement is gone; StalePlan if it is not as it was found."""
        role = self._trust.role(found.key)
        there = role and trust_document.statement_of(role.trust, sid_of(found.key.name))
        if there is None:
            return None
        if not same(there, found.attributes["statement"]):
            raise StalePlan(
                f"cannot write {found.key}",
                why="the statement changed since it was read",
                fix="run: ostiary plan",
            )
        return role

    def _merge(self, key: Key, role: IamRole, wanted: Mapping[str, Json]) -> Found:
        statement: Any = wanted["statement"]
        merged = self._trust.merge(key, role, statement)
        return self._found(key.scope, merged, statement["Sid"])

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
            partition = self._readings.clouds.of(value.key.scope).partition
            return partition.iam_arn(value.key.scope, f"saml-provider/{value.key.name}")
        if isinstance(value, Mapping):
            return {key: self._with_arns(item) for key, item in value.items()}
        return [self._with_arns(item) for item in value] if isinstance(value, list) else value


def _account_of(wanted: Mapping[str, Any]) -> str:
    """The account of the provider that the statement lets in."""
    provider = wanted["statement"]["Principal"]["Federated"]
    return provider.key.scope if isinstance(provider, Ref) else str(provider).split(":")[4]
