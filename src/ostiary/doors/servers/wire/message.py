"""Messages as frozen dataclasses, and the one strict way to and from JSON.

A message is a JSON object whose ``v`` is the version. A member that is missing, of another type, out of bounds or
unknown makes the whole message invalid: the two sides never guess. New optional members need a new version.
"""

from __future__ import annotations

import json
import typing
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from math import isfinite
from typing import Any, TypeVar

VERSION = 1
MOST_BYTES = 4 * 1024 * 1024
IDLE_SECONDS = 15  # that the control plane keeps a connection open for the next request
MOST_ITEMS = 100_000
MOST_TEXT = 65_536
MOST_NUMBER = 2**63 - 1  # what databases and other readers of JSON hold

M = TypeVar("M")


class InvalidMessage(ValueError):
    """What came is not the message that it should be; the text says where."""


def encode(message: Any) -> bytes:
    """The JSON of a message (a dataclass of this package)."""
    return json.dumps({"v": VERSION, **_plain(message)}, separators=(",", ":")).encode()


def decode(kind: type[M], body: bytes, most: int = MOST_BYTES) -> M:
    """The message of ``kind`` that ``body`` holds. InvalidMessage for anything else, and for more than ``most`` bytes."""
    if len(body) > most:
        raise InvalidMessage(f"longer than {most} bytes")
    try:
        value = _JSON.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidMessage("not JSON") from error
    if not isinstance(value, dict) or value.pop("v", None) != VERSION:
        raise InvalidMessage(f"not a message of version {VERSION}")
    message: M = _object(kind, value, kind.__name__)
    return message


def _no_constant(text: str) -> Any:
    raise ValueError(text)


_JSON = json.JSONDecoder(parse_constant=_no_constant)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value


def _object(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise InvalidMessage(f"{where} is no object")
    types, needed = _members(kind)
    if strange := value.keys() - types.keys():
        raise InvalidMessage(f"{where} has an unknown member {min(strange)!r}")
    if not needed <= value.keys():
        missing = next(name for name in types if name in needed and name not in value)
        raise InvalidMessage(f"{where} lacks {missing}")
    members = {}
    for name, one in value.items():
        if types[name] is str and type(one) is str and _is_text(one):  # nearly all of them
            members[name] = one
        else:
            members[name] = _value(types[name], one, f"{where}.{name}")
    return kind(**members)


@cache
def _members(kind: Any) -> tuple[dict[str, Any], frozenset[str]]:
    """The type of each member in order, and which there must be."""
    hints = typing.get_type_hints(kind)
    types = {one.name: hints[one.name] for one in fields(kind)}
    return types, frozenset(one.name for one in fields(kind) if _needed(one))


def _needed(member: Field[Any]) -> bool:
    return member.default is MISSING and member.default_factory is MISSING


def _value(kind: Any, value: Any, where: str) -> Any:
    if is_dataclass(kind):
        return _object(kind, value, where)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        if not isinstance(value, list) or len(value) > MOST_ITEMS:
            raise InvalidMessage(f"{where} is no list of at most {MOST_ITEMS}")
        return tuple(_value(inner[0], one, f"{where}[{n}]") for n, one in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict) or len(value) > MOST_ITEMS:
            raise InvalidMessage(f"{where} is no object of at most {MOST_ITEMS}")
        if not all(_is_text(name) for name in value):
            raise InvalidMessage(f"{where} has a name that is no text")
        return {name: _value(inner[1], one, f"{where}.{name}") for name, one in value.items()}
    if type(value) in (int, float):
        value = _number(kind, value, where)
    if type(value) is not kind or (kind is str and not _is_text(value)):
        raise InvalidMessage(f"{where} is no {kind.__name__}")
    return value


def _number(kind: Any, value: float, where: str) -> float:
    """A number that every reader can hold; a whole one may stand for a real one."""
    if not (
        isfinite(value) if isinstance(value, float) else -MOST_NUMBER - 1 <= value <= MOST_NUMBER
    ):
        raise InvalidMessage(f"{where} is out of bounds")
    return float(value) if kind is float else value


def _is_text(value: str) -> bool:
    """Neither too long nor with what no database, file or hash of ours can hold: NUL, half of a surrogate pair."""
    if len(value) > MOST_TEXT or "\0" in value:
        return False
    return value.isascii() or not any("\ud800" <= one <= "\udfff" for one in value)
