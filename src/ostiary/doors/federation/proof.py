"""Who can enter what, worked out from what Okta and AWS hold now, and whether that is what the estate says.

The mapping is followed link by link as a sign-in would: group -> value of the app's filter and pattern ->
provider in the account that trusts this very app -> trust policy of the role. Only settings and documents
as read count; nothing of the plan does. ``sign_ins`` proves the same by really signing in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ostiary.doors.federation.role_groups import RoleMapping
from ostiary.doors.federation.seen import ACTIVE, Desired, GroupSeen, PersonSeen
from ostiary.errors import Conflict, UsageError
from ostiary.model.access import Access, Entitlement
from ostiary.model.account import AccountId
from ostiary.model.partition import PARTITIONS
from ostiary.model.policy import Caller, trust_decision
from ostiary.saml import metadata
from ostiary.saml.roles import NotRolePair, RolePair, parse_pair


@dataclass(frozen=True, slots=True)
class AppHeld:
    """An ``amazon_aws`` app as it is. ``settings`` is its ``settings.app``; ``groups`` and ``users`` are the ids
    that are assigned to it, users only by themselves; ``metadata`` is the XML text of its signing key.
    """

    label: str
    settings: Mapping[str, Any]
    metadata: str
    groups: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class OrgHeld:
    """``groups``: all that an app's filter could take, ours or not, and all that are assigned to an app."""

    apps: tuple[AppHeld, ...]
    groups: tuple[GroupSeen, ...]
    people: tuple[PersonSeen, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """What Okta and AWS hold. ``providers``: ARN -> metadata text; ``trust``: role ARN -> trust policy.

    An account that is in neither gives no access here: leave unread ones out of the comparison.
    """

    orgs: Mapping[str, OrgHeld]
    providers: Mapping[str, str] = field(default_factory=dict)
    trust: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProofResult:
    """``missing``: should be possible and is not; ``surplus``: is possible and should not be."""

    expected: frozenset[Access]
    actual: frozenset[Access]

    @property
    def missing(self) -> tuple[Access, ...]:
        return tuple(sorted(self.expected - self.actual))

    @property
    def surplus(self) -> tuple[Access, ...]:
        return tuple(sorted(self.actual - self.expected))

    @property
    def holds(self) -> bool:
        return self.expected == self.actual

    def as_json(self) -> dict[str, object]:
        return {
            "holds": self.holds,
            "expected": len(self.expected),
            "actual": len(self.actual),
            "missing": [access_json(one) for one in self.missing],
            "surplus": [access_json(one) for one in self.surplus],
        }


def access_json(access: Access) -> dict[str, str]:
    entitlement = access.entitlement
    return {
        "login": access.login,
        "account": entitlement.account_id,
        "role": entitlement.role,
        "arn": entitlement.role_arn,
    }


def expected(desired: Desired) -> frozenset[Access]:
    """What the estate says, for the accounts that could be read."""
    return desired.access


def compare(
    wanted: frozenset[Access],
    actual: frozenset[Access],
    *,
    accounts: Collection[AccountId] | None = None,
) -> ProofResult:
    """Both sides, limited to ``accounts`` where they are given (the ones that were read)."""

    def kept(several: frozenset[Access]) -> frozenset[Access]:
        if accounts is None:
            return several
        return frozenset(one for one in several if one.entitlement.account_id in accounts)

    return ProofResult(kept(wanted), kept(actual))


@dataclass(frozen=True, slots=True)
class Path:
    """One way to one access: the app that is opened and the role group that counts in it."""

    access: Access
    app: str
    group: str


def computed(held: Held) -> frozenset[Access]:
    """Every (person, role) that a sign-in through any app of ``held`` would reach now."""
    return frozenset(path.access for path in computed_paths(held))


def computed_paths(held: Held) -> frozenset[Path]:
    """The same with the way to each.

    Apps without group mapping (the older API mode) offer roles by assignment and are not followed here.
    """
    return frozenset(
        path
        for org in held.orgs.values()
        for app in org.apps
        if app.settings.get("useGroupMapping")
        for path in _through(app, org, held)
    )


def _through(app: AppHeld, org: OrgHeld, held: Held) -> Iterator[Path]:
    try:
        mapping = RoleMapping(
            str(app.settings.get("groupFilter") or ""),
            str(app.settings.get("roleValuePattern") or ""),
        )
        vouched = metadata.parse(app.metadata)
    except (UsageError, Conflict):
        return  # an app that nobody can sign in through gives nobody anything
    sources = {part.strip() for part in str(app.settings.get("appFilter") or "").split(",")}
    assigned = app.users.union(*(one.members for one in org.groups if one.id in app.groups))
    able = {one.id: one.login for one in org.people if one.status == ACTIVE and one.id in assigned}
    for group in org.groups:
        value = mapping.value(group.name) if group.source in sources else None
        pair = _pair(value)
        if pair is None or not _enters(pair, vouched, held):
            continue
        entitlement = Entitlement(pair.partition, AccountId(pair.account_id), pair.role_name)
        for member in group.members & able.keys():
            yield Path(Access(able[member], entitlement), app.label, group.name)


def _pair(value: str | None) -> RolePair | None:
    try:
        return None if value is None else parse_pair(value)
    except NotRolePair:
        return None


def _enters(pair: RolePair, vouched: metadata.Metadata, held: Held) -> bool:
    """Whether the account's provider trusts the app's key, and the role the provider."""
    known = held.providers.get(pair.provider_arn)
    trust = held.trust.get(pair.role_arn)
    partition = PARTITIONS.get(pair.partition)
    if known is None or trust is None or partition is None:
        return False
    try:
        provider = metadata.parse(known)
    except Conflict:
        return False
    if provider.entity_id != vouched.entity_id or not provider.keys & vouched.keys:
        return False
    decision = trust_decision(
        trust,
        caller=Caller("federated", pair.provider_arn, pair.account_id),
        action="sts:AssumeRoleWithSAML",
        context={"SAML:aud": partition.sign_in_url, "SAML:iss": vouched.entity_id},
        role_account=pair.account_id,
    )
    return decision.allowed
