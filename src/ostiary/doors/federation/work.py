"""One command's work on an estate: plan, apply, prove. The engine, the clients and the rules meet here."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Collection, Mapping

from ostiary.aws.bootstrap_policies import Bootstrap
from ostiary.aws.organization import discover
from ostiary.connect import Transports, connect
from ostiary.connect_okta import Purpose
from ostiary.doors.federation.entering import Entering
from ostiary.doors.federation.estate_file import read_estate
from ostiary.doors.federation.held import read_held
from ostiary.doors.federation.live import own_sign_in
from ostiary.doors.federation.planning import Planning
from ostiary.doors.federation.proof import compare, computed
from ostiary.doors.federation.proof_told import Proof
from ostiary.doors.federation.reach import matched, new_reach
from ostiary.doors.federation.reached import Reached, ReachedBy, reached, reached_by
from ostiary.doors.federation.sign_ins import Secret, SignInReport, perform, plan_sign_ins
from ostiary.errors import GuardTripped, NotFound
from ostiary.model.account import Account
from ostiary.model.estate import resolve
from ostiary.plan.apply import Outcome
from ostiary.plan.apply import apply as apply_plan
from ostiary.plan.change import OnEvent
from ostiary.plan.guard import Overrides
from ostiary.plan.lease import refuse_held
from ostiary.plan.plan import Plan
from ostiary.plan.release import release as release_marks
from ostiary.settings import Settings


def open_estate(
    settings: Settings, purpose: Purpose, *, transports: Transports | None = None
) -> Work:
    """Read the estate and build its clients; nothing is sent yet."""
    estate = read_estate(settings.estate_file)
    stopping = threading.Event()
    return Work(
        connect(estate, settings, purpose=purpose, transports=transports, stopping=stopping)
    )


class Work(Planning):
    """What one command does with an estate, beside planning: apply, prove, and answer who reaches what."""

    def release(self, made: Plan, *, on_event: OnEvent | None = None) -> Outcome:
        """Take our marks off everything that ``made`` would delete, and leave the objects."""
        store, wrap = self.store
        return release_marks(made, self.connected.kinds, store=store, wrap=wrap, on_event=on_event)

    def refuse_held(self) -> None:
        """LeaseHeld at once, before anything is read, while another run works on this estate."""
        refuse_held(self.store[0], self.estate.name)

    def refuse_guarded(self, made: Plan, overrides: Overrides) -> None:
        """GuardTripped before anybody is asked whether to go on; ``apply`` judges again."""
        self.connected.guard(overrides).require(made)

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
        return reached(
            login, status, held, self.desired(), known.accounts, unread=known.seen.unread
        )

    def who_reaches(self, named: str, role: str = "") -> tuple[ReachedBy, ...]:
        """Who can enter an account (its id or exact name), or one role of it, now."""
        known = self.survey()
        account = next((one for one in known.accounts if named in (one.id, one.name)), None)
        if account is None or account.id in known.seen.unread:
            why = "it was not read" if account else "no organization of the estate has it"
            raise NotFound(f"cannot look into account {named}", why=why, fix="run: ostiary doctor")
        return reached_by(read_held(self.connected, [account]), self.desired(), account, role)

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
        fresh = new_reach(self.matched_before(), matched(wanted), admin_only=self.estate)
        if fresh:
            raise GuardTripped(
                "the estate newly matches accounts with an admin role",
                why="; ".join(fresh[:20]),
                fix="look at them, then add: --accept-reach",
            )

    def _remember_reach(self) -> None:
        if list(self._surveys) != [frozenset()]:
            return
        names = sorted(matched(self.desired()))
        self.store[0].put(f"{self.estate.name}/reach", json.dumps(names).encode())


def _principal_of(arn: str) -> str:
    """The role behind an assumed-role session; a user's ARN as it is (a trust policy names no sessions)."""
    if ":assumed-role/" not in arn:
        return arn
    head, _, rest = arn.partition(":assumed-role/")
    return f"{head.replace(':sts:', ':iam:')}:role/{rest.split('/')[0]}"
