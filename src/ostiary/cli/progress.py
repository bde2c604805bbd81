"""Long work made visible: a bar on a terminal, one line an event elsewhere; and Ctrl-C once, twice."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from ostiary import term
from ostiary.plan.change import Event, OnEvent

if TYPE_CHECKING:
    from rich.progress import Progress

FINISH_SECONDS = 25.0
TROUBLE = frozenset({"failed", "stale", "blocked", "unknown"})


@contextmanager
def progress(title: str) -> Iterator[OnEvent]:
    """An ``on_event`` for planning or applying."""
    if not sys.stderr.isatty():
        yield _line
        return
    from rich.console import Console  # noqa: PLC0415 - rich only where there is a terminal to draw on
    from rich.markup import escape  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    console = Console(stderr=True, no_color=not term.wants_colour(sys.stderr), highlight=False)
    columns: tuple[Any, ...] = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[now]}"),
    )
    bar = Progress(*columns, console=console, transient=True)
    with drawn(bar):
        task = bar.add_task(title, total=None, now="")

        def on_event(event: Event) -> None:
            now = escape(term.shown(_where(event)))
            bar.update(task, completed=event.done, total=event.total, now=now)
            if event.what in TROUBLE:
                text = f"{event.what} {_where(event)}: {event.text}"
                bar.console.print(term.shown(text), markup=False)

        yield on_event


@contextmanager
def drawn(bar: Progress) -> Iterator[None]:
    """The bar is there in the block, and gone after it, whatever ends it: a terminal keeps its cursor."""
    try:
        with _uninterrupted():
            bar.start()
        yield
    finally:
        with _uninterrupted():
            bar.stop()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C is heard at the end of the block."""
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)


def _line(event: Event) -> None:
    if event.what in {"read", "unread", "start"}:  # the plan says what was not read, and why
        return
    text = f": {event.text}" if event.text else ""
    term.say(
        f"{event.what} {event.done}/{event.total} {event.action} {_where(event)}{text}".replace(
            "  ", " "
        )
    )


def _where(event: Event) -> str:
    return str(event.key) if event.key else event.scope


@contextmanager
def stopping(stop: threading.Event, waits: threading.Event) -> Iterator[None]:
    """Ctrl-C or SIGTERM once sets ``stop``; the second one ends the process as a kill would.

    What is in flight may finish; retries that still wait after ``FINISH_SECONDS`` are ended by ``waits``.
    """
    late = threading.Timer(FINISH_SECONDS, waits.set)
    late.daemon = True

    def on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        if stop.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.set()
        late.start()
        # from a thread: the signal may have come while this one was writing to stderr, which forbids a second write
        text = "ostiary: finishing what is in flight; once more to stop at once"
        threading.Thread(target=term.say, args=(text,), daemon=True).start()

    before = {
        number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        late.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
