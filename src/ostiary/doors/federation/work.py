"""One command's work on an estate: survey, plan, apply, prove. The engine, the clients and the rules meet here."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path

from ostiary.aws.bootstrap_policies import Bootstrap
from ostiary.aws.organization import discover
from ostiary.connect import AWS_KINDS, Connected, Transports, connect
from ostiary.connect_okta import Purpose
from ostiary.connect_runs import run_store
from ostiary.doors.federation.desired import desired
from ostiary.doors.federation.entering import Entering
from ostiary.doors.federation.held import read_held
from ostiary.doors.federation.live import own_sign_in
from ostiary.doors.federation.membership import moved
from ostiary.doors.federation.proof import ProofResult, compare, computed
from ostiary.doors.federation.reach import matched, new_reach
from ostiary.doors.federation.reached import Reached, ReachedBy, reached, reached_by
from ostiary.doors.federation.seen import Desired
from ostiary.doors.federation.sign_ins import Secret, SignInReport, perform, plan_sign_ins
from ostiary.doors.federation.survey import Survey, survey
from ostiary.errors import Conflict, EstateError, GuardTripped, NotFound
from ostiary.model.account import Account, AccountId
from ostiary.model.estate import Estate, resolve
from ostiary.model.estate_check import check_against, named_on_servers
from ostiary.model.estate_text import parse
from ostiary.okta.app import AppKind
from ostiary.plan.apply import Outcome
from ostiary.plan.apply import apply as apply_plan
from ostiary.plan.change import Change, OnEvent
from ostiary.plan.guard import Overrides
from ostiary.plan.lease import refuse_held
from ostiary.plan.plan import Plan
from ostiary.plan.plan import make_plan as plan_of
from ostiary.plan.release import release as release_marks
from ostiary.plan.resource import Key, Resource
from ostiary.plan.resume import written_by
from ostiary.plan.runs import RunStore
from ostiary.plan.wrap import Wrap
from ostiary.settings import Settings
from ostiary.term import counted


def read_estate(file: Path, environ: Mapping[str, str] | None = None) -> Estate:
    """The estate of a file; EstateError with every problem at once."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EstateError(
            f"cannot read estate {file}",
            why=(error.strerror or "").lower() if isinstance(error, OSError) else "it is not UTF-8",
            fix="name one with --estate, or write one with: ostiary init --okta-url URL",
        ) from error
    return parse(
        text,
        file=str(file),
        env=os.environ if environ is None else environ,
        read_file=lambda path: (file.parent / path).read_text("utf-8"),
    )


def open_estate(
    settings: Settings, purpose: Purpose, *, transports: Transports | None = None
) -> Work:
    """Read the estate and build its clients; nothing is sent yet."""
    estate = read_estate(settings.estate_file)
    stopping = threading.Event()
    return Work(
        connect(estate, settings, purpose=purpose, transports=transports, stopping=stopping)
    )


@dataclass(frozen=True, slots=True)
class Proof:
    """The mapping computed for everyone from what Okta and AWS hold, against the estate."""

    result: ProofResult
    accounts: int

    @property
    def holds(self) -> bool:
        return self.result.holds

    def as_json(self) -> dict[str, object]:
        return {**self.result.as_json(), "accounts": self.accounts}

    def lines(self) -> list[str]:
        return [
            f"{one.login} cannot enter {one.entitlement.role_arn}" for one in self.result.missing
        ] + [
            f"{one.login} can enter {one.entitlement.role_arn} and should not"
            for one in self.result.surplus
        ]

    def sentence(self) -> str:
        people = len({one.login for one in self.result.expected})
        if self.holds:
            return (
                f"proof: {people} people can enter exactly the {len(self.result.expected)} "
                f"(person, role) pairs of the estate in {counted(self.accounts, 'account')}"
            )
        return f"proof failed: {len(self.result.missing)} pairs missing, {len(self.result.surplus)} too many"


class Work:
    """What one command does with an estate. The world is surveyed once, when it is first asked for."""

    def __init__(self, connected: Connected) -> None:
        self.connected = connected
        self.estate = connected.estate
        self._surveys: dict[frozenset[str], Survey] = {}

    def survey(self, only: frozenset[str] = frozenset(), on_event: OnEvent | None = None) -> Survey:
        if only not in self._surveys:
            self._surveys[only] = survey(self.connected, only, on_event)
            unknown = only - {account.id for account in self._surveys[only].accounts}
            if unknown:
                raise NotFound(
                    f"account {', '.join(sorted(unknown))} is in no organization of the estate",
                    fix="run: ostiary doctor",
                )
        return self._surveys[only]

    def names(self, made: Plan) -> dict[str, str]:
        """What to call each Okta org, each account that was seen, and the people whom ``made`` moves, by id."""
        names = {org: f"Okta org {org}" for org in self.estate.orgs}
        names |= {part.scope: part.title for part in self.connected.parts}
        for known in self._surveys.values():
            names |= {one.id: f"{one.id} {one.name}" for one in known.accounts}
            for org in known.seen.orgs.values():
                names |= {one.id: one.login for one in org.people.values()}
        for name, ids in moved(made).items():
            names |= self.connected.people[name].logins(ids - names.keys())
        return names

    def desired(self, only: frozenset[str] = frozenset()) -> Desired:
        """What the estate comes to now. EstateError with every problem at once."""
        ids = frozenset(AccountId(one) for one in only)
        today = datetime.now(UTC).date()
        known = self.survey(only)
        wanted = desired(self.estate, known.seen, today=today, only=ids)
        empty = check_against(
            self.estate,
            (*known.accounts, *known.suspended),
            self._group_names(),
            today=today,
            logins=self._people_of_servers(today),
        )
        more = (one for one in wanted.problems if not any(line.startswith(one) for line in empty))
        self._refuse(sorted((*empty, *more), key=_line))
        return wanted

    def _refuse(self, problems: Sequence[str]) -> None:
        if problems:
            raise EstateError(
                f"cannot use estate {self.estate.file}",
                problems=problems,
                fix=f"correct {self.estate.file} and run: ostiary plan --estate {self.estate.file}",
            )

    def _group_names(self) -> dict[str, tuple[str, ...]]:
        listed = {org: people.groups() for org, people in self.connected.people.items()}
        return {org: tuple(group.name for group in groups) for org, groups in listed.items()}

    def _people_of_servers(self, today: date) -> frozenset[str]:
        """Those whom the part of servers names and an org has."""
        named = {name for _, kind, name in named_on_servers(self.estate, today) if kind == "user"}
        found = (people.people(named) for people in self.connected.people.values())
        return frozenset(login for people in found for login in people)

    def plan(
        self,
        *,
        only: frozenset[str] = frozenset(),
        adopt: frozenset[Key] = frozenset(),
        on_event: OnEvent | None = None,
    ) -> Plan:
        """Read everything and compare. With ``only``, no other account is entered or changed."""
        known = self.survey(only, on_event)
        wanted = self.desired(only)
        resources = [
            replace(resource, adopt=True) if resource.key in adopt else resource
            for resource in (*wanted.resources, *self._of_parts(only))
        ]
        missing = adopt - {resource.key for resource in resources}
        if missing:
            raise NotFound(
                f"the estate does not want {', '.join(sorted(map(str, missing)))}",
                fix="copy the key from: ostiary plan",
            )
        accounts = [account.id for account in known.accounts if not only or account.id in only]
        made = plan_of(
            [
                one
                for one in resources
                if not only or one.key.kind not in AWS_KINDS or one.key.scope in only
            ],
            self.connected.kinds,
            self._scopes(accounts, only),
            estate=self.estate.name,
            workers=self.connected.settings.workers,
            on_event=on_event,
            warnings=self._warnings(known, wanted, only),
        )
        self._refuse(sorted(line for part in self.connected.parts for line in part.problems(made)))
        return _within(made, only) if only else made

    def _of_parts(self, only: frozenset[str]) -> tuple[Resource, ...]:
        """What other doors want of the estate: nothing where only accounts are meant."""
        today = datetime.now(UTC).date()
        parts = () if only else self.connected.parts
        return tuple(one for part in parts for one in part.resources(today))

    def _scopes(self, accounts: Sequence[str], only: frozenset[str]) -> dict[str, tuple[str, ...]]:
        """What is read: with ``only``, nothing of other doors."""
        others = {kind.name for part in self.connected.parts for kind in part.kinds} if only else ()
        scopes = self.connected.scopes(accounts)
        return {name: some for name, some in scopes.items() if name not in others}

    def _warnings(self, known: Survey, wanted: Desired, only: frozenset[str]) -> tuple[str, ...]:
        others = [account.id for account in known.accounts if only and account.id not in only]
        lines = [
            text for text in wanted.warnings if not any(account_id in text for account_id in others)
        ]
        lines += [
            f"account {account} is {account.status}: left alone" for account in known.suspended
        ]
        for client, org in ((client, org) for org, client in self.connected.okta.items()):
            lines += AppKind(client, org, self.estate.name).policy_report().warnings
        if not only:
            today = datetime.now(UTC).date()
            lines += (line for part in self.connected.parts for line in part.warnings(today))
        reach = new_reach(self._matched_before(), matched(wanted))
        lines += [f"new reach: {line}" for line in reach]
        return tuple(lines)

    def with_history(self, made: Plan) -> Plan:
        """The same plan; what a run of ours made and somebody else has removed since says so."""
        written = written_by(self.store[0], self.estate.name)

        def told(change: Change) -> Change:
            run_id, action = written.get(change.key, ("", "delete"))
            if change.action not in ("create", "snippet") or action == "delete":
                return change
            return change.because(f"run {run_id} wrote it; somebody has removed it since")

        return replace(made, changes=tuple(told(change) for change in made.changes))

    def plan_destroy(self, *, on_event: OnEvent | None = None) -> Plan:
        """A plan that removes whatever bears this estate's mark."""
        known = self.survey(on_event=on_event)
        return plan_of(
            [],
            self.connected.kinds,
            self.connected.scopes([account.id for account in known.accounts]),
            estate=self.estate.name,
            workers=self.connected.settings.workers,
            on_event=on_event,
        )

    def adopt(self, keys: frozenset[Key], *, on_event: OnEvent | None = None) -> Plan:
        """The part of the plan that takes over these objects."""
        made = self.plan(adopt=keys, on_event=on_event)
        return replace(
            made, changes=tuple(one for one in made.changes if one.key in keys), unread=()
        )

    def release(self, made: Plan, *, on_event: OnEvent | None = None) -> Outcome:
        """Take our marks off everything that ``made`` would delete, and leave the objects."""
        store, wrap = self.store
        return release_marks(made, self.connected.kinds, store=store, wrap=wrap, on_event=on_event)

    def refuse_held(self) -> None:
        """LeaseHeld at once, before anything is read, while another run works on this estate."""
        refuse_held(self.store[0], self.estate.name)

    def fitting(self, saved: Plan, only: frozenset[str] = frozenset()) -> Plan:
        """A saved plan made ready for this estate: its accounts are looked up again, its changes are its own."""
        if saved.estate != self.estate.name:
            raise Conflict(
                f"the plan is of estate {saved.estate}, not {self.estate.name}",
                fix="name the estate that it was made from with --estate",
            )
        self.survey(only)
        return _within(saved, only) if only else saved

    def apply(
        self,
        made: Plan,
        *,
        overrides: Overrides | None = None,
        on_event: OnEvent | None = None,
        all_or_nothing: bool = False,
        max_failures: int | None = None,
        canary: bool = False,
        stop: threading.Event | None = None,
    ) -> Outcome:
        """Do what ``made`` says, through guard, lease and journal."""
        store, wrap = self.store
        outcome = apply_plan(
            made,
            self.connected.kinds,
            store=store,
            wrap=wrap,
            guard=self.connected.guard(overrides or Overrides()),
            on_event=on_event,
            workers=self.connected.settings.workers,
            all_or_nothing=all_or_nothing,
            stop=stop,
            max_failures=max_failures,
            canary=canary,
        )
        if outcome.converged:
            self._remember_reach()
        return outcome

    def accounts_of(self, organization: str) -> tuple[Account, ...]:
        """The active accounts of one organization; none is entered."""
        found = discover(self.connected.aws[organization], organization, alone=True)
        for account in (*found.accounts, *found.suspended):
            self.connected.fleet.place(account.id, organization)
        return found.accounts

    def bootstrap(self, organization: str, trusted: Collection[str]) -> Bootstrap:
        """What the plan and apply roles of an organization are made from. By default they trust who asks."""
        settings = self.estate.organizations[organization]
        consoles = [
            console
            for console in self.estate.consoles.values()
            if console.organization == organization
        ]
        caller = self.connected.aws[organization].caller()
        return Bootstrap(
            estate=self.estate.name,
            trusted=next(iter(trusted), "") or _principal_of(caller.arn),
            providers=tuple(sorted({console.saml_provider for console in consoles})),
            roles=tuple(sorted(self.estate.roles)),
            plan=settings.plan or "OstiaryPlan",
            apply=settings.apply or "OstiaryApply",
            external_id=resolve(settings.external_id, os.environ) if settings.external_id else "",
            protect=settings.protect_roles,
        )

    def reach_of(self, login: str) -> Reached:
        """What one person can enter now, by which group, and what the estate says."""
        found = [people.people([login]).get(login) for people in self.connected.people.values()]
        status = next((person.status for person in found if person), None)
        if status is None:
            raise NotFound(
                f"no user {login} in the Okta orgs of this estate", fix="check the login in Okta"
            )
        known = self.survey()
        accounts = [account for account in known.accounts if account.id not in known.seen.unread]
        held = read_held(self.connected, accounts)
        return reached(login, status, held, self.desired(), known.accounts)

    def who_reaches(self, named: str, role: str = "") -> tuple[ReachedBy, ...]:
        """Who can enter an account (its id or exact name), or one role of it, now."""
        known = self.survey()
        account = next((one for one in known.accounts if named in (one.id, one.name)), None)
        if account is None or account.id in known.seen.unread:
            why = "it was not read" if account else "no organization of the estate has it"
            raise NotFound(f"cannot look into account {named}", why=why, fix="run: ostiary doctor")
        return reached_by(read_held(self.connected, [account]), self.desired(), account, role)

    @cached_property
    def store(self) -> tuple[RunStore, Wrap]:
        return run_store(self.estate, self.connected)

    def prove(self) -> Proof:
        """Read everything again and work out who can enter what."""
        known = next(iter(self._surveys.values()))
        accounts = [account for account in known.accounts if account.id not in known.seen.unread]
        wanted = self.desired(next(iter(self._surveys)))
        actual = computed(read_held(self.connected, accounts))
        ids = {account.id for account in accounts}
        return Proof(compare(wanted.access, actual, accounts=ids), len(accounts))

    def sign_in_as(self, people: Mapping[str, Secret]) -> SignInReport:
        """Really sign in as everybody whose password is known, and enter every role that is offered."""
        entering = Entering(self.connected)
        wanted = self.desired(next(iter(self._surveys)))
        planned = plan_sign_ins(self.estate, wanted, people)
        return perform(planned, people, entering.open_app, entering.enter)

    def sign_in_live(self, say: Callable[[str], None]) -> SignInReport:
        """The operator's own sign-in by device flow."""
        known = next(iter(self._surveys))
        return own_sign_in(self.connected, self.survey(known).seen, self.desired(known), say)

    # Newly matched accounts: what the last whole apply saw is kept beside the runs.

    def refuse_new_reach(self, made: Plan) -> None:
        """GuardTripped when the plan would open an admin role in an account that the estate did not match before."""
        del made
        wanted = self.desired(next(iter(self._surveys)))
        fresh = new_reach(self._matched_before(), matched(wanted), admin_only=self.estate)
        if fresh:
            raise GuardTripped(
                "the estate newly matches accounts with an admin role",
                why="; ".join(fresh[:20]),
                fix="look at them, then add: --accept-reach",
            )

    def _matched_before(self) -> frozenset[str] | None:
        stored = self.store[0].get(f"{self.estate.name}/reach")
        return frozenset(json.loads(stored.data)) if stored else None

    def _remember_reach(self) -> None:
        if list(self._surveys) != [frozenset()]:
            return
        names = sorted(matched(self.desired()))
        self.store[0].put(f"{self.estate.name}/reach", json.dumps(names).encode())


def _line(problem: str) -> int:
    """The line of ``file:line: message``; what has none comes last."""
    found = re.match(r".*?:(\d+): ", problem)
    return int(found[1]) if found else sys.maxsize


def _within(made: Plan, only: Collection[str]) -> Plan:
    """The changes of these accounts, and what they need in Okta: nothing that is another account's alone."""
    return replace(
        made,
        changes=tuple(one for one in made.changes if _concerns(one, only)),
        unread=tuple(one for one in made.unread if not one.scope.isdigit() or one.scope in only),
    )


def _concerns(change: Change, only: Collection[str]) -> bool:
    """In AWS the account decides. In Okta nothing is taken away that another account may need."""
    if change.key.kind in AWS_KINDS:
        return change.account in only
    if not change.key.kind.startswith("okta-"):
        return False
    if change.key.kind in ("okta-group", "okta-role-group-members"):
        return any(account in change.key.name for account in only)
    return change.action != "delete" or change.key.kind == "okta-group-rule"


def _principal_of(arn: str) -> str:
    """The role behind an assumed-role session; a user's ARN as it is (a trust policy names no sessions)."""
    if ":assumed-role/" not in arn:
        return arn
    head, _, rest = arn.partition(":assumed-role/")
    return f"{head.replace(':sts:', ':iam:')}:role/{rest.split('/')[0]}"
