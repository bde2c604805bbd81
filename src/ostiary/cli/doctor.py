"""``ostiary doctor``: every permission and setting tested by harmless reads, with what to ask for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.options import estate_option, json_option
from ostiary.cli.typed import as_typed
from ostiary.cli.work import open_work
from ostiary.errors import DriftFound

if TYPE_CHECKING:
    from ostiary.doors.federation.checkup import Checked

_MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("?", "yellow")}


@click.command()
@estate_option
@click.option(
    "--account", "accounts", multiple=True, metavar="ID", help="Only these accounts; repeatable."
)
@click.option(
    "--for",
    "purpose",
    type=click.Choice(["plan", "apply", "both"]),
    default="both",
    show_default=True,
)
@json_option
def doctor(
    *, estate_file: str | None, accounts: tuple[str, ...], purpose: str, as_json: bool
) -> None:
    """Test what plan and apply need of Okta and AWS, and name what to ask for. Nothing is written."""
    from ostiary.doors.federation.checkup import checkup  # noqa: PLC0415 - clients are loaded only by commands that call

    findings = []
    for one in ("plan", "apply") if purpose == "both" else (purpose,):
        findings += checkup(open_work(estate_file, one), one, frozenset(accounts))
    if as_json:
        term.result_json({"findings": [finding.as_json() for finding in findings]})
    else:
        _print(findings)
    wrong = [finding for finding in findings if finding.ok is False]
    if wrong:
        raise DriftFound(
            f"{len(wrong)} of {term.counted(len(findings), 'check')} failed",
            why=f"{wrong[0].where}: {wrong[0].what}",
            fix=wrong[0].ask or "see the list above",
        )


def _print(findings: Sequence[Checked]) -> None:
    """One line for a place; below it what is not well there, and what to ask for."""
    for where, group in groupby(findings, key=lambda finding: finding.where):
        checks = list(group)
        trouble = [finding for finding in checks if not finding.ok]
        failed = sum(finding.ok is False for finding in checks)
        mark, colour = _MARKS[None if trouble and not failed else not failed]
        number = term.counted(len(checks), "check")
        count = f"{failed} of {number} failed" if failed else number
        term.result(f"{term.paint(mark, colour)} {where}: {count}")
        for finding in trouble:
            mark, colour = _MARKS[finding.ok]
            term.result(f"    {term.paint(mark, colour)} {finding.what}")
            if finding.ask:
                term.result(f"      {as_typed(finding.ask)}")
