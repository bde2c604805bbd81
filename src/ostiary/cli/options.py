"""Options that several commands take, and the question that a writing one asks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from ostiary import term
from ostiary.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


def estate_option(function: F) -> F:
    return click.option(
        "--estate",
        "estate_file",
        metavar="FILE",
        help="The estate file [estate.yaml, OSTIARY_ESTATE].",
    )(function)


def not_empty(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A name as given. UsageError for an empty one, as of a variable that is not set: it must not mean all."""
    given = context.get_parameter_source(str(parameter.name)) is not ParameterSource.DEFAULT
    if given and value == "":
        option = (
            parameter.opts[0]
            if parameter.opts[0].startswith("-")
            else parameter.human_readable_name
        )
        raise UsageError(
            f"cannot use an empty {option}",
            why="a variable in the command line may not be set",
            fix=f"see: {context.command_path} --help",
        )
    return value


def details_option(function: F) -> F:
    return click.option("--details", is_flag=True, help="Show every value of new objects.")(
        function
    )


def json_option(function: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def only_option(function: F) -> F:
    return click.option(
        "--only",
        multiple=True,
        metavar="account:ID",
        help="Leave everything else untouched; repeatable.",
    )(function)


class FiniteRange(click.FloatRange):
    """A number of a range: click takes ``nan`` for one of any."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a number.", param, ctx)
        return number


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
        click.option(
            "--cutover",
            multiple=True,
            metavar="KEY",
            help="Change what everybody enters by, as the guard named it.",
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


def confirm(question: str, *, yes: bool) -> None:
    """Ask whether to ``question``; where nobody can be asked, ``--yes`` must have been given."""
    if yes:
        return
    if not term.can_ask():
        raise UsageError(
            f"cannot ask whether to {question}", why="this is not a terminal", fix="add --yes"
        )
    if not term.ask(f"{question}? (yes to go on)", "yes"):
        fix = "run it again and answer with the whole word yes, or add --yes"
        raise UsageError("nothing was written", why="the answer was not yes", fix=fix)
