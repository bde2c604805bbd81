"""Wildcards and policy variables of IAM policy strings.

``*`` matches any run of characters, ``?`` exactly one. ``${key}`` and ``${key, 'default'}`` are replaced by the
request's context (only in version 2012-10-17), ``${*}``, ``${?}`` and ``${$}`` are the characters themselves.
What a variable brings in is literal: a tag value of ``*`` opens nothing.

Source: IAM User Guide, "IAM policy elements: Variables and tags" and "IAM JSON policy elements: Resource".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

ContextValue: TypeAlias = "str | tuple[str, ...]"
Context: TypeAlias = Mapping[str, ContextValue]

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_DEFAULT = re.compile(r"\s*([^,\s]+)\s*,\s*'([^']*)'\s*")


ARN_PARTS = 6  # arn:partition:service:region:account:resource


def _source(pieces: Sequence[str], any_one: str = ".") -> str:
    """A linear-time expression from escaped pieces that were separated by ``*``.

    Taking the earliest place for each inner piece never loses a match, so each may be atomic.
    """
    first, *rest = pieces
    if not rest:
        return first
    inner = "".join(f"(?>{any_one}*?{piece})" for piece in rest[:-1] if piece)
    return f"{first}{inner}{any_one}*{rest[-1]}"


def _pieces(pattern: str, any_one: str = ".") -> list[str]:
    return [re.escape(piece).replace(r"\?", any_one) for piece in pattern.split("*")]


@lru_cache(maxsize=4096)
def _expression(pieces: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(_source(pieces), re.DOTALL)


@lru_cache(maxsize=8192)
def _glob(pattern: str) -> re.Pattern[str]:
    return _expression(tuple(_pieces(pattern)))


@lru_cache(maxsize=4096)
def _arn_glob(pattern: str) -> re.Pattern[str] | None:
    parts = pattern.split(":", ARN_PARTS - 1)
    if len(parts) != ARN_PARTS:
        return None
    head = [_source(_pieces(part, "[^:]"), "[^:]") for part in parts[:-1]]
    return re.compile(":".join([*head, _source(_pieces(parts[-1]))]), re.DOTALL)


def arn_glob(pattern: str, value: str) -> bool:
    """Whether an ARN matches; each of the six parts is matched on its own. ``*`` alone matches everything."""
    if pattern == "*":
        return True
    expression = _arn_glob(pattern)
    return expression is not None and expression.fullmatch(value) is not None


@lru_cache(maxsize=16384)
def action_matches(pattern: str, action: str) -> bool:
    """Whether an Action pattern takes in ``action`` (``iam:GetRole``); case does not count."""
    return glob(pattern.lower(), action.lower())


def glob(pattern: str, value: str) -> bool:
    """Whether ``value`` matches ``pattern`` as a whole; case counts; no variables."""
    if pattern in ("*", value):
        return True
    if "*" not in pattern and "?" not in pattern:
        return False
    return _glob(pattern).fullmatch(value) is not None


def variable(name: str, context: Context) -> str | None:
    """The text of ``${name}`` (or of ``${name, 'default'}``); None if the request has no single such value."""
    if name in ("*", "?", "$"):
        return name
    with_default = _DEFAULT.fullmatch(name)
    key, default = with_default.groups() if with_default else (name.strip(), None)
    value = context.get(key.lower())
    return value if isinstance(value, str) else default


def substituted(text: str, context: Context) -> str | None:
    """``text`` with its variables filled in; None if one of them has no value."""
    out, at = "", 0
    for found in _VARIABLE.finditer(text):
        value = variable(found[1], context)
        if value is None:
            return None
        out += text[at : found.start()] + value
        at = found.end()
    return out + text[at:]


def matches(pattern: str, value: str, context: Context | None) -> bool | None:
    """``glob`` with variables; ``context`` None says that the policy's version knows none.

    None: a variable of the pattern has no value in this request, so nothing can be said.
    """
    if context is None or "${" not in pattern:
        return glob(pattern, value)
    pieces, at = [""], 0
    for found in _VARIABLE.finditer(pattern):
        text = variable(found[1], context)
        if text is None:
            return None
        head, *rest = _pieces(pattern[at : found.start()])
        pieces[-1] += head
        pieces += rest
        pieces[-1] += re.escape(text)
        at = found.end()
    head, *rest = _pieces(pattern[at:])
    pieces[-1] += head
    return _expression((*pieces, *rest)).fullmatch(value) is not None
