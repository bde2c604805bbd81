"""What the commands over an estate do alike: open it, read a plan, show it, and say what was done."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.progress import progress
from ostiary.cli.typed import as_typed
from ostiary.errors import ProofFailed

if TYPE_CHECKING:
    from ostiary.doors.federation.sign_ins import Secret
    from ostiary.doors.federation.work import Work
    from ostiary.plan.outcome import Outcome
    from ostiary.plan.plan import Plan


def open_work(estate_file: str | None, purpose: str) -> Work:
    """Read the estate and build its clients, which are closed with the command; nothing is sent yet."""
    from ostiary.doors.federation.work import open_estate  # noqa: PLC0415 - clients are built only by commands that call
    from ostiary.settings import load  # noqa: PLC0415

    settings = load(estate_file=estate_file)
    work = with_servers(open_estate(settings, "apply" if purpose == "apply" else "plan"))
    click.get_current_context().call_on_close(work.connected.close)
    return work


def with_servers(work: Work) -> Work:
    """The same with what the estate says of servers; where it says nothing, nothing of them is imported."""
    if work.estate.servers is None:
        return work
    from ostiary.doors.federation.work import Work as Whole  # noqa: PLC0415
    from ostiary.doors.servers.kinds import open_part  # noqa: PLC0415

    return Whole(work.connected.with_part(open_part(work.estate)))


def make_plan(work: Work, only: frozenset[str]) -> Plan:
    with progress("reading") as on_event:
        return work.plan(only=only, on_event=on_event)


def show(work: Work, plan: Plan, *, details: bool = False, released: bool = False) -> None:
    from ostiary.plan.render import render  # noqa: PLC0415

    colour = term.wants_colour(sys.stdout)
    text = render(plan, colour=colour, details=details, names=work.names(plan), released=released)
    term.result(as_typed(text.rstrip("\n")))


def finish(
    work: Work,
    outcome: Outcome,
    *,
    as_json: bool,
    prove: bool,
    people: Mapping[str, Secret] | None = None,
    sign_in: bool = False,
) -> None:
    """Say what was done, prove it, and raise what the exit code should say."""
    counts = ", ".join(f"{n} {name}" for name, n in outcome.counts().items() if n)
    if counts and not as_json:
        term.say(f"run {outcome.run_id}: {counts}")
    ended = outcome.converged
    with progress("proving"):
        proof = work.prove() if prove and ended else None
        report = work.sign_in_as(people) if people and ended else None
    live = work.sign_in_live(term.say) if sign_in and ended else None
    reports = [one for one in (report, live) if one]
    if as_json:
        shown: dict[str, object] = {"proof": proof.as_json() if proof else None}
        shown["sign_ins"] = [one.as_json() for one in reports]
        term.result_json({**outcome.as_json(), **shown})
    else:
        if proof and proof.accounts:  # of servers alone there is nothing to prove at AWS
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
            why="\n".join(wrong[:20]),
            fix="run: ostiary plan",
        )
