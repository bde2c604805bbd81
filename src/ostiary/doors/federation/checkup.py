"""What ``doctor`` looks at: permissions on both sides, settings of the apps, and what the estate has let lapse."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from ostiary.aws.doctor import doctor_probes, organization_probes
from ostiary.doors.federation.group_lint import lint
from ostiary.doors.federation.role_groups import settings_of
from ostiary.doors.federation.work import Work
from ostiary.errors import OstiaryError
from ostiary.model.account import Account
from ostiary.model.estate import AssignmentRule, Console
from ostiary.model.partition import PARTITIONS
from ostiary.model.servers import ServerAssignment
from ostiary.okta.app import AppKind
from ostiary.okta.doctor import okta_probes


@dataclass(frozen=True, slots=True)
class Checked:
    """``ok`` None: could not be tested, or worth knowing. ``ask`` is what to request, from whom, or which command to run."""

    where: str
    what: str
    ok: bool | None
    ask: str = ""

    def as_json(self) -> dict[str, object]:
        return {"where": self.where, "what": self.what, "ok": self.ok, "ask": self.ask}


def checkup(work: Work, purpose: str, accounts: frozenset[str] = frozenset()) -> list[Checked]:
    """Every check for one purpose (plan or apply). A check that fails to run is a finding, never an exception."""
    found = [*_estate(work)] if purpose == "plan" else []
    for org in work.estate.orgs:
        found += _guarded(
            f"Okta org {org}, {purpose}", lambda org=org: list(_okta(work, org, purpose))
        )
    for name in work.estate.organizations:
        found += _guarded(
            f"organization {name}",
            lambda name=name: list(_organization(work, name, purpose, accounts)),
        )
    for part in work.connected.parts:
        found += _guarded(
            part.title,
            lambda part=part: [Checked(part.title, *one) for one in part.checks(purpose)],
        )
    return found


def _guarded(where: str, check: object) -> list[Checked]:
    try:
        return check()  # type: ignore[operator,no-any-return]
    except OstiaryError as error:
        return [Checked(where, str(error), ok=False, ask=error.fix)]


def _estate(work: Work) -> Iterator[Checked]:
    today = datetime.now(UTC).date()
    rules: tuple[AssignmentRule | ServerAssignment, ...] = (
        *work.estate.assignments,
        *work.estate.server_assignments,
    )
    for rule in rules:
        if rule.is_overdue(today):
            yield Checked(
                "estate",
                f"{rule.place}: {rule.principal} was to have access until {rule.until}",
                ok=False,
                ask="take the assignment out, or give it a new date, then run: ostiary apply",
            )
    for console in work.estate.consoles.values():
        yield from _console(work, console)


def _console(work: Work, console: Console) -> Iterator[Checked]:
    group_filter, pattern = settings_of(console, work.estate)
    partition = work.estate.organizations[console.organization].partition
    findings = lint(
        group_filter,
        pattern,
        console.app_filter,
        provider=console.saml_provider,
        partition=PARTITIONS[partition].name,
    )
    for finding in findings:
        if finding.level != "note":
            yield Checked(
                f"console {console.name}",
                f"{finding.setting}: {finding.message}",
                ok=False if finding.level == "error" else None,
                ask="run: ostiary groups lint",
            )


def _okta(work: Work, org: str, purpose: str) -> Iterator[Checked]:
    where = f"Okta org {org}, {purpose}"
    client = work.connected.okta[org]
    for probe in okta_probes(client, purpose):
        yield Checked(where, probe.permission, probe.ok, probe.ask)
    if purpose == "plan":
        for warning in AppKind(client, org, work.estate.name).policy_report().warnings:
            yield Checked(where, warning, ok=None, ask=f"look at orgs.{org}.policy in the estate")


def _organization(work: Work, name: str, purpose: str, only: frozenset[str]) -> Iterator[Checked]:
    aws = work.connected.aws[name]
    for one in organization_probes(aws):
        yield Checked(f"organization {name}", one.permission, one.ok, one.ask)
    wanted = work.bootstrap(name, ())
    accounts = [
        account
        for account in work.accounts_of(name)
        if (account.id in only if only else not account.management)
    ]

    def probe(account: Account) -> list[Checked]:
        where = f"account {account}, {purpose}"
        return [
            Checked(where, one.permission, one.ok, one.ask)
            for one in doctor_probes(aws, account.id, purpose, wanted)
        ]

    with ThreadPoolExecutor(work.connected.settings.workers, thread_name_prefix="doctor") as pool:
        for found in pool.map(probe, accounts):
            yield from found
