"""Filters and tags of what EC2 describes: the same for images, snapshots and import tasks.

Source: Amazon EC2 User Guide, "Filter your resources": values may hold * and ?, a filter's values are alternatives.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError


def filtered(
    call: Call, found: list[dict[str, Any]], names: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Those that pass the call's Filters; ``names`` maps a filter to the member that it looks at.

    A filter that is not known is refused, as EC2 does. Case matters.
    """
    for one in call.params.get("Filters") or ():
        name, values = one.get("Name", ""), one.get("Values") or ()
        if name.startswith("tag:"):
            key = name.removeprefix("tag:")
            found = [x for x in found if _any(dict(_pairs(x)).get(key), values)]
        elif name == "tag-key":
            found = [x for x in found if any(_any(key, values) for key, _ in _pairs(x))]
        elif name in names:
            found = [x for x in found if _any(_text(x.get(names[name])), values)]
        else:
            raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
    return found


def _pairs(shown: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(one["Key"], one["Value"]) for one in shown["Tags"]]


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)


def _any(value: str | None, patterns: Sequence[str]) -> bool:
    return value is not None and any(_matches(value, pattern) for pattern in patterns)


def _matches(value: str, pattern: str) -> bool:
    parts = re.split(r"([*?])", pattern)
    wild = {"*": ".*", "?": "."}
    return bool(re.fullmatch("".join(wild.get(x, re.escape(x)) for x in parts), value, re.DOTALL))


def shown_tags(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tags_at_creation(params: Mapping[str, Any], kind: str) -> dict[str, str]:
    """The tags that a creating call gives to its resource of this type. Raises as ``checked_tags`` does."""
    return checked_tags(
        {
            one["Key"]: one.get("Value", "")
            for specification in params.get("TagSpecifications") or ()
            if specification.get("ResourceType") == kind
            for one in specification.get("Tags") or ()
        }
    )


def checked_tags(tags: dict[str, str]) -> dict[str, str]:
    """``tags``, if EC2 takes them. Source: Amazon EC2 User Guide, "Tag restrictions"; words unverified."""
    for key, value in tags.items():
        if key.lower().startswith("aws:"):
            raise AwsError(
                "InvalidParameterValue",
                f"Tag keys starting with 'aws:' are reserved for internal use: {key}",
            )
        if not 1 <= len(key) <= _KEY or len(value) > _VALUE:
            raise AwsError(
                "InvalidParameterValue",
                f"Tag key exceeds the maximum length of {_KEY} or its value that of {_VALUE}: {key[:40]}",
            )
    if len(tags) > MOST_TAGS:
        raise AwsError("TagLimitExceeded", "The maximum number of tags for a resource is reached.")
    return tags


MOST_TAGS = 50
_KEY, _VALUE = 128, 256
