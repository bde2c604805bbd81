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

__all__ = ["PathVerdict", "independent_admin_paths", "is_admin"]


@dataclass(frozen=True, slots=True)
class PathVerdict:
    """``path`` says in one sentence who gets in how; ``why`` says what was tried and failed when none does."""

    ok: bool
    path: str = ""
    why: str = ""


@dataclass(slots=True)
class _Search:
    accounts: tuple[AccountIam, ...]  # the account itself first
    dependent: frozenset[str]  # providers of this org
    touched: frozenset[tuple[str, str, str]]
    vouched: frozenset[str]
    missing: list[str] = field(default_factory=list)  # what nearly was a path
    dead: dict[str, int] = field(default_factory=dict)  # role ARN -> roles that were still allowed
    standings: dict[str, Standing | None] = field(default_factory=dict)

    def note(self, text: str) -> None:
        if text not in self.missing:
            self.missing.append(text)

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

    def credential(self, user: IamUser, account: AccountIam) -> str | None:
        """How this user signs in without anybody else."""
        label = _label(user, account)
        if user.active_keys:
            return f"{label} with active key"
        if user.console_password:
            return f"{label} with console password"
        self.note(f"{label} has neither active key nor password")
        return None

    def entry(self, role: IamRole, account: AccountIam, left: int) -> str | None:
        """Who enters ``role`` independently, through at most ``left`` roles with this one."""
        if left < 1 or self.dead.get(role.arn, 0) >= left:
            return None
        self.dead[role.arn] = left  # also ends circles
        for user, home in self._users():
            if self._may_enter(user, home, role) and (how := self.credential(user, home)):
                return how
        if provider := self._vouched_entry(role, account):
            return provider
        for other, home in self._roles():
            if other.arn == role.arn or left < 2:  # noqa: PLR2004 - one more role needs two
                continue
            if self._may_enter(other, home, role) and (how := self.entry(other, home, left - 1)):
                return f"{_label(other, home)} entered by {how}"
        self.note(f"{_label(role, account)} is entered by nobody independent")
        return None

    def _users(self) -> Iterator[tuple[IamUser, AccountIam]]:
        return ((user, account) for account in self.accounts for user in account.users or ())

    def _roles(self) -> Iterator[tuple[IamRole, AccountIam]]:
        return ((role, account) for account in self.accounts for role in account.roles)

    def _may_enter(self, caller: Principal, home: AccountIam, role: IamRole) -> bool:
        if not _named(role, caller.arn, home.account_id):
            return False
        held = self.usable(caller, home)
        if held is None:
            return False
        request = AuthRequest(
            held.principal_arn, home.account_id, "sts:AssumeRole", role.arn, held.context
        )
        trust = pessimistic(role.trust, held.known)
        return assume_decision(request, trust, held.policies).allowed

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


def _named(role: IamRole, arn: str, account_id: str) -> bool:
    """A quick look whether the trust policy could mean this caller at all."""
    text = str(role.trust)
    return account_id in text or arn in text or "'*'" in text


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
    for user in account.users:
        if is_admin(user, account) and search.usable(user, account):
            if how := search.credential(user, account):
                return PathVerdict(ok=True, path=how)
        else:
            search.note(f"{_label(user, account)} is not known to be an administrator")
    for role in account.roles:
        if not is_admin(role, account) or search.usable(role, account) is None:
            continue
        if how := search.entry(role, account, MAX_ROLES):
            return PathVerdict(ok=True, path=f"{_label(role, account)} entered by {how}")
    return PathVerdict(ok=False, why="; ".join(search.missing) or "no administrator was found")
