"""``plan``, ``apply``, ``drift``, ``adopt``, ``destroy``, ``init``: the verbs over an estate."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ostiary import term
from ostiary.cli.progress import progress, stopping
from ostiary.errors import DriftFound, EstateError, ProofFailed, UsageError

if TYPE_CHECKING:
    from ostiary.doors.federation.sign_ins import Secret
    from ostiary.doors.federation.work import Work
    from ostiary.plan.outcome import Outcome
    from ostiary.plan.plan import Plan

F = TypeVar("F", bound=Callable[..., Any])


def estate_option(function: F) -> F:
    return click.option(
        "--estate",
        "estate_file",
        metavar="FILE",
        help="The estate file [estate.yaml, OSTIARY_ESTATE].",
    )(function)


def json_option(function: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def only_option(function: F) -> F:
    return click.option(
        "--only",
        multiple=True,
        metavar="account:ID",
        help="Leave everything else untouched; repeatable.",
    )(function)


def guard_options(function: F) -> F:
    for option in (
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option(
            "--allow-deletions",
            multiple=True,
            metavar="KIND=N",
            help="Allow exactly that many deletions of a kind.",
        ),
        click.option(
            "--without-admin-path",
            multiple=True,
            metavar="ID",
            help="Go on in this account although no independent admin path was found.",
        ),
    ):
        function = option(function)
    return function


def accounts_of(only: tuple[str, ...]) -> frozenset[str]:
    """``account:123456789012`` to ids. Raises UsageError for anything else."""
    ids = set()
    for text in only:
        kind, _, account = text.partition(":")
        if kind != "account" or len(account) != 12 or not account.isdigit():  # noqa: PLR2004 - 12 digits
            raise UsageError(
                f"--only {text} names no account", fix="write it as --only account:123456789012"
            )
        ids.add(account)
    return frozenset(ids)


def open_work(estate_file: str | None, purpose: str) -> Work:
    """Read the estate and build its clients, which are closed with the command; nothing is sent yet."""
    from ostiary.doors.federation.work import open_estate  # noqa: PLC0415 - clients are built only by commands that call
    from ostiary.settings import load  # noqa: PLC0415

    settings = load(estate_file=estate_file)
    work = open_estate(settings, "apply" if purpose == "apply" else "plan")
    click.get_current_context().call_on_close(work.connected.close)
    return work


def make_plan(work: Work, only: frozenset[str]) -> Plan:
    with progress("reading") as on_event:
        return work.plan(only=only, on_event=on_event)


def show(plan: Plan) -> None:
    import sys  # noqa: PLC0415

    from ostiary.plan.render import render  # noqa: PLC0415

    term.result(render(plan, colour=term.wants_colour(sys.stdout)).rstrip("\n"))


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
@json_option
def plan(
    *, estate_file: str | None, only: tuple[str, ...], save_file: Path | None, as_json: bool
) -> None:
    """Show what would change. Only reads."""
    from ostiary.plan.saved import save, to_json  # noqa: PLC0415

    made = make_plan(open_work(estate_file, "plan"), accounts_of(only))
    if save_file:
        save(made, save_file)
        term.say(f"saved to {save_file}; do it with: ostiary apply {save_file}")
    if as_json:
        term.result_json(to_json(made))
    else:
        show(made)


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
@json_option
def apply(
    *,
    plan_file: Path | None,
    estate_file: str | None,
    only: tuple[str, ...],
    yes: bool,
    allow_deletions: tuple[str, ...],
    without_admin_path: tuple[str, ...],
    all_or_nothing: bool,
    tolerate: int | None,
    canary: bool,
    accept_reach: bool,
    no_proof: bool,
    people_file: Path | None,
    sign_in: bool,
    as_json: bool,
) -> None:
    """Do what the plan says, journalled, and prove the result.

    With PLAN, a file that plan --save wrote, exactly those changes are made.
    """
    from ostiary.plan.guard import Overrides  # noqa: PLC0415
    from ostiary.plan.saved import load  # noqa: PLC0415

    overrides = Overrides.parse(allow_deletions, without_admin_path)
    saved = load(plan_file) if plan_file else None
    people = _people(people_file)
    work = open_work(estate_file, "apply")
    work.refuse_held()
    made = work.fitting(saved, accounts_of(only)) if saved else make_plan(work, accounts_of(only))
    if not as_json:
        show(made)
    if not made.writes:
        outcome = work.apply(made, overrides=overrides)
        _finish(work, outcome, as_json=as_json, prove=not no_proof, people=people, sign_in=sign_in)
        return
    if not accept_reach:
        work.refuse_new_reach(made)
    confirm(f"apply {len(made.writes)} changes to {work.estate.name}?", yes=yes)
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
    _finish(work, outcome, as_json=as_json, prove=not no_proof, people=people, sign_in=sign_in)


def confirm(question: str, *, yes: bool) -> None:
    """Ask the person at the terminal; where nobody can be asked, ``--yes`` must have been given."""
    if yes:
        return
    if not term.can_ask():
        raise UsageError("nobody is here to be asked", why=question, fix="add --yes")
    if not term.ask(f"{question} (yes to go on)", "yes"):
        raise UsageError("nothing was written", why="the answer was not yes")


def _people(file: Path | None) -> Mapping[str, Secret]:
    from ostiary.doors.federation.entering import read_people  # noqa: PLC0415

    return read_people(file) if file else {}


def _finish(
    work: Work,
    outcome: Outcome,
    *,
    as_json: bool,
    prove: bool,
    people: Mapping[str, Secret] | None = None,
    sign_in: bool = False,
) -> None:
    """Say what was done, prove it, and raise what the exit code should say."""
    ended = outcome.converged
    proof = work.prove() if prove and ended else None
    report = work.sign_in_as(people) if people and ended else None
    live = work.sign_in_live(term.say) if sign_in and ended else None
    reports = [one for one in (report, live) if one]
    if as_json:
        shown: dict[str, object] = {"proof": proof.as_json() if proof else None}
        shown["sign_ins"] = [one.as_json() for one in reports]
        term.result_json({**outcome.as_json(), **shown})
    else:
        counts = ", ".join(f"{n} {name}" for name, n in outcome.counts().items() if n)
        if counts:
            term.say(f"run {outcome.run_id}: {counts}")
        if proof:
            term.say(proof.sentence())
        for one in reports:
            term.say(f"signed in: {one.succeeded} of {one.expected} expected roles were entered")
    outcome.raise_for_result()
    wrong = [] if proof is None else proof.lines()
    for one in reports:
        wrong += one.lines()
    if wrong:
        raise ProofFailed(
            "what people can enter is not what the estate says",
            why="\n       ".join(wrong[:20]),
            fix="run: ostiary plan",
        )


@click.command()
@estate_option
@only_option
@json_option
def drift(*, estate_file: str | None, only: tuple[str, ...], as_json: bool) -> None:
    """Say where the world differs from the estate; exit code 12 if it does."""
    from ostiary.plan.saved import to_json  # noqa: PLC0415

    work = open_work(estate_file, "plan")
    made = make_plan(work, accounts_of(only))
    if as_json:
        term.result_json(to_json(made))
    else:
        show(made)
    if not made.is_empty:
        raise DriftFound(
            f"the world differs from estate {work.estate.name}",
            why=f"{len(made.writes)} changes would bring it back, {len(made.unread)} scopes were not read",
            fix="run: ostiary apply",
        )


@click.command()
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@estate_option
@guard_options
@json_option
def adopt(
    *,
    keys: tuple[str, ...],
    estate_file: str | None,
    yes: bool,
    allow_deletions: tuple[str, ...],
    without_admin_path: tuple[str, ...],
    as_json: bool,
) -> None:
    """Take existing objects under management: mark them, and bring them in line.

    KEY is as plan prints it: iam-role:123456789012/Ops.
    """
    from ostiary.plan.guard import Overrides  # noqa: PLC0415
    from ostiary.plan.resource import Key  # noqa: PLC0415

    try:
        wanted = frozenset(Key.parse(text) for text in keys)
    except ValueError as error:
        raise UsageError(str(error), fix="copy the key from: ostiary plan") from error
    work = open_work(estate_file, "apply")
    with progress("reading") as on_event:
        made = work.adopt(wanted, on_event=on_event)
    if not as_json:
        show(made)
    confirm(f"adopt {len(wanted)} objects into {work.estate.name}?", yes=yes)
    outcome = work.apply(made, overrides=Overrides.parse(allow_deletions, without_admin_path))
    _finish(work, outcome, as_json=as_json, prove=False)


@click.command()
@estate_option
@guard_options
@click.option("--keep", is_flag=True, help="Only take our marks off; leave the objects.")
@json_option
def destroy(
    *,
    estate_file: str | None,
    yes: bool,
    allow_deletions: tuple[str, ...],
    without_admin_path: tuple[str, ...],
    keep: bool,
    as_json: bool,
) -> None:
    """Remove everything that bears this estate's mark, and nothing else.

    The number of deletions is shown first; the flags that the guard asks for must then be typed.
    """
    from ostiary.plan.guard import Overrides  # noqa: PLC0415

    work = open_work(estate_file, "apply")
    with progress("reading") as on_event:
        made = work.plan_destroy(on_event=on_event)
    if not as_json:
        show(made)
    if not made.writes:
        term.say(f"nothing bears the mark of estate {work.estate.name}")
        return
    if not yes and (
        not term.can_ask()
        or not term.ask(
            f"type the name of the estate to {'release' if keep else 'remove'} all of it:",
            work.estate.name,
        )
    ):
        raise UsageError(
            "nothing was written", why="the estate's name was not typed", fix="add --yes"
        )
    if keep:
        _finish(work, work.release(made), as_json=as_json, prove=False)
        return
    stop = threading.Event()
    with stopping(stop, work.connected.stopping), progress("removing") as on_event:
        outcome = work.apply(
            made,
            overrides=Overrides.parse(allow_deletions, without_admin_path),
            on_event=on_event,
            stop=stop,
        )
    _finish(work, outcome, as_json=as_json, prove=False)


@click.command()
@click.option("--okta-url", required=True, metavar="URL", help="The Okta org.")
@click.option(
    "--name", default="my-estate", show_default=True, help="The estate's name; part of every mark."
)
@click.option("--profile", help="AWS profile of the management account.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=Path("estate.yaml"), show_default=True
)
def init(*, okta_url: str, name: str, profile: str | None, output: Path) -> None:
    """Write an estate file from the accounts and groups that exist. Only reads."""
    from ostiary.doors.federation.first_estate import draft  # noqa: PLC0415
    from ostiary.settings import load  # noqa: PLC0415

    if output.exists():
        raise UsageError(f"will not overwrite {output}", fix="give another --output")
    text = draft(load(), name=name, okta_url=okta_url, profile=profile)
    try:
        output.write_text(text)
    except OSError as error:
        raise EstateError(f"cannot write {output}", why=str(error.strerror)) from error
    term.say(f"wrote {output}; look at it, then run: ostiary plan --estate {output}")
