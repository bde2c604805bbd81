"""Every command that an error tells people to run can be run: it exists, and has all that it needs."""

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

from ostiary.cli import root
from ostiary.cli.typed import as_typed, given_in
from ostiary.doors.servers.agent.commands import parser

SOURCE = Path(__file__).parents[3] / "src/ostiary"
COMMAND = re.compile(r"(?:[:,;] |run |^|&& |or )(ostiary [a-z][^,;()\n]*)")
PROSE = {
    "of ostiary serve",
    "ostiary serve --issuer",
    "ostiary serve",
    "ostiary servers status says more",
}
FILES = {
    one: text
    for one in SOURCE.rglob("*.py")
    if "sandbox" not in one.parts and "ostiary " in (text := one.read_text())
}


def texts(tree):
    """Every text of a fix, with what is put into it as ``{}``."""
    for node in ast.walk(tree):
        if (isinstance(node, ast.keyword) and node.arg in ("fix", "ask")) or _assigns_fix(node):
            yield from _texts(node.value)
        elif isinstance(node, ast.Call):
            for one in node.args:
                yield from (text for text in _texts(one) if "run: ostiary" in text)


def _assigns_fix(node):
    return isinstance(node, ast.Assign) and any(
        isinstance(one, ast.Name) and one.id in ("fix", "again", "hint", "ask")
        for one in node.targets
    )


def _texts(node):
    if isinstance(node, ast.JoinedStr):
        yield "".join(one.value if isinstance(one, ast.Constant) else "x1" for one in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for one in node.values:
            yield from _texts(one)
    elif isinstance(node, ast.BinOp):
        yield from (
            left + right for left in _texts(node.left) for right in [*_texts(node.right), "x1"][:1]
        )


FOUND = sorted(
    {
        (found.strip(" ."), str(file.relative_to(SOURCE)))
        for file, source in FILES.items()
        for text in texts(ast.parse(source))
        for found in COMMAND.findall(text)
        if found.strip() not in PROSE
    }
)


def test_there_are_many():
    assert len(FOUND) > 60


@pytest.mark.parametrize(("command", "file"), FOUND, ids=lambda one: one[:60])
def test_a_command_in_a_fix_can_be_run(command, file):
    chosen = command.replace("--use x1", "--use user").replace("--step x1", "--step begin")
    words = shlex.split(chosen.partition(" && ")[0])[1:]
    if words[0] == "agent":
        if "--help" not in words:
            parser().parse_args(words[1:])
        return
    context, found = click.Context(root, info_name="ostiary", **root.context_settings), root
    while isinstance(found, click.Group) and words and words[0] != "--help":
        known = found.get_command(context, words[0])
        assert known is not None, f"{file}: there is no {command}"
        found, words = known, words[1:]
    if "--help" in words:
        return
    whole = not isinstance(found, click.Group) or found.invoke_without_command
    assert whole, f"{file}: {command} is no whole command"
    found.make_context("x", list(words), parent=context)


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("run: ostiary plan", "run: ostiary plan --estate 'my estate.yaml'"),
        (
            "run: ostiary apply (what is done stays done)",
            "run: ostiary apply --estate 'my estate.yaml' (what is done stays done)",
        ),
        (
            "run: ostiary plan, or apply without --all-or-nothing",
            "run: ostiary plan --estate 'my estate.yaml', or apply without --all-or-nothing",
        ),
        (
            "to take it over: ostiary adopt 'iam-role:1/x'",
            "to take it over: ostiary adopt --estate 'my estate.yaml' 'iam-role:1/x'",
        ),
        ("run: ostiary access what ada", "run: ostiary access what --estate 'my estate.yaml' ada"),
        ("run: ostiary plan --estate other.yaml", "run: ostiary plan --estate other.yaml"),
        (
            "make it again: ostiary plan --estate FILE --save p",
            "make it again: ostiary plan --estate 'my estate.yaml' --save p",
        ),
        ("run: ostiary runs", "run: ostiary runs --estate 'my estate.yaml'"),
        ("run: ostiary login", "run: ostiary login"),
        ("run: ostiary servers project list", "run: ostiary servers project list"),
        ("the mark is ostiary estate=acme", "the mark is ostiary estate=acme"),
        ("run: ostiary nothing", "run: ostiary nothing"),
    ],
)
def test_who_named_an_estate_is_told_to_name_it_again(text, typed):
    assert as_typed(text, {"--estate": "my estate.yaml"}) == typed
    assert as_typed(text, {}) == text
    assert as_typed(text) == text


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        (
            "run: ostiary gateway cancel FILE",
            "run: ostiary gateway cancel --region us-west-2 --profile p FILE",
        ),
        (
            "next: ostiary gateway checklist acme --region eu-west-1",
            "next: ostiary gateway checklist --profile p acme --region eu-west-1",
        ),
        ("see: ostiary gateway deploy --help", "see: ostiary gateway deploy --help"),
        ("run: ostiary gateway inspect FILE", "run: ostiary gateway inspect FILE"),
        ("run: ostiary plan", "run: ostiary plan"),
    ],
)
def test_so_is_who_named_a_region_or_a_profile(text, typed):
    assert as_typed(text, {"--region": "us-west-2", "--profile": "p"}) == typed


def test_what_was_named_is_found():
    assert given_in(["drift", "--estate", "a.yaml", "--json"]) == {"--estate": "a.yaml"}
    assert given_in(["drift", "--estate=b.yaml"]) == {"--estate": "b.yaml"}
    assert given_in(["x", "--region", "r", "--profile=p"]) == {"--region": "r", "--profile": "p"}
    assert given_in(["drift"]) == given_in(["drift", "--estate"]) == {}
