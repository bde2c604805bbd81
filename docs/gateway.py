"""Writes the two tables of ``docs/reference/gateway-inspect.md`` from ``doors/gateway/image/problems.py``.

Run it with ``.venv/bin/python docs/gateway.py``; a test keeps the page current.
"""

from __future__ import annotations

import re
from pathlib import Path

from ostiary.doors.gateway.image.problems import KINDS, REMEDIES

PAGE = Path(__file__).parent / "reference/gateway-inspect.md"


def codes() -> str:
    rows = [
        (
            f"`{code}`",
            kind.severity,
            "never" if kind.safety else "yes" if kind.severity == "refuse" else "",
            kind.predicts or "",
            _without_markup(kind.fix),
        )
        for code, kind in KINDS.items()
    ]
    return _table(("code", "severity", "force", "VM Import would say", "fix"), rows)


def messages() -> str:
    rows = [
        (
            f"`{one.pattern.replace('|', chr(92) + '|')}`{' *' if one.seen else ''}",
            one.cause,
            _without_markup(one.fix),
        )
        for one in REMEDIES
    ]
    return _table(("message, as a pattern", "means", "fix"), rows)


def page(text: str) -> str:
    """``text`` with both tables as the code has them."""
    for name, made in (("codes", codes()), ("messages", messages())):
        part = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = part.sub(lambda found, made=made: f"{found[1]}{made}\n{found[2]}", text)
    return text


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [headings, tuple("---" for _ in headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _without_markup(text: str) -> str:
    return re.sub(r"(ostiary [a-z][^;()]*|sgdisk -e|tar --.*)", r"`\1`", text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
