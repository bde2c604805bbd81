"""``ostiary access``: who can reach what, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.options import estate_option, json_option
from ostiary.cli.typed import as_typed
from ostiary.cli.work import open_work
from ostiary.errors import OstiaryError, Partial, UsageError

if TYPE_CHECKING:
    from ostiary.doors.federation.reached import Reached
    from ostiary.doors.federation.work import Work
    from ostiary.doors.servers.questions import Questions, ServersOf
    from ostiary.doors.servers.reached import ServerReach


@click.group()
def access() -> None:
    """Answer who can reach what."""


@access.command()
@click.argument("login", metavar="USER")
@estate_option
@json_option
def what(*, login: str, estate_file: str | None, as_json: bool) -> None:
    """Everything that USER can enter now.

    Worked out from what Okta, AWS and the control plane hold; exit code 10 if not everything could be read.
    """
    work = open_work(estate_file, "plan")
    reached = work.reach_of(login)
    servers, failed = _on_servers(work, login)
    if as_json:
        more = {"servers": servers.as_json()["servers"]} if servers else {}
        term.result_json({**reached.as_json(), **more})
    else:
        _show(work, reached, servers)
    _judge(reached, failed)


def _judge(reached: Reached, failed: OstiaryError | None) -> None:
    """Partial where what was shown is not all: ``failed`` is why servers were not read."""
    unread = []
    if reached.unread:
        accounts = term.counted(len(reached.unread), "account")
        unread.append(f"{accounts} not read: {', '.join(reached.unread)}")
    if failed:
        unread.append(f"servers not read: {failed}")
    if unread:
        fix = failed.fix if failed and not reached.unread else "run: ostiary plan"
        what = f"what {reached.login} can enter may be more than this"
        raise Partial(what, why="; ".join(unread), fix=fix)


def _show(work: Work, reached: Reached, servers: ServersOf | None) -> None:
    entered = [_row(one) for one in (servers.servers if servers else ()) if one.may or one.after]
    rows = [
        (
            item.account,
            item.name,
            item.role,
            item.because,
            "" if item.wanted else "NOT in the estate",
        )
        for item in reached.items
    ]
    if rows:
        term.result(term.table(("account", "name", "role", "because", ""), rows))
    elif not entered and not reached.unread and (servers or work.estate.servers is None):
        inactive = "" if reached.status == "ACTIVE" else f": the user is {reached.status}"
        term.say(f"{reached.login} can enter nothing{inactive}")
    if reached.missing:
        term.say(as_typed("not open now, though the estate says so; run: ostiary plan"))
        for arn in reached.missing:
            term.say(f"  {arn}")
    if entered:
        term.result(term.table(("project", "server", "may", "because"), entered))


@access.command()
@click.argument("login", metavar="USER")
@click.argument("target", metavar="TARGET")
@estate_option
@json_option
def why(*, login: str, target: str, estate_file: str | None, as_json: bool) -> None:
    """Why USER may enter TARGET or may not: every rule, and what it wants.

    TARGET is a server (name or id), a project, or PROJECT/SERVER; USER a login, or machine:NAME.
    """
    answer = _questions(open_work(estate_file, "plan")).why(login, target)
    if as_json:
        term.result_json(answer.as_json())
        return
    if answer.status != "ACTIVE":
        term.say(f"{answer.login} is {answer.status}: nothing is open")
    for one in answer.servers:
        name = f"{one.project}/{one.server}" if one.server else f"project {one.project}"
        held = any(rule.holds for rule in one.rules)
        nothing = "nothing is open" if held else f"no rule lets {answer.login} in"
        term.result(f"{name}: {', '.join(one.rights) or nothing}")
        for rule in one.rules:
            mark = term.paint("✓", "green") if rule.holds else term.paint("·", "dim")
            term.result(f"  {mark} {rule.rule}\n      {rule.because}")


@access.command()
@click.argument("target", metavar="TARGET")
@estate_option
@json_option
def who(*, target: str, estate_file: str | None, as_json: bool) -> None:
    """Everybody who can enter TARGET now.

    With what and why, and who could once preauthorized. TARGET is a server (name or id), a project, PROJECT/SERVER, account:NAME-OR-ID, or account:NAME-OR-ID/ROLE.
    """
    work = open_work(estate_file, "plan")
    if target.startswith("account:"):
        _who_in_account(work, target, as_json=as_json)
        return
    answers = _questions(work).who(target)
    if as_json:
        term.result_json({"target": target, "people": [one.as_json() for one in answers]})
        return
    rows = [(answer.login, *_row(one)) for answer in answers for one in answer.servers]
    if rows:
        term.result(term.table(("person", "project", "server", "may", "because"), rows))
    else:
        term.say(f"nobody may enter {target}")


def _who_in_account(work: Work, target: str, *, as_json: bool) -> None:
    account, _, role = target.removeprefix("account:").partition("/")
    found = work.who_reaches(account, role)
    if as_json:
        term.result_json({"target": target, "people": [one.as_json() for one in found]})
        return
    rows = [
        (one.login, one.role, one.because, "" if one.wanted else "NOT in the estate")
        for one in found
    ]
    if rows:
        term.result(term.table(("person", "role", "because", ""), rows))
    else:
        term.say(f"nobody can enter {target} through the apps of this estate")


def _on_servers(work: Work, login: str) -> tuple[ServersOf | None, OstiaryError | None]:
    """What somebody may do on servers, None where the estate has none; or why that could not be read."""
    if work.estate.servers is None:
        return None, None
    try:
        return _questions(work).why(login), None
    except OstiaryError as error:
        return None, error


def _questions(work: Work) -> Questions:
    """Answers from what the control plane and Okta hold now."""
    from ostiary.doors.servers.kinds import ServersPart  # noqa: PLC0415 - only for servers
    from ostiary.doors.servers.questions import Questions as Asked  # noqa: PLC0415

    for part in work.connected.parts:
        if isinstance(part, ServersPart):
            return Asked(part.control, work.connected.people.values())
    raise UsageError(
        "cannot ask about servers",
        why=f"estate {work.estate.name} has none",
        fix="see what somebody can enter in accounts with: ostiary access what USER",
    )


def _row(one: ServerReach) -> tuple[str, str, str, str]:
    """What is to come only with a preauthorization says so, in front of what it is."""
    server = one.server or "(none yet)"
    may = ", ".join(one.rights)
    if one.after:
        may = f"when preauthorized: {', '.join(one.after)}"
    return one.project, server, may, ", ".join(one.because)
