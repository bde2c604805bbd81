"""What can be wrong with a policy document."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Document: TypeAlias = Mapping[str, Any]

MALFORMED, DANGER, WARNING = "malformed", "danger", "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """``severity``: ``malformed`` (IAM refuses it), ``danger`` (it opens or shuts a door by mistake), ``warning``.

    ``at`` is the place (``Statement[0].Action``); ``fix`` what to write instead.
    """

    code: str
    severity: str
    text: str
    fix: str = ""
    at: str = ""


def malformed(code: str, text: str, fix: str = "", at: str = "") -> Problem:
    return Problem(code, MALFORMED, text, fix, at)


def listed(element: Any) -> list[Any]:
    return element if isinstance(element, list) else [element]


def meant(word: str, known: Iterable[str], *, cutoff: float = 0.7) -> str:
    """The end of a fix: the known word that a misspelt one is close to."""
    close = difflib.get_close_matches(word, sorted(known), n=1, cutoff=cutoff)
    return f"; did you mean {close[0]}?" if close else ""
