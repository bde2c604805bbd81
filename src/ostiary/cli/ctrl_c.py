"""Ctrl-C is heard, wherever it comes.

Python raises KeyboardInterrupt between any two steps, and loses it in some: in a finalizer, and, before 3.11.4, where C code
formats the text of another exception. botocore has ``list.index`` fail so some hundred times as it starts, and on Debian 12
one Ctrl-C in twenty that came at the beginning of a plan was lost. One that is lost is raised again.
"""

from __future__ import annotations

import signal
import weakref
from types import FrameType

AGAIN = 0.01  # seconds: what is done at once would be done where it was lost


class Pressed(KeyboardInterrupt):
    """Can be watched, as KeyboardInterrupt itself cannot."""


_watched: set[weakref.ref[Pressed]] = set()


def heed() -> None:
    """From now on, in the main thread, until ``answered``. Who is started in the background ignores Ctrl-C, and still does."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _press)
        signal.signal(signal.SIGALRM, _press_again)


def answered() -> None:
    """It has reached whom it is for: its end is no loss."""
    _watched.clear()


def _press(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
    pressed = Pressed()
    _watched.add(weakref.ref(pressed, _lost))
    try:
        raise pressed
    finally:
        del pressed  # of its own traceback: else it would live until a collection of garbage


def _lost(one: weakref.ref[Pressed]) -> None:
    if one in _watched:
        _watched.discard(one)
        signal.setitimer(signal.ITIMER_REAL, AGAIN)


def _press_again(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as above
    """For whoever listens by now."""
    signal.raise_signal(signal.SIGINT)
