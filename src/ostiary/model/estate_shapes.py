"""What the shapes of the estate are written with, as parts of a JSON Schema."""

from __future__ import annotations

from typing import Any

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$"
DURATION = r"^([0-9]{1,2}h)?([0-9]{1,3}m)?$"
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

Shape = dict[str, dict[str, Any]]


def text(description: str, pattern: str | None = None, **more: Any) -> dict[str, Any]:
    return (
        {"type": "string", "description": description}
        | ({"pattern": pattern} if pattern else {})
        | more
    )


def texts(description: str, pattern: str | None = None) -> dict[str, Any]:
    """One text, or a list of different ones."""
    item = text(description, pattern)
    return {"anyOf": [item, {"type": "array", "items": item, "uniqueItems": True, "minItems": 1}]}


def flag(description: str, *, default: bool) -> dict[str, Any]:
    return {"type": "boolean", "description": description, "default": default}


def number(description: str, low: int, high: int, default: int) -> dict[str, Any]:
    return {
        "type": "integer",
        "minimum": low,
        "maximum": high,
        "default": default,
        "description": description,
    }


def texts_by_name(description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "additionalProperties": {"type": "string"},
    }


def shape_of(shape: str, **more: Any) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{shape}", **more}


def named(shape: str, pattern: str, description: str) -> dict[str, Any]:
    """A mapping of names to things of one shape."""
    return {
        "type": "object",
        "description": description,
        "propertyNames": {"pattern": pattern},
        "additionalProperties": shape_of(shape),
    }
