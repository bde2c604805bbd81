"""Policy documents as values: the one form of all that mean the same to IAM, and their length.

Source: IAM User Guide, "Grammar of the IAM JSON policy language": Statement may be one object; Action,
Resource, Principal and condition values may be one string or a list; the order of lists means nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def canonical(value: Any) -> Any:
    """A list of one is its item, lists are sorted, booleans and numbers are their text."""
    if isinstance(value, Mapping):
        return {key: canonical(item) for key, item in sorted(value.items())}
    if isinstance(value, list | tuple):
        items = sorted((canonical(item) for item in value), key=json.dumps)
        return items[0] if len(items) == 1 else items
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def same(one: Any, other: Any) -> bool:
    """Whether two documents, statements or elements mean the same."""
    return bool(canonical(one) == canonical(other))


def text_of(document: Any) -> str:
    """As it is sent: without white space between tokens."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def size(document: Any) -> int:
    """Characters as IAM counts them against its quotas; white space does not count."""
    return len("".join(text_of(document).split()))
