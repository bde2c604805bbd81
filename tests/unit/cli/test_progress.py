"""The bar of long work on a terminal: names of others are shown as they are, and do nothing."""

from __future__ import annotations

import io
import signal
import sys

import pytest
from rich.live import Live

from ostiary.cli.gateway_progress import import_progress
from ostiary.cli.progress import progress
from ostiary.doors.gateway.importing.settings import Step
from ostiary.plan.change import Event
from ostiary.plan.resource import Key

NAME = "a[/b] \x1b]0;owned\x07[bold]"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def on_terminal(monkeypatch):
    """A terminal instead of stderr; within the test, because pytest sets stderr anew for it."""
    one = Terminal()
    monkeypatch.setattr(sys, "stderr", one)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    return one


def test_names_of_changes(monkeypatch):
    terminal = on_terminal(monkeypatch)
    with progress("applying") as on_event:
        on_event(
            Event("failed", "main", Key("okta-group", "main", NAME), text=NAME, done=1, total=2)
        )
    assert "a[/b] ?]0;owned?[bold]: a[/b] ?]0;owned?[bold]" in terminal.getvalue()
    assert "\x1b]0;" not in terminal.getvalue()


def test_words_of_an_import(monkeypatch):
    terminal = on_terminal(monkeypatch)
    with import_progress() as on_step:
        on_step(Step("converting", done=1, total=2, text=NAME))
        on_step(Step("told", text=NAME))
    assert "told: a[/b] ?]0;owned?[bold]" in terminal.getvalue()
    assert "\x1b]0;" not in terminal.getvalue()


@pytest.mark.parametrize(
    "shown", [progress, lambda _: import_progress()], ids=["changes", "import"]
)
@pytest.mark.parametrize("moment", ["refresh", "start", "stop"])
def test_an_interrupt_while_it_draws_leaves_the_terminal_as_it_was(monkeypatch, shown, moment):
    """Once: in the middle of the first drawing, of starting, or of stopping."""
    terminal = on_terminal(monkeypatch)
    drawing = getattr(Live, moment)
    ended = []

    def interrupted(self, *arguments, **named):
        if not ended:
            ended.append(moment)
            signal.raise_signal(signal.SIGINT)
        drawing(self, *arguments, **named)

    monkeypatch.setattr(Live, moment, interrupted)
    with pytest.raises(KeyboardInterrupt), shown("reading"):
        pass
    assert sys.stderr is terminal
    assert terminal.getvalue().count("\x1b[?25l") == terminal.getvalue().count("\x1b[?25h") == 1
