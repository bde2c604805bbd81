"""An import made visible: a bar with the service's own words on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ostiary import term
from ostiary.cli.progress import drawn
from ostiary.doors.gateway.importing.settings import OnStep, Step

TENTH = 10


@contextmanager
def import_progress() -> Iterator[OnStep]:
    """An ``on_step`` for an import."""
    if not sys.stderr.isatty():
        yield _Lines().tell
        return
    from rich.console import Console  # noqa: PLC0415 - rich only where there is a terminal to draw on
    from rich.markup import escape  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    console = Console(stderr=True, no_color=not term.wants_colour(sys.stderr), highlight=False)
    columns: tuple[Any, ...] = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        TextColumn("{task.fields[amount]:>18}"),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[now]}"),
    )
    bar = Progress(*columns, console=console, transient=True)
    with drawn(bar):
        task = bar.add_task("starting", total=None, amount="", now="")

        def on_step(step: Step) -> None:
            if not step.total:
                text = f"{step.what}: {step.text}" if step.text else step.what
                bar.console.print(term.shown(text), markup=False)
                return
            bar.update(
                task,
                description=step.what,
                completed=step.done,
                total=step.total,
                amount=_amount(step),
                now=escape(term.shown(step.text)),
                refresh=bar.tasks[0].description != step.what,  # a state is seen, however short
            )

        yield on_step


class _Lines:
    """Tells each new word once, and bytes in tenths."""

    def __init__(self) -> None:
        self._last: tuple[str, str, int] = ("", "", -1)

    def tell(self, step: Step) -> None:
        tenth = step.done * TENTH // step.total if step.total else 0
        mark = (step.what, step.text, tenth if step.unit == "bytes" else step.done)
        if mark == self._last:
            return
        self._last = mark
        parts = [step.what, _amount(step), step.text]
        term.say(" ".join(part for part in parts if part))


def _amount(step: Step) -> str:
    if not step.total:
        return ""
    if step.unit == "percent":
        return f"{step.done}%"
    return f"{step.done / 1e6:.1f}/{step.total / 1e6:.1f} MB"
