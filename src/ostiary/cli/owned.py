"""``adopt`` and ``destroy``: what bears the mark of an estate, and what is to bear it."""

from __future__ import annotations

import threading

import click

from ostiary import term
from ostiary.cli.options import confirm, estate_option, guard_options, json_option
from ostiary.cli.progress import progress, stopping
from ostiary.cli.work import finish, open_work, show
from ostiary.errors import UsageError


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
    cutover: tuple[str, ...],
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
    overrides = Overrides.parse(allow_deletions, without_admin_path, cutover)
    work = open_work(estate_file, "apply")
    with progress("reading") as on_event:
        made = work.adopt(wanted, on_event=on_event)
    if not as_json:
        show(work, made)
    work.refuse_guarded(made, overrides)
    confirm(f"adopt {term.counted(len(wanted), 'object')} into {work.estate.name}", yes=yes)
    outcome = work.apply(made, overrides=overrides)
    finish(work, outcome, as_json=as_json, prove=False)


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
    cutover: tuple[str, ...],
    keep: bool,
    as_json: bool,
) -> None:
    """Remove everything that bears this estate's mark, and nothing else.

    The number of deletions is shown first; the flags that the guard asks for must then be typed.
    """
    from ostiary.plan.guard import Overrides  # noqa: PLC0415

    overrides = Overrides.parse(allow_deletions, without_admin_path, cutover)
    work = open_work(estate_file, "apply")
    with progress("reading") as on_event:
        made = work.plan_destroy(on_event=on_event)
    if not as_json:
        show(work, made, released=keep)
    if not made.writes:
        term.say(f"nothing bears the mark of estate {work.estate.name}")
        return
    if not keep:
        work.refuse_guarded(made, overrides)
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
        finish(work, work.release(made), as_json=as_json, prove=False)
        return
    stop = threading.Event()
    with stopping(stop, work.connected.stopping), progress("removing") as on_event:
        outcome = work.apply(
            made,
            overrides=overrides,
            on_event=on_event,
            stop=stop,
        )
    finish(work, outcome, as_json=as_json, prove=False)
