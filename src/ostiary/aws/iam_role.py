"""The kind ``iam-role``: a role whose rights the estate gives. Its trust policy belongs to ``trust-statement``.

Ours by the tag ``ostiary:estate``. A role is never deleted and made again under its name: principals elsewhere
know it by its unique id (IAM User Guide, "AWS JSON policy elements: Principal").
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from ostiary.aws.account_reading import Readings, look_at_role
from ostiary.aws.iam_role_writes import Write, alteration, creation, is_visible, removal
from ostiary.aws.ownership import TAG, RulesOf, is_protected, no_rules, own_tags, role_owner
from ostiary.aws.policy_document import same
from ostiary.aws.propagation import (
    object_too_fresh,
    principal_too_fresh,
    until_accepted,
    until_seen,
)
from ostiary.aws.trust_document import NOBODY, others_let_in, sid_prefix
from ostiary.errors import Conflict, GuardTripped, NotFound, OstiaryError, StalePlan
from ostiary.model.iam import IamRole
from ostiary.plan.resource import Found, Json, Key, Owner, Reading, Resource, Risk, Value

_TAKING = ("managed_policies", "inline_policies")


class IamRoleKind:
    """``rules`` gives the protected and elsewhere-owned patterns that hold in an account."""

    name = "iam-role"

    def __init__(self, estate: str, readings: Readings, rules: RulesOf = no_rules) -> None:
        self._estate = estate
        self._readings = readings
        self._clouds = readings.clouds
        self._rules = rules

    def read(self, scope: str, wanted: Mapping[str, Resource]) -> Reading:
        try:
            roles = self._readings.account(scope).roles
        except OstiaryError as error:
            return Reading(self.name, scope, complete=False, why=error)
        found = (self._found(scope, role) for role in roles.values())
        kept = (one for one in found if one.owner is Owner.OURS or one.key.name in wanted)
        return Reading(self.name, scope, tuple(kept))

    def look(self, key: Key) -> Found | None:
        role = look_at_role(self._clouds, key.scope, key.name)
        return self._found(key.scope, role) if role else None

    def differences(self, found: Found, wanted: Mapping[str, Json]) -> tuple[str, ...]:
        return tuple(
            name
            for name, value in wanted.items()
            if name != "trust" and not _as_wanted(name, found.attributes.get(name), value)
        )

    def risk(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> Risk:
        return Risk.DETACH if self.detaches(action, found, wanted) else Risk.NONE

    def detaches(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> int:
        """One for a deletion; for an update the policies taken off, and one for another boundary."""
        if action == "delete":
            return 1
        if found is None or wanted is None:
            return 0
        lost = sum(
            len(_names(found.attributes[member]) - _names(wanted[member]))
            for member in _TAKING
            if member in wanted
        )
        boundary = wanted.get("boundary")
        limited = boundary is not None and boundary != found.attributes["boundary"]
        return lost + limited

    def needed_by(self, found: Found) -> str:
        """Who else enters by a role that is no longer wanted; they would be locked out with it."""
        trust: Any = found.raw["trust"]
        others = others_let_in(trust, sid_prefix(self._estate))
        return f"others enter by it: {_sids(others)}" if others else ""

    def create(self, key: Key, wanted: Mapping[str, Json]) -> Found:
        role = self._wanted_role(key, wanted, None)
        try:
            self._write(key, role, creation(role))
        except Conflict as exists:
            if exists.code != "EntityAlreadyExists":
                raise
            return self.update(self._ours_already(key, exists), wanted)
        self._readings.remember_new(key.scope, role)
        return self._found(key.scope, role)

    def update(self, found: Found, wanted: Mapping[str, Json]) -> Found:
        now = self._unchanged(found, wanted)
        if now is None:
            raise StalePlan(f"cannot update {found.key}", why="it is gone", fix="run: ostiary plan")
        self._may_write(self._found(found.key.scope, now))
        role = self._wanted_role(found.key, wanted, now)
        self._write(found.key, role, alteration(now, role))
        return self._found(found.key.scope, role)

    def delete(self, found: Found) -> None:
        now = self._unchanged(found, found.attributes)
        if now is None:
            return
        if found.owner is not Owner.OURS:
            raise Conflict(f"cannot delete {found.key}", why=f"its owner: {found.owner.value}")
        seen = self._found(found.key.scope, now)
        self._may_write(seen)
        if others := self.needed_by(seen):
            raise StalePlan(f"cannot delete {found.key}", why=others, fix="run: ostiary plan")
        self._write(found.key, now, removal(now))

    def release(self, found: Found) -> None:
        now = look_at_role(self._clouds, found.key.scope, found.key.name)
        if now is not None and TAG in now.tags:
            tags = {key: value for key, value in now.tags.items() if key != TAG}
            role = dataclasses.replace(now, tags=tags)
            self._write(found.key, role, alteration(now, role))

    def restore(self, key: Key, before: Mapping[str, Json] | None) -> None:
        now = self.look(key)
        if before is None:
            if now is not None and now.owner is Owner.OURS:
                self.delete(now)
            return
        role = _from_raw(before)
        current = look_at_role(self._clouds, key.scope, key.name) if now else None
        if now is not None:
            self._may_write(now)
        self._write(key, role, alteration(current, role) if current else creation(role))

    def _found(self, account_id: str, role: IamRole) -> Found:
        rules = self._rules(account_id)
        owner, named = role_owner(role, self._estate, rules)
        return Found(
            Key(self.name, account_id, role.name),
            {
                "description": role.description,
                "max_session": role.max_session,
                "boundary": role.boundary_arn,
                "managed_policies": list(role.managed_arns),
                "inline_policies": {name: _json(one) for name, one in sorted(role.inline.items())},
                "tags": own_tags(role.tags),
            },
            owner,
            ids={"arn": role.arn},
            owned_by=named,
            protected=is_protected(role, rules),
            raw=_json(dataclasses.asdict(role)),
        )

    def _wanted_role(self, key: Key, wanted: Mapping[str, Any], now: IamRole | None) -> IamRole:
        """The role as it shall be: what the estate does not speak of stays; tags are only added."""
        partition = self._clouds.of(key.scope).partition
        role = now or IamRole(
            key.name,
            partition.iam_arn(key.scope, f"role/{key.name}"),
            "/",
            {"Version": "2012-10-17", "Statement": wanted.get("trust") or [NOBODY]},
        )
        boundary = wanted.get("boundary", role.boundary_arn)
        return dataclasses.replace(
            role,
            description=wanted.get("description", role.description),
            max_session=wanted.get("max_session", role.max_session),
            boundary_arn=boundary or None,
            managed_arns=tuple(sorted(wanted.get("managed_policies", role.managed_arns))),
            inline=wanted.get("inline_policies", role.inline),
            tags={**role.tags, **wanted.get("tags", {}), TAG: self._estate},
        )

    def _write(self, key: Key, role: IamRole, writes: Iterable[Write]) -> None:
        aws = self._clouds.of(key.scope)
        done: list[Write] = []
        try:
            for write in writes:
                made = bool(done) and done[0].operation == "create_role"
                until_accepted(
                    aws,
                    partial(self._send, key, write),
                    object_too_fresh if made else principal_too_fresh,
                )
                done.append(write)
        finally:
            self._readings.forget(key.scope)
        if done:
            until_seen(aws, str(key), lambda: is_visible(aws, key.scope, role, done[-1]))

    def _send(self, key: Key, write: Write) -> None:
        try:
            self._clouds.of(key.scope).call(
                "iam",
                write.operation,
                account=key.scope,
                repeatable=True,
                RoleName=key.name,
                **write.params,
            )
        except NotFound:
            if not write.absent_is_done:
                raise

    def _unchanged(self, found: Found, named: Mapping[str, Json]) -> IamRole | None:
        """The role as it is now; StalePlan if anything in ``named`` is not as in ``found``."""
        now = look_at_role(self._clouds, found.key.scope, found.key.name)
        if now is None:
            return None
        seen = self._found(found.key.scope, now)
        before = {name: found.attributes[name] for name in named if name in found.attributes}
        changed = self.differences(seen, before)
        if changed or seen.owner is not found.owner:
            raise StalePlan(
                f"cannot write {found.key}",
                why=f"changed since it was read: {', '.join(changed) or 'its owner'}",
                fix="run: ostiary plan",
            )
        return now

    def _may_write(self, found: Found) -> None:
        if found.protected:
            raise GuardTripped(f"refuse to write {found.key}", why="its name or path is protected")
        if found.owner in (Owner.ELSEWHERE, Owner.OTHER_ESTATE):
            raise Conflict(f"cannot write {found.key}", why=f"it belongs to {found.owned_by}")

    def _ours_already(self, key: Key, exists: Conflict) -> Found:
        """What stands in the way of a creation: ours after a lost answer, else a conflict."""
        names = self._readings.account(key.scope).roles
        twin = next((one for one in names if one.lower() == key.name.lower()), key.name)
        if twin == key.name:
            aws = self._clouds.of(key.scope)
            until_seen(aws, str(key), lambda: self.look(key) is not None)
            found = self.look(key)
            if found is not None and found.owner is Owner.OURS:
                return found
        appeared = twin == key.name
        raise (StalePlan if appeared else Conflict)(
            f"cannot create {key}",
            why=exists.why if appeared else f"{twin} exists, and IAM ignores case in names",
            fix=f"run: ostiary adopt {self.name}:{key.scope}/{twin}, or choose another name",
            code=exists.code,
        ) from exists


def _from_raw(raw: Mapping[str, Any]) -> IamRole:
    return IamRole(**{**raw, "managed_arns": tuple(raw["managed_arns"])})


def _as_wanted(name: str, seen: Any, wanted: Any) -> bool:
    if name == "tags":
        return all(seen.get(key) == value for key, value in wanted.items())
    if name == "inline_policies":
        return bool(seen.keys() == wanted.keys()) and all(
            same(seen[policy], wanted[policy]) for policy in wanted
        )
    if name == "managed_policies":
        return sorted(seen) == sorted(wanted)
    return bool((seen or None) == (wanted or None))


def _names(value: Any) -> set[str]:
    return {one for one in value if isinstance(one, str)}


def _sids(sids: Iterable[str]) -> str:
    """Statements of a trust policy, as people find them."""
    return ", ".join(f"statement {sid}" if sid else "a statement without Sid" for sid in sids)


def _json(value: Any) -> Any:
    """The same with lists for tuples."""
    if isinstance(value, Mapping):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    return value
