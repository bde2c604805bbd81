"""Okta's filter language, the part that its list operations use: ``status eq "ACTIVE" and id eq "00g…"``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from ostiary.sandbox.okta.errors import OktaError

Values: TypeAlias = Mapping[str, Any]
Test: TypeAlias = Callable[[Values], bool]

_TOKEN = re.compile(r'\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<mark>[()])|(?P<word>[A-Za-z0-9_.\-]+))')
_COMPARE: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda have, want: have == want,
    "ne": lambda have, want: have != want,
    "sw": lambda have, want: have.startswith(want),
    "co": lambda have, want: want in have,
    "gt": lambda have, want: have > want,
    "ge": lambda have, want: have >= want,
    "lt": lambda have, want: have < want,
    "le": lambda have, want: have <= want,
}


def bad_filter(text: str) -> OktaError:
    return OktaError("E0000031", f"Invalid search criteria. {text}", 400)


def compile_filter(
    text: str, attributes: Iterable[str], operators: Iterable[str] = _COMPARE, *, fold: bool = False
) -> Test:
    """A test over flat values. Attributes and operators that the operation does not support are refused.

    A trailing ``.*`` in ``attributes`` admits every attribute below it. ``fold`` ignores case, as search does.
    """
    parser = _Parser(text, tuple(attributes), frozenset(operators), fold)
    test = parser.either()
    if parser.position < len(parser.tokens):
        raise bad_filter(f"Unexpected {parser.tokens[parser.position][1]}.")
    return test


class _Parser:
    def __init__(
        self, text: str, attributes: tuple[str, ...], operators: frozenset[str], fold: bool
    ) -> None:
        self.tokens: list[tuple[str, str]] = []
        self.position = 0
        self.attributes = attributes
        self.operators = operators
        self.fold = fold
        end = 0
        while text[end:].strip():
            match = _TOKEN.match(text, end)
            if match is None:
                raise bad_filter(f"Unexpected {text[end:].strip()}.")
            kind = match.lastgroup or ""
            self.tokens.append((kind, match.group(kind)))
            end = match.end()

    def take(self, kind: str, *values: str) -> str:
        if self.position < len(self.tokens):
            found, text = self.tokens[self.position]
            if found == kind and (not values or text.lower() in values):
                self.position += 1
                return text
        return ""

    def either(self) -> Test:
        test = self.both()
        while self.take("word", "or"):
            test = _any(test, self.both())
        return test

    def both(self) -> Test:
        test = self.one()
        while self.take("word", "and"):
            test = _all(test, self.one())
        return test

    def one(self) -> Test:
        if self.take("mark", "("):
            test = self.either()
            if not self.take("mark", ")"):
                raise bad_filter("Missing ).")
            return test
        name, operator = self.take("word"), self.take("word").lower()
        if not any(
            name == known or (known.endswith(".*") and name.startswith(known[:-1]))
            for known in self.attributes
        ):
            raise bad_filter(f"Unsupported attribute {name or '(none)'}.")
        if operator == "pr":
            return lambda values: values.get(name) not in (None, "", [])
        literal = self.take("text") or self.take("word")
        if operator not in self.operators or not literal:
            raise bad_filter(f"Unsupported expression at {name}.")
        want = re.sub(r"\\(.)", r"\1", literal[1:-1]) if literal.startswith('"') else literal
        return self.compare(name, _COMPARE[operator], want)

    def compare(self, name: str, operator: Callable[[str, str], bool], want: str) -> Test:
        fold = str.lower if self.fold else str

        def test(values: Values) -> bool:
            have = values.get(name)
            several = have if isinstance(have, list) else [have]
            return any(
                operator(fold(_text(item)), fold(want)) for item in several if item is not None
            )

        return test


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _any(first: Test, second: Test) -> Test:
    return lambda values: first(values) or second(values)


def _all(first: Test, second: Test) -> Test:
    return lambda values: first(values) and second(values)
