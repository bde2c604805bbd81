"""``ostiary groups``: what Okta makes of role groups, their filter and their pattern. Needs no credentials."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from ostiary import term
from ostiary.errors import UsageError

DOCUMENTED_FILTER = r"^aws\#\S+\#(?{{role}}[\w\-]+)\#(?{{accountid}}\d+)$"
DOCUMENTED_PATTERN = (
    "arn:aws:iam::${accountid}:saml-provider/Okta,arn:aws:iam::${accountid}:role/${role}"
)


@click.group()
def groups() -> None:
    """Judge role groups, filters and patterns before Okta does."""


@groups.command()
@click.option(
    "--filter", "group_filter", default=DOCUMENTED_FILTER, show_default=True, help="Group Filter."
)
@click.option(
    "--pattern", default=DOCUMENTED_PATTERN, show_default=True, help="Role Value Pattern."
)
@click.option(
    "--names",
    "names_file",
    required=True,
    metavar="FILE",
    help="A JSON list of group names; - reads stdin.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def preview(*, group_filter: str, pattern: str, names_file: str, as_json: bool) -> None:
    """Show for each name which role in which account results.

    Or why none does.
    """
    from ostiary.doors.federation.role_groups import preview as previews_of  # noqa: PLC0415 - imports stay inside commands
    from ostiary.doors.federation.role_groups import previews_json  # noqa: PLC0415

    previews = previews_of(_names(names_file), group_filter, pattern)
    if as_json:
        term.result_json(previews_json(previews))
        return
    for item in previews:
        term.result(
            f"{term.paint('✓', 'green') if item.arn else term.paint('·', 'dim')} {json.dumps(item.name, ensure_ascii=False)[1:-1]}"
        )
        if item.arn:
            term.result(f"    {item.arn}")
        for problem in item.problems:
            term.result(f"    {term.paint(problem, 'yellow')}")


def _names(file: str) -> list[str]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
        names = json.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"cannot read group names from {file}",
            why=(error.strerror or "").lower() if isinstance(error, OSError) else str(error),
            fix='write a JSON list: ["aws#acme-prod#Admin#111122223333"]',
        ) from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError(
            f"cannot use {file}",
            why="it is not a JSON list of texts",
            fix='write a JSON list: ["aws#acme-prod#Admin#111122223333"]',
        )
    return names


@groups.command()
@click.option(
    "--filter", "group_filter", default=DOCUMENTED_FILTER, show_default=True, help="Group Filter."
)
@click.option(
    "--pattern", default=DOCUMENTED_PATTERN, show_default=True, help="Role Value Pattern."
)
@click.option("--app-filter", default="okta", show_default=True, help="App Filter.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def lint(*, group_filter: str, pattern: str, app_filter: str, as_json: bool) -> None:
    """Say what a filter and a pattern let in that they should not.

    And what they keep out that they should let in.
    """
    from ostiary.doors.federation.group_lint import lint as findings_of  # noqa: PLC0415

    findings = findings_of(group_filter, pattern, app_filter)
    if as_json:
        term.result_json({"findings": [finding.as_json() for finding in findings]})
    else:
        colours = {"error": "red", "warning": "yellow", "note": "dim"}
        for finding in findings:
            term.result(
                f"{term.paint(finding.level, colours[finding.level])} {finding.setting}: {finding.message}"
            )
        if not findings:
            term.say("nothing to say against it")
    errors = [finding for finding in findings if finding.level == "error"]
    if errors:
        raise UsageError(
            f"{term.counted(len(errors), 'finding')} would give wrong access or none",
            why="\n".join(f"{one.setting}: {one.message}" for one in errors),
            fix="start from the defaults shown by: ostiary groups lint --help",
        )
