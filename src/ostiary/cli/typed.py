"""Commands in what is said, as they have to be typed here: who named the estate by ``--estate`` must name it again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

import click

OPTION = "--estate"
_COMMAND = re.compile(r"\bostiary((?: [a-z][a-z-]*)+)(?P<rest>[^,;\n]*)")


def given_in(arguments: Sequence[str]) -> str:
    """The estate that a command line names by its option, "" for none."""
    for at, one in enumerate(arguments):
        if one == OPTION:
            return arguments[at + 1] if at + 1 < len(arguments) else ""
        if one.startswith(f"{OPTION}="):
            return one.partition("=")[2]
    return ""


def as_typed(text: str, estate: str | None = None) -> str:
    """``text`` with ``--estate`` in every command that takes one; ``estate`` by default as the command under way was given."""
    if estate is None:
        context = click.get_current_context(silent=True)
        estate = str((context.params.get("estate_file") if context else "") or "")
    if not estate or "ostiary" not in text:
        return text
    option = f" {OPTION} {shlex.quote(estate)}"

    def typed(found: re.Match[str]) -> str:
        words = found[1].split()
        if OPTION in found["rest"]:
            return found[0].replace(f" {OPTION} FILE", option)
        length = _of_an_estate(words)
        if not length:
            return found[0]
        return " ".join(("ostiary", *words[:length])) + option + _after(found, words[:length])

    return _COMMAND.sub(typed, text)


def _after(found: re.Match[str], words: Sequence[str]) -> str:
    return found[0][len(" ".join(("ostiary", *words))) :]


def _of_an_estate(words: Sequence[str]) -> int:
    """How many of these words are a command that takes the option; 0 for one that does not."""
    from ostiary.cli import root  # noqa: PLC0415 - it imports this

    command: click.Command = root
    length = 0
    for word in words:
        below = (
            command.get_command(click.Context(command), word)
            if isinstance(command, click.Group)
            else None
        )
        if below is None:
            break
        command, length = below, length + 1
    return length if any(OPTION in one.opts for one in command.params) else 0
