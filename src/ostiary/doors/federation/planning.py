"""Survey and plan of an estate: what is there, what it comes to, and the difference. Nothing is written."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cached_property

from ostiary.connect import AWS_KINDS, Connected
from ostiary.connect_runs import run_store
from ostiary.doors.federation.desired import desired
from ostiary.doors.federation.membership import moved
from ostiary.doors.federation.only_accounts import within
from ostiary.doors.federation.reach import matched, new_reach
from ostiary.doors.federation.seen import Desired
from ostiary.doors.federation.survey import Survey, survey
from ostiary.errors import Conflict, EstateError, NotFound
from ostiary.model.account import AccountId
from ostiary.model.estate_check import check_against, named_on_servers
from ostiary.okta.app import AppKind
from ostiary.plan.change import Change, OnEvent
from ostiary.plan.plan import Plan
from ostiary.plan.plan import make_plan as plan_of
from ostiary.plan.resource import Key, Resource
from ostiary.plan.resume import written_by
from ostiary.plan.runs import RunStore
from ostiary.plan.wrap import Wrap


class Planning:
    """What is read of an estate's world, and plans made of it. The world is surveyed once, when it is first asked for."""

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
        parts = self.connected.parts
        self._refuse(sorted(line for part in parts for line in part.problems(made)))
        if only:
            return within(made, only)
        today = datetime.now(UTC).date()
        return made.with_warnings(line for part in parts for line in part.warnings(today, made))

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
        reach = new_reach(self.matched_before(), matched(wanted))
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

    def fitting(self, saved: Plan, only: frozenset[str] = frozenset()) -> Plan:
        """A saved plan made ready for this estate: its accounts are looked up again, its changes are its own."""
        if saved.estate != self.estate.name:
            raise Conflict(
                f"the plan is of estate {saved.estate}, not {self.estate.name}",
                fix="name the estate that it was made from with --estate",
            )
        self.survey(only)
        return within(saved, only) if only else saved

    @cached_property
    def store(self) -> tuple[RunStore, Wrap]:
        return run_store(self.estate, self.connected)

    def matched_before(self) -> frozenset[str] | None:
        stored = self.store[0].get(f"{self.estate.name}/reach")
        return frozenset(json.loads(stored.data)) if stored else None


def _line(problem: str) -> int:
    """The line of ``file:line: message``; what has none comes last."""
    found = re.match(r".*?:(\d+): ", problem)
    return int(found[1]) if found else sys.maxsize
