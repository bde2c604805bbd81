"""What the door is told of the world, and what it answers: values only, no client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ostiary.model.access import Access, Assignment
from ostiary.model.account import Account, AccountId
from ostiary.model.estate import AssignmentRule
from ostiary.model.iam import AccountIam
from ostiary.plan.resource import Found, Resource

ACTIVE = (
    "ACTIVE"  # the only Okta status in which a person can sign in without an administrator's help
)
GONE = "DEPROVISIONED"


@dataclass(frozen=True, slots=True)
class GroupSeen:
    """An Okta group. ``source`` is ``okta`` or the key of the app that it comes from (``active_directory``).

    ``members`` are user ids, all of them. ``rule_filled``: a group rule, of whomever, has it as a target.
    """

    id: str
    name: str
    source: str = "okta"
    members: frozenset[str] = frozenset()
    rule_filled: bool = False


@dataclass(frozen=True, slots=True)
class PersonSeen:
    id: str
    login: str
    status: str = ACTIVE


@dataclass(frozen=True, slots=True)
class OrgSeen:
    """One Okta org. ``owned`` are our ``okta-group`` and ``okta-group-rule`` objects; ``foreign_rules`` counts
    the rules of everybody else. ``ambiguous`` are names that more than one group has.
    """

    groups: Mapping[str, GroupSeen]
    people: Mapping[str, PersonSeen]
    owned: tuple[Found, ...] = ()
    foreign_rules: int = 0
    ambiguous: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything read before planning.

    ``accounts`` are all accounts that the Organizations list; those in ``unread`` (ids) could not be entered, or are
    not active, so that their alias and roles are unknown. ``orgs`` is by the org's name in the estate. ``iam`` may lack
    accounts; what it has is checked (policies that must exist, roles made elsewhere, size of trust policies).
    """

    accounts: tuple[Account, ...]
    orgs: Mapping[str, OrgSeen]
    unread: frozenset[AccountId] = frozenset()
    iam: Mapping[AccountId, AccountIam] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Desired:
    """What the estate comes to in this world.

    ``access`` is who should be able to enter what once all of it is applied: active people, accounts that
    were read. ``by_console`` is the same by console. ``unproven`` are accounts with role groups that nobody could look into. ``problems`` forbid an
    apply; ``warnings`` do not. Both are lines, with file and line where the estate is the cause.
    """

    resources: tuple[Resource, ...]
    assignments: tuple[Assignment, ...]
    access: frozenset[Access]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    overdue: tuple[AssignmentRule, ...] = ()
    unproven: frozenset[AccountId] = frozenset()
    by_console: Mapping[str, frozenset[Access]] = field(default_factory=dict)


@dataclass(slots=True)
class Notes:
    """Problems and warnings as they are found, each once."""

    problems: dict[str, None] = field(default_factory=dict)
    warnings: dict[str, None] = field(default_factory=dict)

    def problem(self, text: str) -> None:
        self.problems[text] = None

    def warn(self, text: str) -> None:
        self.warnings[text] = None
