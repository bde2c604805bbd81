"""Values that other resources will have: found in a wanted value, filled in, shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import cast

from ostiary.plan.resource import Json, Ref, Value


def collect(value: object, pointer: str = "") -> Iterator[tuple[str, Ref]]:
    """Every Ref in ``value`` with its place as a JSON pointer (RFC 6901)."""
    if isinstance(value, Ref):
        yield pointer, value
    elif isinstance(value, Mapping):
        for name, child in value.items():
            yield from collect(child, f"{pointer}/{_escape(name)}")
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from collect(child, f"{pointer}/{index}")


def fill(value: Value, known: Callable[[Ref], str | None]) -> Value:
    """A copy with every known Ref replaced; the others stay."""
    if isinstance(value, Ref):
        text = known(value)
        return value if text is None else text
    if isinstance(value, dict):
        return {name: fill(child, known) for name, child in value.items()}
    if isinstance(value, list):
        return [fill(child, known) for child in value]
    return value


def shown(value: Value) -> Json:
    """A copy for people and JSON: a Ref reads ``(known after apply: …)``."""
    return cast("Json", fill(value, str))


def put(value: Json, pointer: str, text: str) -> None:
    """Set the string at ``pointer`` inside ``value``, which has that place."""
    *path, last = [_unescape(part) for part in pointer.split("/")[1:]]
    target = value
    for part in path:
        target = target[int(part)] if isinstance(target, list) else _child(target, part)
    if isinstance(target, list):
        target[int(last)] = text
    elif isinstance(target, dict):
        target[last] = text
    else:
        raise TypeError(f"no place {pointer} in the value")


def _child(target: Json, part: str) -> Json:
    if not isinstance(target, dict):
        raise TypeError(f"no place {part} in the value")
    return target[part]


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _unescape(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")
