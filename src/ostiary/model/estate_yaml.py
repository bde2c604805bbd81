"""YAML text to a tree that knows its lines, refusing everything that a plain configuration file never needs.

The tree is built from parser events: nothing is ever constructed from a tag, nesting costs no stack, and an
alias is a second name for one node. Scalars follow the YAML 1.2 core schema (``yes`` is text, so is a date).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)

MAX_CHARACTERS = 4 * 1024 * 1024
MAX_NODES = 200_000  # an alias counts as every node that it stands for
MAX_DEPTH = 16

_INTEGER = re.compile(r"[-+]?[0-9]+\Z|0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_NUMBER = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z|[-+]?\.(inf|nan)\Z", re.IGNORECASE
)


class Type(Enum):
    """What a node is; the value is the word for it in messages."""

    TEXT = "text"
    INTEGER = "a number"
    NUMBER = "a fraction"
    BOOLEAN = "true or false"
    NOTHING = "nothing"
    LIST = "a list"
    MAPPING = "a mapping"


@dataclass(slots=True)
class Node:
    """``text`` is a scalar as it is written. ``entries`` keeps the first of duplicate keys."""

    line: int
    type: Type
    text: str = ""
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Node] = field(default_factory=dict)
    key_lines: dict[str, int] = field(default_factory=dict)
    size: int = 1


class Refused(Exception):
    """The text is not read any further."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def read_tree(text: str) -> tuple[Node, list[tuple[int, str]]]:
    """The root node, and the problems that did not stop the reading as (line, message). Raises Refused."""
    if len(text) > MAX_CHARACTERS:
        raise Refused(1, f"the file is larger than {MAX_CHARACTERS // 1024 // 1024} MiB")
    builder = _Builder()
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            builder.take(event)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Refused(mark.line + 1 if mark else 1, f"not YAML: {error.problem}") from error
    except YAMLError as error:
        raise Refused(1, f"not YAML: {str(error).splitlines()[0]}") from error
    if builder.root is None:
        raise Refused(1, "the file is empty")
    return builder.root, builder.problems


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    node: Node
    anchor: str | None
    key: Node | None = None


class _Builder:
    def __init__(self) -> None:
        self.root: Node | None = None
        self.problems: list[tuple[int, str]] = []
        self._open: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}
        self._size = 0
        self._documents = 0

    def take(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise Refused(line, "a second YAML document; one file holds one estate")
        elif isinstance(event, AliasEvent):
            self._add(self._aliased(event, line), line)
        elif isinstance(event, CollectionEndEvent):
            self._close()
        elif isinstance(event, NodeEvent):
            self._start(event, line)

    def _start(self, event: Any, line: int) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise Refused(line, f"YAML tag {str(tag)[:60]!r} is refused; an estate needs none")
        if isinstance(event, ScalarEvent):
            node = _scalar(event, line)
            if event.anchor:
                self._anchors[event.anchor] = node
            self._add(node, line)
            return
        if len(self._open) >= MAX_DEPTH:
            raise Refused(line, f"nested deeper than {MAX_DEPTH} levels")
        node = Node(line, Type.MAPPING if isinstance(event, MappingStartEvent) else Type.LIST)
        if event.anchor:
            self._anchors[event.anchor] = None  # an alias to it would be recursive until it ends
        self._open.append(_Open(node, event.anchor))

    def _close(self) -> None:
        done = self._open.pop()
        if done.anchor:
            self._anchors[done.anchor] = done.node
        self._add(done.node, done.node.line, counted=True)

    def _aliased(self, event: Any, line: int) -> Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            raise Refused(line, f"alias *{event.anchor} stands for nothing that is complete here")
        return node

    def _add(self, node: Node, line: int, *, counted: bool = False) -> None:
        self._size += 1 if counted else node.size
        if self._size > MAX_NODES:
            raise Refused(line, f"more than {MAX_NODES:,} nodes, aliases followed")
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        parent.node.size += node.size
        if parent.node.type is Type.LIST:
            parent.node.items.append(node)
        elif parent.key is None:
            parent.key = node
        else:
            self._enter(parent.node, parent.key, node)
            parent.key = None

    def _enter(self, mapping: Node, key: Node, value: Node) -> None:
        if key.type in (Type.LIST, Type.MAPPING):
            self.problems.append((key.line, f"a key must be text, not {key.type.value}"))
        elif key.text in mapping.entries:
            first = mapping.key_lines[key.text]
            self.problems.append((key.line, f"duplicate key {key.text!r}, first in line {first}"))
        else:
            mapping.entries[key.text] = value
            mapping.key_lines[key.text] = key.line


def _scalar(event: Any, line: int) -> Node:
    text: str = event.value
    plain = event.style is None
    if not plain:
        return Node(line, Type.TEXT, text)
    if text in ("", "~", "null", "Null", "NULL"):
        return Node(line, Type.NOTHING, text)
    if text.lower() in ("true", "false"):
        return Node(line, Type.BOOLEAN, text.lower())
    if _INTEGER.match(text):
        return Node(line, Type.INTEGER, text)
    return Node(line, Type.NUMBER if _NUMBER.match(text) else Type.TEXT, text)
