"""Expressions of group rules: the part of Okta Expression Language that tests groups and profile values.

    isMemberOfAnyGroup("00g…", "00g…") and !(user.department == "Sales")

Everything else of the language is refused (Okta would accept more: string functions, arrays, ternaries).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ostiary.sandbox.okta.errors import OktaError, invalid
from ostiary.sandbox.okta.objects import Group, User

if TYPE_CHECKING:
    from ostiary.sandbox.okta.state import OktaOrg

Test: TypeAlias = "Callable[[OktaOrg, User], bool]"
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<mark>==|!=|&&|\|\||[!(),])"""
    r"""|(?P<word>[A-Za-z_][A-Za-z0-9_.]*))"""
)
_FUNCTIONS = ("isMemberOfGroup", "isMemberOfAnyGroup", "isMemberOfGroupName")
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Expression:
    """``group_ids`` are the groups that it names by id."""

    test: Test
    group_ids: frozenset[str]


def _refuse(problem: str) -> OktaError:
    return invalid("conditions.expression.value", f"Invalid expression: {problem}")


def parse(text: str) -> Expression:
    if len(text) > _LONGEST:
        raise _refuse("longer than 4096 characters")
    parser = _Parser(text)
    test = parser.either()
    if parser.position < len(parser.tokens):
        raise _refuse(f"unexpected {parser.tokens[parser.position][1]}")
    return Expression(test, frozenset(parser.group_ids))


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        self.position = 0
        self.group_ids: set[str] = set()
        end = 0
        while text[end:].strip():
            match = _TOKEN.match(text, end)
            if match is None:
                raise _refuse(f"unexpected {text[end:].strip()[:20]}")
            kind = match.lastgroup or ""
            self.tokens.append((kind, match.group(kind)))
            end = match.end()

    def take(self, *values: str) -> str:
        """The next token if it is one of these marks or words (words in any case)."""
        if self.position < len(self.tokens):
            kind, text = self.tokens[self.position]
            if kind != "text" and (text in values or text.lower() in values):
                self.position += 1
                return text
        return ""

    def literal(self) -> str:
        if self.position < len(self.tokens) and self.tokens[self.position][0] == "text":
            self.position += 1
            return re.sub(r"\\(.)", r"\1", self.tokens[self.position - 1][1][1:-1])
        raise _refuse("a quoted text is missing")

    def either(self) -> Test:
        test = self.both()
        while self.take("or", "||"):
            test = _or(test, self.both())
        return test

    def both(self) -> Test:
        test = self.one()
        while self.take("and", "&&"):
            test = _and(test, self.one())
        return test

    def one(self) -> Test:
        if self.take("!", "not"):
            return _not(self.one())
        if self.take("("):
            test = self.either()
            if not self.take(")"):
                raise _refuse("missing )")
            return test
        if self.position >= len(self.tokens):
            raise _refuse("it ends too early")
        kind, word = self.tokens[self.position]
        self.position += 1
        if kind == "word" and word in _FUNCTIONS:
            return self.function(word)
        if kind == "word" and re.fullmatch(r"user\.[A-Za-z_][A-Za-z0-9_]*", word):
            return self.comparison(word.removeprefix("user."))
        raise _refuse(f"{word} is not supported")

    def function(self, name: str) -> Test:
        if not self.take("("):
            raise _refuse(f"missing ( after {name}")
        values = [self.literal()]
        while self.take(","):
            values.append(self.literal())
        if not self.take(")"):
            raise _refuse(f"missing ) after {name}")
        if len(values) > 1 and name != "isMemberOfAnyGroup":
            raise _refuse(f"{name} takes one value")
        if name == "isMemberOfGroupName":
            return _in_group(lambda group: group.name == values[0])
        self.group_ids |= set(values)
        return _in_any(values)

    def comparison(self, attribute: str) -> Test:
        operator = self.take("==", "!=")
        if not operator:
            raise _refuse(f"user.{attribute} needs == or !=")
        want = self.literal()
        equal = operator == "=="
        return lambda _org, user: (str(user.profile.get(attribute) or "") == want) is equal


def _in_any(ids: list[str]) -> Test:
    return lambda org, user: any(
        known in org.groups and org.holds(org.groups[known], user.id) for known in ids
    )


def _in_group(wanted: Callable[[Group], bool]) -> Test:
    return lambda org, user: any(
        wanted(group) and org.holds(group, user.id) for group in org.groups.values()
    )


def _or(first: Test, second: Test) -> Test:
    return lambda org, user: first(org, user) or second(org, user)


def _and(first: Test, second: Test) -> Test:
    return lambda org, user: first(org, user) and second(org, user)


def _not(test: Test) -> Test:
    return lambda org, user: not test(org, user)
