"""Does an independent admin path into an account remain? Definition and reasons: docs/explanation/admin-path.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ostiary.model.admin_rights import (
    Principal,
    Standing,
    is_admin,
    pessimistic,
    standing,
)
from ostiary.model.iam import AccountIam, IamRole, IamUser
from ostiary.model.partition import PARTITIONS
from ostiary.model.policy import AuthRequest, Caller, assume_decision, trust_decision

MAX_ROLES = 3  # roles entered one after the other
MAX_REASONS = 8  # a refusal names the first of them

__all__ = ["PathVerdict", "independent_admin_paths", "is_admin"]


@dataclass(frozen=True, slots=True)
class PathVerdict:
    """``path`` says in one sentence who gets in how; ``why`` says what was tried and failed when none does."""

    ok: bool
    path: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Reached:
    """A principal that somebody independent can be, and how."""

    principal: Principal
    home: AccountIam
    how: str


@dataclass(slots=True)
class _Search:
    """Walks outward from independent credentials, one role at a time."""

    accounts: tuple[AccountIam, ...]  # the account itself first
    dependent: frozenset[str]  # providers of this org
    touched: frozenset[tuple[str, str, str]]
    vouched: frozenset[str]
    missing: dict[str, None] = field(default_factory=dict)  # what nearly was a path, in order
    standings: dict[str, Standing | None] = field(default_factory=dict)

    def find(self) -> str | None:
        """The first way found to be an administrator of the first account."""
        reached = list(self._credentials())
        waiting = [(role, home, str(role.trust)) for home in self.accounts for role in home.roles]
        for _ in range(MAX_ROLES):
            if found := next((one for one in reached if self._is_goal(one)), None):
                return found.how
            before, reached, left = reached, [], []
            for role, home, trust in waiting:
                how = self._entry(role, home, trust, before)
                if how and self.usable(role, home):
                    label = _label(role, home)
                    reached.append(_Reached(role, home, f"{label} entered by {how}"))
                elif not how:
                    left.append((role, home, trust))
            waiting = left
        if found := next((one for one in reached if self._is_goal(one)), None):
            return found.how
        self._note_closed([role for role, home, _ in waiting if home is self.accounts[0]])
        return None

    def _is_goal(self, one: _Reached) -> bool:
        return one.home is self.accounts[0] and is_admin(one.principal, one.home) is True

    def _credentials(self) -> Iterator[_Reached]:
        for home in self.accounts:
            for user in home.users or ():
                label = _label(user, home)
                if not (user.active_keys or user.console_password):
                    self.note(f"{label} has neither active key nor password")
                elif self.usable(user, home):
                    kind = "active key" if user.active_keys else "console password"
                    yield _Reached(user, home, f"{label} with {kind}")

    def _entry(
        self, role: IamRole, home: AccountIam, trust: str, before: list[_Reached]
    ) -> str | None:
        for one in before:
            if _named(trust, one) and self._may_enter(one, role):
                return one.how
        return self._vouched_entry(role, home) if self.vouched else None

    def _may_enter(self, one: _Reached, role: IamRole) -> bool:
        held = self.usable(one.principal, one.home)
        if held is None:
            return False
        request = AuthRequest(
            held.principal_arn, one.home.account_id, "sts:AssumeRole", role.arn, held.context
        )
        trust = pessimistic(role.trust, held.known)
        return assume_decision(request, trust, held.policies).allowed

    def note(self, text: str) -> None:
        self.missing[text] = None

    def _note_closed(self, roles: list[IamRole]) -> None:
        """Name the administrators that nobody independent can enter, and users that are none."""
        home = self.accounts[0]
        for user in home.users or ():
            if not is_admin(user, home):
                self.note(f"{_label(user, home)} is not known to be an administrator")
        for role in roles:
            if is_admin(role, home) and self.usable(role, home):
                self.note(f"{_label(role, home)} is entered by nobody independent")

    def usable(self, principal: Principal, account: AccountIam) -> Standing | None:
        """The principal's policies if it is no part of the plan and all of them were read."""
        if principal.arn not in self.standings:
            label = _label(principal, account)
            found = None
            if not _parts(principal, account).isdisjoint(self.touched):
                self.note(f"{label} is in the plan")
            elif (found := standing(principal, account)) is None:
                self.note(f"not every policy of {label} was read")
            self.standings[principal.arn] = found
        return self.standings[principal.arn]

    def _vouched_entry(self, role: IamRole, account: AccountIam) -> str | None:
        """By a provider or foreign principal that the estate names as independent."""
        for arn in sorted(self.vouched - self.dependent):
            if "-provider/" not in arn:
                caller, action, context = Caller.of(arn), "sts:AssumeRole", {}
            else:
                provider = arn.rpartition("/")[2]
                if ("saml-provider", account.account_id, provider) in self.touched:
                    continue
                caller, action = Caller("federated", arn), "sts:AssumeRoleWithSAML"
                context = {"saml:aud": PARTITIONS[account.partition].sign_in_url}
            known = frozenset((*context, "aws:principalarn", "aws:principalaccount"))
            trust = pessimistic(role.trust, known)
            if trust_decision(trust, caller=caller, action=action, context=context).allowed:
                return f"{arn}, named independent in the estate"
        return None


def _label(principal: Principal, account: AccountIam) -> str:
    noun = "role" if isinstance(principal, IamRole) else "IAM user"
    return f"{noun} {principal.name} of {account.account_id}"


def _parts(principal: Principal, account: AccountIam) -> set[tuple[str, str, str]]:
    """Everything whose change would change what the principal may do, as a plan names it."""
    kind = "iam-role" if isinstance(principal, IamRole) else "iam-user"
    groups = principal.groups if isinstance(principal, IamUser) else ()
    arns = [*principal.managed_arns, principal.boundary_arn or ""]
    arns += [arn for group in account.groups if group.name in groups for arn in group.managed_arns]
    named = {(kind, principal.name), *(("iam-group", name) for name in groups)}
    named |= {("iam-policy", name) for arn in arns for name in (arn, arn.rpartition("/")[2])}
    return {(kind, account.account_id, name) for kind, name in named}


def _named(trust: str, one: _Reached) -> bool:
    """A quick look whether the text of a trust policy could mean this caller at all."""
    return one.home.account_id in trust or one.principal.arn in trust or "'*'" in trust


def _dependent(
    accounts: tuple[AccountIam, ...], okta_provider_arns: frozenset[str]
) -> frozenset[str]:
    """The org's providers, and every other provider that holds the same org's metadata."""
    seen = [provider for account in accounts for provider in account.saml_providers]
    entities = {p.entity_id for p in seen if p.arn in okta_provider_arns and p.entity_id}
    return okta_provider_arns | {p.arn for p in seen if p.entity_id in entities}


def _by_role(touched: frozenset[tuple[str, str, str]]) -> frozenset[tuple[str, str, str]]:
    """A plan's trust statement (``role/Sid``) touches its role."""
    return touched | {
        ("iam-role", account_id, name.partition("/")[0])
        for kind, account_id, name in touched
        if kind == "trust-statement"
    }


def independent_admin_paths(
    account: AccountIam,
    management: AccountIam | None,
    *,
    okta_provider_arns: frozenset[str],
    touched: frozenset[tuple[str, str, str]],
    trusted_credentials: frozenset[str] = frozenset(),
    others: tuple[AccountIam, ...] = (),
) -> PathVerdict:
    """Find a principal with effective admin rights over ``account`` that this org and this plan cannot cut off.

    ``okta_provider_arns``: every SAML or OIDC provider of this org, in any account. ``touched``: what the plan
    writes, as (kind, account id, name) with kinds ``iam-role``, ``iam-user``, ``iam-group``, ``iam-policy`` (name
    or ARN), ``saml-provider``, ``trust-statement`` (``role/Sid``). ``trusted_credentials``: ARNs of SAML providers
    or foreign principals that the estate names as independent. ``others``: further accounts that were read whole
    and may be on the way. The account is as before the change; unknown counts as no.
    """
    if not account.complete or account.users is None:
        return PathVerdict(ok=False, why=f"IAM of account {account.account_id} was not read whole")
    read = {one.account_id: one for one in (account, management, *others) if one and one.complete}
    accounts = tuple(read.values())
    dependent = _dependent(accounts, okta_provider_arns)
    search = _Search(accounts, dependent, _by_role(touched), trusted_credentials)
    if management is not None and not management.complete:
        search.note(f"IAM of account {management.account_id} was not read whole")
    if path := search.find():
        return PathVerdict(ok=True, path=path)
    return PathVerdict(ok=False, why=_listed(list(search.missing)))


def _listed(missing: list[str]) -> str:
    shown = "; ".join(missing[:MAX_REASONS]) or "no administrator was found"
    more = len(missing) - MAX_REASONS
    return f"{shown}; and {more} more" if more > 0 else shown
