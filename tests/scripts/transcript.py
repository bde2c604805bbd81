"""Readable transcripts of the command line, after age's ``testdata/*.txt``.

A transcript is what somebody would see who types these lines, with the files at its end::

    Free text says what this shows and why.

    $ ostiary plan --estate wrong.yaml
    2> ostiary: error: cannot use estate wrong.yaml
    2>   why: [..]
    [3]
    % world.okta.join("mallory@acme.example", "developers")
    $ NO_COLOR=1 ostiary plan --json > plan.json

    -- wrong.yaml --
    estate: acme

``$`` runs a command and ``%`` a line of Python in which ``world`` is the sandbox. Below a command stand its
stdout, its stderr (``2>``) and its exit code if that is not 0. ``[..]`` stands for any text within a line,
``[...]`` alone for any number of lines, and ``[RUN]`` for the id of a run, which later commands may repeat.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

RUN = re.compile(r"\d{8}T\d{6}\.\d{6}-[0-9a-f]{6}")
_FILE = re.compile(r"-- (\S+) --")
_OTHER_EACH_TIME = (
    (RUN, "[RUN]"),
    (re.compile(r"(?m)^(?:(?:done|failed|blocked|stale) \d+/\d+ .*\n)+"), "[...]\n"),
    (re.compile(r"\(request [^)]+\)"), "(request [..])"),
    (re.compile(r"https://localhost:\d+"), "https://localhost:[..]"),
    (re.compile(r"http://127.0.0.1:\d+"), "http://127.0.0.1:[..]"),
    (re.compile(r"\b(srv|prj|tok|ca|dev|pre)_[A-Za-z0-9_-]{8,}"), r"\1_[..]"),
    (re.compile(r"\bostiary_[a-z]+_[A-Za-z0-9_-]{20,}"), "[..]"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\dZ"), "[..]"),
    (re.compile(r"until ([A-Z][a-z]{2} )?\d\d:\d\d;"), "until [..];"),
    (re.compile(r"\b(ami|snap|i)-[0-9a-f]{17}\b"), r"\1-[..]"),
    (re.compile(r"\bkey/[0-9a-f-]{36}"), "key/[..]"),
    (re.compile(r"\b(127\.\d+|172\.31)\.\d+\.\d+"), "[..]"),
)
_EXIT = re.compile(r"\[(\d+)\]")


@dataclass(slots=True)
class Step:
    """One line that is run, and what must come of it. ``line`` counts from 1, ``length`` in lines."""

    line: int
    text: str
    length: int = 1
    code: int = 0
    stdout: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)

    @property
    def is_command(self) -> bool:
        return self.text.startswith("$ ")


@dataclass(frozen=True, slots=True)
class Transcript:
    steps: tuple[Step, ...]
    files: dict[str, str]


def parse(text: str) -> Transcript:
    body, files = _split(text)
    return Transcript(tuple(_steps(body)), files)


def _split(text: str) -> tuple[list[str], dict[str, str]]:
    body: list[str] = []
    files: dict[str, list[str]] = {}
    into = body
    for line in text.splitlines():
        if begin := _FILE.fullmatch(line):
            into = files.setdefault(begin[1], [])
        else:
            into.append(line)
    return body, {name: "\n".join(lines) + "\n" for name, lines in files.items()}


def _steps(lines: list[str]) -> Iterator[Step]:
    """A blank line ends the output of a command; a line of ``.`` is a blank line of output."""
    step: Step | None = None
    for number, line in enumerate(lines, 1):
        if line.startswith(("$ ", "% ")):
            if step:
                yield step
            step = Step(number, line)
        elif not line:
            if step:
                yield step
            step = None
        elif step is None:
            continue  # prose
        else:
            step.length += 1
            _add(step, line)
    if step:
        yield step


def _add(step: Step, line: str) -> None:
    if ended := _EXIT.fullmatch(line):
        step.code = int(ended[1])
    elif line.startswith("2>"):
        step.stderr.append(line[3:])
    else:
        step.stdout.append("" if line == "." else line)


def matches(expected: list[str], text: str) -> bool:
    """Whether ``text`` is what the lines of a transcript say. No lines expect no text."""
    got = [line.rstrip() for line in text.splitlines()]
    pattern = "".join(
        r"(?:[^\n]*\n)*" if line == "[...]" else f"{_pattern(line)}\n" for line in expected
    )
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in got)) is not None


def _pattern(line: str) -> str:
    return re.escape(line).replace(re.escape("[..]"), r"[^\n]*").replace(r"\[RUN\]", RUN.pattern)


def shown(step: Step, code: int, stdout: str, stderr: str) -> str:
    """The step as a transcript would hold it, without what is another each time."""
    lines = [step.text, *(line.rstrip() or "." for line in _stable(stdout).splitlines())]
    lines += [f"2> {line}".rstrip() for line in _stable(stderr).splitlines()]
    return "\n".join([*lines, *([f"[{code}]"] if code else [])])


def _stable(text: str) -> str:
    for pattern, instead in _OTHER_EACH_TIME:
        text = pattern.sub(instead, text)
    return text


def rewritten(text: str, came: list[tuple[Step, str]]) -> str:
    """A transcript in which these steps read as they came out."""
    lines = text.splitlines()
    for step, shows in reversed(came):
        lines[step.line - 1 : step.line - 1 + step.length] = shows.splitlines()
    return "\n".join(lines) + "\n"
