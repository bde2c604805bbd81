"""``plan``, ``apply``, ``drift``: the verbs over an estate."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.options import (
    accounts_of,
    confirm,
    details_option,
    estate_option,
    guard_options,
    json_option,
    only_option,
)
from ostiary.cli.progress import progress, stopping
from ostiary.cli.typed import as_typed
from ostiary.cli.work import finish, make_plan, open_work, show
from ostiary.errors import DriftFound, Partial

if TYPE_CHECKING:
    from ostiary.doors.federation.sign_ins import Secret
    from ostiary.plan.change import Change
    from ostiary.plan.plan import Plan


@click.command()
@estate_option
@only_option
@click.option(
    "--save",
    "save_file",
    type=click.Path(path_type=Path),
    metavar="PLAN",
    help="Write the plan to a file for apply.",
)
@details_option
@json_option
def plan(
    *,
    estate_file: str | None,
    only: tuple[str, ...],
    save_file: Path | None,
    details: bool,
    as_json: bool,
) -> None:
    """Show what would change. Only reads; exit code 10 if not everything could be read."""
    from ostiary.plan.saved import save, to_json  # noqa: PLC0415

    work = open_work(estate_file, "plan")
    made = make_plan(work, accounts_of(only))
    if save_file:
        save(made, save_file)
        term.say(as_typed(f"saved to {save_file}; do it with: ostiary apply {save_file}"))
    if as_json:
        term.result_json(to_json(made))
    else:
        show(work, made, details=details)
    if made.unread:
        raise Partial(
            f"the plan of estate {work.estate.name} is incomplete",
            why=f"not read: {', '.join(one.scope for one in made.unread)}",
            fix=next((one.fix for one in made.unread if one.fix), "") or "run: ostiary plan",
        )


@click.command()
@click.argument("plan_file", required=False, type=click.Path(path_type=Path), metavar="[PLAN]")
@estate_option
@only_option
@guard_options
@click.option(
    "--all-or-nothing", is_flag=True, help="Refuse as a whole if anything changed after the plan."
)
@click.option(
    "--tolerate", type=click.IntRange(min=1), metavar="N", help="Stop when N accounts have failed."
)
@click.option("--canary", is_flag=True, help="One account first; the rest only if it went well.")
@click.option(
    "--accept-reach", is_flag=True, help="Accept admin roles in accounts that are newly matched."
)
@click.option("--no-proof", is_flag=True, help="Leave out the proof at the end.")
@click.option(
    "--people",
    "people_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Prove by signing in as the people of FILE (what sandbox up --json prints).",
)
@click.option("--sign-in", is_flag=True, help="Prove by your own sign-in, by device flow.")
@details_option
@json_option
def apply(
    *,
    plan_file: Path | None,
    estate_file: str | None,
    only: tuple[str, ...],
    yes: bool,
    allow_deletions: tuple[str, ...],
    without_admin_path: tuple[str, ...],
    cutover: tuple[str, ...],
    all_or_nothing: bool,
    tolerate: int | None,
    canary: bool,
    accept_reach: bool,
    no_proof: bool,
    people_file: Path | None,
    sign_in: bool,
    details: bool,
    as_json: bool,
) -> None:
    """Do what the plan says, journalled, and prove the result.

    With PLAN, a file that plan --save wrote, exactly those changes are made.
    """
    from ostiary.plan.guard import Overrides  # noqa: PLC0415
    from ostiary.plan.saved import load  # noqa: PLC0415

    overrides = Overrides.parse(allow_deletions, without_admin_path, cutover)
    saved = load(plan_file) if plan_file else None
    people = _people(people_file)
    work = open_work(estate_file, "apply")
    work.refuse_held()
    made = work.fitting(saved, accounts_of(only)) if saved else make_plan(work, accounts_of(only))
    if not as_json:
        show(work, made, details=details)
    if not made.writes:
        outcome = work.apply(made, overrides=overrides)
        finish(work, outcome, as_json=as_json, prove=not no_proof, people=people, sign_in=sign_in)
        return
    if not accept_reach:
        work.refuse_new_reach(made)
    work.refuse_guarded(made, overrides)
    confirm(f"apply {term.counted(len(made.writes), 'change')} to {work.estate.name}", yes=yes)
    stop = threading.Event()
    with stopping(stop, work.connected.stopping), progress("applying") as on_event:
        outcome = work.apply(
            made,
            overrides=overrides,
            on_event=on_event,
            all_or_nothing=all_or_nothing,
            max_failures=tolerate,
            canary=canary,
            stop=stop,
        )
    finish(work, outcome, as_json=as_json, prove=not no_proof, people=people, sign_in=sign_in)


def _people(file: Path | None) -> Mapping[str, Secret]:
    from ostiary.doors.federation.entering import read_people  # noqa: PLC0415

    return read_people(file) if file else {}


@click.command()
@estate_option
@only_option
@details_option
@json_option
def drift(*, estate_file: str | None, only: tuple[str, ...], details: bool, as_json: bool) -> None:
    """Say where the world differs from the estate; exit code 12 if it does."""
    from ostiary.plan.saved import to_json  # noqa: PLC0415

    work = open_work(estate_file, "plan")
    made = work.with_history(make_plan(work, accounts_of(only)))
    if as_json:
        term.result_json(to_json(made))
    else:
        show(work, made, details=details)
    judge(made, work.estate.name)


def judge(made: Plan, estate: str) -> None:
    """DriftFound where the world differs, Partial where that cannot be told: a pipeline runs again then."""
    if made.unread and not _seen(made):
        raise Partial(
            f"cannot tell whether the world differs from estate {estate}",
            why=_differing(made),
            fix="see what was not read, and why: ostiary plan",
        )
    if not made.is_empty:
        raise DriftFound(
            f"the world differs from estate {estate}",
            why=_differing(made),
            fix="run: ostiary apply",
        )


def _seen(made: Plan) -> list[Change]:
    """What differs, of what was read."""
    return [one for one in made.changes if one.action != "unread"]


def _differing(made: Plan) -> str:
    parts = (
        (len(made.writes), "change", "would bring it back"),
        (len(_seen(made)) - len(made.writes), "object", "in the way or owned elsewhere"),
        (len(made.unread), "scope", "not read"),
    )
    return ", ".join(f"{term.counted(n, noun)} {text}" for n, noun, text in parts if n)
