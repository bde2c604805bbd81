"""Typed access to one mapping of the estate: what is wrong is collected, never raised, and reading goes on."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date

from ostiary.model.estate import EnvRef, Place, Text
from ostiary.model.estate_schema import DATE, DURATION, REQUIRED, SHAPES
from ostiary.model.estate_yaml import Node, Type

_ENV = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Problems:
    """Everything found wrong in one file, by line."""

    def __init__(self, file: str, env: Mapping[str, str] | None) -> None:
        self.file = file
        self.env = env
        self.found: set[tuple[int, str]] = set()

    def add(self, line: int, message: str) -> None:
        self.found.add((line, message))

    def lines(self) -> tuple[str, ...]:
        return tuple(f"{self.file}:{line}: {message}" for line, message in sorted(self.found))


def suggest(name: str, known: Sequence[str]) -> str:
    """`` (did you mean x?)``, or nothing when nothing is near."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def named_entries(
    node: Node | None, what: str, pattern: str, problems: Problems
) -> Iterator[tuple[str, Node, int]]:
    """(name, value, line of the name) of a mapping whose keys are names of ``what``."""
    if node is None:
        return
    if node.type is not Type.MAPPING:
        problems.add(node.line, f"{what}s must be a mapping of names, not {node.type.value}")
        return
    for name, value in node.entries.items():
        line = node.key_lines[name]
        if not re.match(pattern, name, re.ASCII) or "\n" in name:
            problems.add(line, f"bad name of {what} {name!r}: it must match {pattern}")
        yield name, value, line


class Fields:
    """One mapping of shape ``shape``; ``where`` names it in messages (``console 'std'``)."""

    def __init__(
        self, node: Node, shape: str, where: str, problems: Problems, line: int | None = None
    ) -> None:
        self.where = where
        self.problems = problems
        self.line = line or node.line
        self.place = Place(problems.file, self.line)
        self.entries: dict[str, Node] = {}
        if node.type is Type.NOTHING:
            node = Node(node.line, Type.MAPPING)
        if node.type is not Type.MAPPING:
            problems.add(node.line, f"{where} must be a mapping, not {node.type.value}")
            return
        known = tuple(SHAPES[shape])
        for key, value in node.entries.items():
            if key in known:
                self.entries[key] = value
            else:
                message = f"unknown key {key!r} in {where}{suggest(key, known)}"
                problems.add(node.key_lines[key], message)
        for key in REQUIRED.get(shape, ()):
            if key not in node.entries:
                problems.add(self.line, f"{where} lacks {key!r}")

    def __contains__(self, key: str) -> bool:
        return key in self.entries

    def wrong(self, key: str, message: str) -> None:
        line = self.entries[key].line if key in self.entries else self.line
        self.problems.add(line, f"{key} of {self.where} {message}")

    def text(self, key: str, pattern: str | None = None) -> str | None:
        node = self.entries.get(key)
        return None if node is None else self._text(key, node, pattern)

    def reference(self, key: str) -> Text | None:
        """Text that may be ``${env:NAME}``."""
        node = self.entries.get(key)
        found = _ENV.match(node.text) if node and node.type is Type.TEXT else None
        if found is None:
            return self.text(key)
        env = self.problems.env
        if env is not None and found[1] not in env:
            self.wrong(key, f"names environment variable {found[1]}, which is not set")
        return EnvRef(found[1])

    def texts(self, key: str, pattern: str | None = None) -> tuple[str, ...]:
        """One text, or a list of different ones."""
        node = self.entries.get(key)
        if node is None:
            return ()
        if node.type is not Type.LIST:
            value = self._text(key, node, pattern)
            return () if value is None else (value,)
        if not node.items:
            self.wrong(key, "is an empty list")
        values: list[str] = []
        for item in node.items:
            value = self._text(key, item, pattern)
            if value in values:
                self.problems.add(item.line, f"duplicate {value!r} under {key}: of {self.where}")
            elif value is not None:
                values.append(value)
        return tuple(values)

    def texts_by_name(self, key: str, pattern: str) -> dict[str, str]:
        """A mapping of names to texts, such as labels."""
        found = {}
        entries = named_entries(self.entries.get(key), f"name in {key}", pattern, self.problems)
        for name, value, line in entries:
            if value.type is not Type.TEXT or not value.text.isprintable() or not value.text:
                message = f'{name!r} in {key} of {self.where} must be text, in "quotes"'
                self.problems.add(line, message)
            found[name] = value.text
        return found

    def flag(self, key: str, *, default: bool) -> bool:
        node = self.entries.get(key)
        if node is None:
            return default
        if node.type is not Type.BOOLEAN:
            self.wrong(key, f"must be true or false, not {_shown(node)}")
            return default
        return node.text == "true"

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        node = self.entries.get(key)
        if node is None:
            return default
        if node.type is not Type.INTEGER or not re.fullmatch(r"[0-9]{1,9}", node.text):
            self.wrong(key, f"must be a whole number, not {_shown(node)}")
            return default
        if not low <= int(node.text) <= high:
            range_ = f"between {low} and {high}" if low < high else str(low)
            self.wrong(key, f"must be {range_}, not {node.text}")
            return default
        return int(node.text)

    def choice(self, key: str, default: str, known: Sequence[str]) -> str:
        value = self.text(key)
        if value is None:
            return default
        if value not in known:
            self.wrong(key, f"is {value!r}; known: {', '.join(known)}{suggest(value, known)}")
            return default
        return value

    def duration(self, key: str, low: int, high: int) -> int | None:
        """``4h``, ``30m`` or ``1h30m`` in seconds; ``low`` and ``high`` too."""
        value = self.text(key)
        if value is None:
            return None
        parts = re.match(DURATION, value)
        if not value or not parts or "\n" in value:
            self.wrong(key, f"is {value!r}, not a duration like 4h, 30m or 1h30m")
            return None
        hours, minutes = ((part or "0")[:-1] or "0" for part in parts.groups())
        seconds = int(hours) * 3600 + int(minutes) * 60
        if not low <= seconds <= high:
            span = f"{_duration(low)} to {_duration(high)}"
            self.wrong(key, f"is {value!r}; it must be {span}")
            return None
        return seconds

    def day(self, key: str) -> date | None:
        value = self.text(key)
        if value is None:
            return None
        found = None
        if re.match(DATE, value):  # fromisoformat alone also reads 20270131 and 2027-W05
            with contextlib.suppress(ValueError):
                found = date.fromisoformat(value)
        if found is None:
            self.wrong(key, f"is {value!r}, not a day like 2027-01-31")
        return found

    def check(self, key: str, find: Callable[[], Iterator[str]]) -> None:
        """Add the problems that ``find`` yields at the line of ``key``."""
        for message in find():
            self.problems.add(self.entries[key].line if key in self else self.line, message)

    def _text(self, key: str, node: Node, pattern: str | None) -> str | None:
        value = node.text
        message = None
        if node.type in (Type.INTEGER, Type.NUMBER, Type.BOOLEAN):
            message = f'must be text: write "{value}" in quotes'
        elif node.type is not Type.TEXT:
            message = f"must be text, not {node.type.value}"
        elif not value.strip() or _CONTROL.search(value):
            message = "must not be empty or hold control characters"
        elif "${env:" in value:
            message = "may not hold ${env:...} here, or only as the whole value"
        elif pattern and not re.match(pattern, value, re.ASCII):
            message = f"is {value!r}; it must match {pattern}"
        if message:
            self.problems.add(node.line, f"{key} of {self.where} {message}")
            return None
        return value


def _shown(node: Node) -> str:
    return repr(node.text) if node.type not in (Type.LIST, Type.MAPPING) else node.type.value


def _duration(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    return (f"{hours}h" if hours else "") + (f"{rest // 60}m" if rest else "")
