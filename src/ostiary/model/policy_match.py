"""Wildcards and policy variables of IAM policy strings.

``*`` matches any run of characters, ``?`` exactly one. ``${key}`` and ``${key, 'default'}`` are replaced by the
request's context (only in version 2012-10-17), ``${*}``, ``${?}`` and ``${$}`` are the characters themselves.
What a variable brings in is literal: a tag value of ``*`` opens nothing.

Source: IAM User Guide, "IAM policy elements: Variables and tags" and "IAM JSON policy elements: Resource".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TypeAlias

ContextValue: TypeAlias = "str | tuple[str, ...]"
Context: TypeAlias = Mapping[str, ContextValue]

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_DEFAULT = re.compile(r"\s*([^,\s]+)\s*,\s*'([^']*)'\s*")


def _expression(pieces: list[str]) -> re.Pattern[str]:
    """One linear-time expression from escaped pieces that were separated by ``*``.

    Taking the earliest place for each inner piece never loses a match, so each may be atomic.
    """
    first, *rest = pieces
    if not rest:
        return re.compile(first, re.DOTALL)
    inner = "".join(f"(?>.*?{piece})" for piece in rest[:-1] if piece)
    return re.compile(f"{first}{inner}.*{rest[-1]}", re.DOTALL)


def _pieces(pattern: str) -> list[str]:
    return [re.escape(piece).replace(r"\?", ".") for piece in pattern.split("*")]


@lru_cache(maxsize=8192)
def _glob(pattern: str) -> re.Pattern[str]:
    return _expression(_pieces(pattern))


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
    return _expression([*pieces, *rest]).fullmatch(value) is not None
