"""Commands in what is said, as they have to be typed here: who named an estate, a region or a profile names it again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

import click

# Options that say where something is, with the parameter of each; whoever gave one to a command gives it to the next.
OPTIONS = {
    "--estate": "estate_file",
    "--region": "region",
    "--profile": "profile",
    "--runs": "runs",
    "--control": "control",
    "--ca": "ca",
}
# Not --control and --ca: where these are written with a word that stands for them, another one is advised.
_STANDS_FOR = {"--estate": "FILE", "--region": "REGION", "--profile": "NAME", "--runs": "URL"}
_COMMAND = re.compile(r"\bostiary((?: [a-z][a-z-]*)+)(?P<rest>[^,;\n]*)")


def given_in(arguments: Sequence[str]) -> Mapping[str, str]:
    """What a command line gives to those options; the last one counts."""
    found = {}
    for at, one in enumerate(arguments):
        option, equals, value = one.partition("=")
        if option in OPTIONS:
            found[option] = value if equals else "".join(arguments[at + 1 : at + 2])
    return {option: value for option, value in found.items() if value}


def as_typed(text: str, given: Mapping[str, str] | None = None) -> str:
    """``text`` with these options in every command that takes them; by default as the command under way was given them."""
    if given is None:
        given = _given_now()
    if not given or "ostiary" not in text:
        return text

    def typed(found: re.Match[str]) -> str:
        words = found[1].split()
        length, takes = _options_of(words)
        command, rest = " ".join(("ostiary", *words[:length])), _after(found, words[:length])
        for option, value in given.items():
            added = f" {option} {shlex.quote(value)}"
            if option in takes and option not in rest and "--help" not in rest:
                command += added
            if option in _STANDS_FOR:
                rest = rest.replace(f" {option} {_STANDS_FOR[option]}", added)
        return command + rest

    return _COMMAND.sub(typed, text)


def _given_now() -> Mapping[str, str]:
    context = click.get_current_context(silent=True)
    params = context.params if context else {}
    return {option: str(params[name]) for option, name in OPTIONS.items() if params.get(name)}


def _after(found: re.Match[str], words: Sequence[str]) -> str:
    return found[0][len(" ".join(("ostiary", *words))) :]


def _options_of(words: Sequence[str]) -> tuple[int, frozenset[str]]:
    """How many of these words are a command, and its options."""
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
    return length, frozenset(opt for one in command.params for opt in one.opts)
