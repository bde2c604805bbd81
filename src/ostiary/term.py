"""The voice: results to stdout, talk to stderr, no colour off a terminal or with NO_COLOR.

Errors are three lines: what failed on which object, why in the service's words, one runnable fix. Many of these words are
of others, a hostile control plane's or host's among them: what a terminal would obey is shown as "?".
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from ostiary.errors import EstateError, OstiaryError

_CODES = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "dim": "2", "bold": "1"}

_OBEYED = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
_STYLE = r"\x1b\[(?:[012]|3[1-6])(?:;(?:[12]|3[1-6]))*m"  # those of paint(), and of a plan
_SHOWN = re.compile(f"({_STYLE})|{_OBEYED}")


def shown(text: str) -> str:
    """Without what moves the cursor, rings, hides, or turns the direction of writing; our own styles stay."""
    return _SHOWN.sub(lambda found: found[1] or "?", text)


def wants_colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, *styles: str, stream: TextIO | None = None) -> str:
    """``text`` in the given styles where the stream (stdout) shows colour."""
    if not styles or not wants_colour(stream or sys.stdout):
        return text
    return f"\x1b[{';'.join(_CODES[style] for style in styles)}m{text}\x1b[0m"


def say(text: str, *, as_is: bool = False) -> None:
    """Talk: one line on stderr. ``as_is`` where that was seen to which a terminal would obey."""
    print(text if as_is else shown(text), file=sys.stderr, flush=True)  # noqa: T201 - this module is where the program prints


def result(text: str, *, as_is: bool = False) -> None:
    """The result: stdout. ``as_is`` as in ``say``. Raises OstiaryError when it cannot be written, as on a full disk."""
    try:
        print(text if as_is else shown(text), flush=True)  # noqa: T201
    except BrokenPipeError:
        raise
    except OSError as full:
        what = "cannot write the result to stdout"
        fix = "free space there; what this command did stays done"
        raise OstiaryError(what, why=str(full.strerror).lower(), fix=fix) from full


def clear() -> None:
    """Clear the screen of stdout, and what was scrolled off it."""
    sys.stdout.write("\x1b[2J\x1b[3J\x1b[H")
    sys.stdout.flush()


def result_json(value: object) -> None:
    result(_json(value, indent=2))


def _json(value: object, indent: int | None = None) -> str:
    """As people read it; what a terminal would obey is escaped, so that programs read it as it was."""
    text = json.dumps(value, indent=indent, sort_keys=False, ensure_ascii=False)
    return re.sub(_OBEYED, lambda found: f"\\u{ord(found[0]):04x}", text)


def error(failure: OstiaryError, *, as_json: bool = False) -> None:
    """Print an error in the one form, or as one JSON object with the same keys."""
    if as_json:
        say(_json(failure.as_json()))
        return
    say(f"{paint('ostiary: error:', 'red', stream=sys.stderr)} {failure.what}")
    why = failure.why.splitlines()
    if isinstance(failure, EstateError) and failure.problems:
        problems = list(failure.problems)
        why = problems if len(problems) == 1 else [f"{len(problems)} problems", *problems]
    for index, line in enumerate(why):
        say(f"       {line}" if index else f"  why: {line}")
    if failure.fix:
        say(f"  fix: {failure.fix}")


def counted(number: int, noun: str) -> str:
    """``1 account``, ``2 accounts``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns padded to their widest cell, headings dimmed; no trailing blanks.

    On a terminal that is too narrow for them, each row on two lines; where that is too wide too, a paragraph for each row:
    nothing is cut, and no line breaks where it means something else.
    """
    cells = [[cell.replace("\n", "?") for cell in row] for row in rows]
    widths = [
        max([len(heading), *(len(row[index]) for row in cells)])
        for index, heading in enumerate(headings)
    ]
    room = _room()
    if _width(widths) <= room:
        return "\n".join(_rows(headings, cells, widths))
    for split in range(len(widths) - 1, 0, -1):
        if _width(widths[:split]) <= room and len(_BELOW) + _width(widths[split:]) <= room:
            return _on_two_lines(headings, cells, widths, split)
    return "\n".join(_paragraph(headings, row) for row in cells)


_BELOW = "  "  # before what belongs to the line above


def _room() -> float:
    """Columns of the terminal that stdout is; without end where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else math.inf


def _width(widths: Sequence[int]) -> int:
    return sum(widths) + 2 * len(widths) - 2


def _rows(
    headings: Sequence[str], cells: Sequence[Sequence[str]], widths: Sequence[int]
) -> list[str]:
    return [paint(_line(headings, widths), "dim"), *(_line(row, widths) for row in cells)]


def _on_two_lines(
    headings: Sequence[str], cells: Sequence[Sequence[str]], widths: Sequence[int], split: int
) -> str:
    """The columns from ``split`` on below the others; a row that has nothing there has one line."""
    above = _rows(headings[:split], [row[:split] for row in cells], widths[:split])
    below = _rows(headings[split:], [row[split:] for row in cells], widths[split:])
    pairs = zip(above, below, strict=True)
    return "\n".join(line for one, two in pairs for line in (one, two and _BELOW + two) if line)


def _paragraph(headings: Sequence[str], row: Sequence[str]) -> str:
    """The first cell, and below it each other one behind its heading."""
    width = max(map(len, headings[1:]), default=0)
    told = zip(headings[1:], row[1:], strict=True)
    lines = [f"{_BELOW}{paint(name.ljust(width), 'dim')}  {cell}" for name, cell in told if cell]
    return "\n".join([row[0], *lines])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def can_ask() -> bool:
    """Whether a person is there to answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str, expected: str) -> bool:
    """Ask on stderr; true when the answer is exactly ``expected``."""
    sys.stderr.write(f"{shown(question)} ")
    sys.stderr.flush()
    return sys.stdin.readline().strip() == expected
