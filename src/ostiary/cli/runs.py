"""``ostiary runs`` and ``ostiary restore``: what was done, by whom, and the way back."""

from __future__ import annotations

import threading

import click

from ostiary import term
from ostiary.cli.options import confirm, estate_option, guard_options, json_option
from ostiary.cli.progress import progress, stopping
from ostiary.cli.work import open_work, show


@click.group(invoke_without_command=True)
@estate_option
@json_option
@click.pass_context
def runs(context: click.Context, *, estate_file: str | None, as_json: bool) -> None:
    """List runs and what each one did."""
    if context.invoked_subcommand is None:
        context.invoke(list_, estate_file=estate_file, as_json=as_json)


@runs.command("list")
@estate_option
@json_option
def list_(*, estate_file: str | None = None, as_json: bool = False) -> None:
    """All runs, oldest first."""
    from ostiary.plan.resume import list_runs  # noqa: PLC0415 - imports stay inside commands

    work = open_work(estate_file, "plan")
    found = list_runs(work.store[0], work.estate.name)
    if as_json:
        rows = [
            {
                "run": one.run_id,
                "state": one.state,
                "user": one.user,
                "host": one.host,
                "started": one.started,
                "changes": one.changes,
                "results": one.counts,
                "settled_by": one.by,
            }
            for one in found
        ]
        term.result_json({"runs": rows})
        return
    if not found:
        term.say(f"estate {work.estate.name} has no runs yet")
        return
    table = (
        (
            one.run_id,
            one.state,
            one.started,
            f"{one.user}@{one.host}",
            str(one.changes),
            _counts(one.counts),
        )
        for one in found
    )
    term.result(term.table(("run", "state", "started", "by", "changes", "results"), table))


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items() if number)


@runs.command("show")
@click.argument("run_id", metavar="RUN")
@estate_option
@json_option
def show_(*, run_id: str, estate_file: str | None, as_json: bool) -> None:
    """Every step of one run."""
    from ostiary.plan.resume import show_run  # noqa: PLC0415

    work = open_work(estate_file, "plan")
    recorded = show_run(work.store[0], work.estate.name, run_id)
    rows = [
        {"key": str(step.key), "action": step.action, "result": step.result or "unfinished"}
        for step in recorded.steps
    ]
    if as_json:
        begin = {name: value for name, value in recorded.begin.items() if name != "key"}
        term.result_json({"run": run_id, "begin": begin, "steps": rows})
        return
    table = ((row["result"], row["action"], row["key"]) for row in rows)
    term.result(term.table(("result", "action", "object"), table))


@click.command()
@click.argument("run_id", metavar="RUN")
@estate_option
@guard_options
@click.option(
    "--even-changed", is_flag=True, help="Also write back what somebody changed after the run."
)
@json_option
def restore(
    *,
    run_id: str,
    estate_file: str | None,
    yes: bool,
    allow_deletions: tuple[str, ...],
    without_admin_path: tuple[str, ...],
    cutover: tuple[str, ...],
    even_changed: bool,
    as_json: bool,
) -> None:
    """Write back every object that a run changed, as it was before."""
    from ostiary.plan.guard import Overrides  # noqa: PLC0415
    from ostiary.plan.restore import plan_restore  # noqa: PLC0415
    from ostiary.plan.restore import restore as write_back  # noqa: PLC0415
    from ostiary.plan.resume import show_run  # noqa: PLC0415

    overrides = Overrides.parse(allow_deletions, without_admin_path, cutover)
    work = open_work(estate_file, "apply")
    show_run(work.store[0], work.estate.name, run_id)
    with progress("reading") as on_event:
        owned = work.plan(on_event=on_event).owned
    store, wrap = work.store
    back = plan_restore(
        run_id,
        work.connected.kinds,
        estate=work.estate.name,
        store=store,
        wrap=wrap,
        owned=owned,
        even_changed=even_changed,
    )
    if not as_json:
        show(work, back.plan)
    if back.plan.writes:
        work.refuse_guarded(back.plan, overrides)
        count = term.counted(len(back.plan.writes), "object")
        confirm(f"write back {count} of {work.estate.name}", yes=yes)
    stop = threading.Event()
    with stopping(stop, work.connected.stopping), progress("restoring") as on_event:
        outcome = write_back(
            back,
            work.connected.kinds,
            store=store,
            wrap=wrap,
            guard=work.connected.guard(overrides),
            on_event=on_event,
            stop=stop,
        )
    if as_json:
        term.result_json(outcome.as_json())
    else:
        term.say(
            f"run {outcome.run_id or '-'}: {_counts(outcome.counts()) or 'nothing to write back'}"
        )
    outcome.raise_for_result()
