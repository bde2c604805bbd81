"""Writes the page of all commands (``docs/reference/commands.md``) from the commands themselves.

Run it with ``.venv/bin/python docs/commands.py``; a test keeps the page current.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from ostiary.cli import root

WIDTH = 100
PAGE = Path(__file__).parent / "reference/commands.md"

HEAD = """\
# Commands

Made from `--help` by `docs/commands.py`; what is written here is what the commands say.

The result goes to stdout, talk and progress to stderr. `--json` prints one object in a shape that is kept
([JSON](plan-json.md)); an error is then one JSON object on stderr. The exit code says what happened
([exit codes](exit-codes.md)). Nothing asks a question without a terminal: there, `--yes` must be given.

| environment | means |
|---|---|
| `OSTIARY_ESTATE` | the estate file, where `--estate` is not given; else `estate.yaml` |
| `OSTIARY_WORKERS` | how many accounts are worked on at once (24) |
| `OSTIARY_OKTA_SHARE` | the part of each Okta rate limit that is used, 0.05 to 1 (0.5) |
| `OSTIARY_OKTA_TOKEN_<ORG>` | API token of that org of the estate, in capitals, `-` as `_`; before `OKTA_CLIENT_TOKEN` |
| `OKTA_CLIENT_TOKEN` | API token, where the estate names no service app |
| `OSTIARY_SANDBOX` | folder of the sandbox (`$XDG_STATE_HOME/ostiary/sandbox`) |
| `NO_COLOR` | no colour |
| `AWS_…` | as every AWS SDK reads them: credentials, profile, region, endpoint, CA bundle |
| `SSL_CERT_FILE` | certificates to trust for Okta, where it is not the system's |
"""


def commands() -> Iterator[click.Context]:
    """A context for every command, groups before their members; ``command_path`` is its whole name."""
    yield from _below("ostiary", root, None)


def _below(
    name: str, command: click.Command, parent: click.Context | None
) -> Iterator[click.Context]:
    context = click.Context(
        command, parent, info_name=name, terminal_width=WIDTH, **command.context_settings
    )
    yield context
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            if found is not None:
                yield from _below(each, found, context)


def page() -> str:
    """The text of the page."""
    return "\n".join(
        [
            HEAD,
            *(
                f"## `{context.command_path}`\n\n```text\n{context.get_help()}\n```\n"
                for context in commands()
            ),
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page())
