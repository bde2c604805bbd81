"""The Condition element: every operator of the IAM grammar over a request's context.

Operators are and-ed, keys inside one are and-ed, values of a key are or-ed (nor-ed for negated operators).
A key that the request lacks fails a plain operator, satisfies ``…IfExists`` and, as in AWS, a negated one.
An operator that we do not know, or a value that cannot be parsed, is undecided: the statement that holds it
never allows and, if it denies, denies (``condition_holds`` returns None).

Policy variables count in string, ARN and boolean operators only.

Source: IAM User Guide, "IAM JSON policy elements: Condition operators", "Single-valued vs. multivalued context
keys" and "Multiple context keys or values".
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from ostiary.model.policy_match import ARN_PARTS, Context, arn_glob, matches, substituted

Test = Callable[[str, str, "Context | None"], bool]


class _Undecided(Exception):
    """An operator or a value that cannot be judged."""


def _text(wanted: str, context: Context | None) -> str:
    if context is None or "${" not in wanted:
        return wanted
    filled = substituted(wanted, context)
    if filled is None:
        raise LookupError(wanted)
    return filled


def _string_equals(wanted: str, actual: str, context: Context | None) -> bool:
    return _text(wanted, context) == actual


def _string_equals_ignore_case(wanted: str, actual: str, context: Context | None) -> bool:
    return _text(wanted, context).casefold() == actual.casefold()


def _like(wanted: str, actual: str, context: Context | None) -> bool:
    result = matches(wanted, actual, context)
    if result is None:
        raise LookupError(wanted)
    return result


def _arn_like(wanted: str, actual: str, context: Context | None) -> bool:
    if context is None or "${" not in wanted:
        return arn_glob(wanted, actual)
    ours, theirs = _arn_parts(wanted), actual.split(":", ARN_PARTS - 1)
    if len(ours) != ARN_PARTS or len(theirs) != ARN_PARTS:
        return False
    return all(_like(w, a, context) for w, a in zip(ours, theirs, strict=True))


def _arn_parts(pattern: str) -> list[str]:
    """Split at the colons outside ``${…}``."""
    parts, depth = [""], 0
    for char in pattern:
        depth += (char == "{") - (char == "}" and depth > 0)
        if char == ":" and not depth and len(parts) < ARN_PARTS:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _Undecided(text) from None


def _numeric(compare: Callable[[float, float], bool]) -> Test:
    def test(wanted: str, actual: str, _context: Context | None) -> bool:
        return compare(_number(actual), _number(wanted))

    return test


@lru_cache(maxsize=1024)
def _moment(text: str) -> float:
    """Seconds since the epoch from a number or a W3C date (``2026``, ``2026-11-23``, ``2026-11-23T10:00:00Z``)."""
    if len(text) == 4 and text.isdecimal():  # noqa: PLR2004 - a year alone
        text += "-01-01"
    try:
        return float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise _Undecided(text) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _date(compare: Callable[[float, float], bool]) -> Test:
    def test(wanted: str, actual: str, _context: Context | None) -> bool:
        return compare(_moment(actual), _moment(wanted))

    return test


def _bool(wanted: str, actual: str, context: Context | None) -> bool:
    text = _text(wanted, context).lower()
    if text not in ("true", "false"):
        raise _Undecided(wanted)
    return text == actual.lower()


def _binary(wanted: str, actual: str, _context: Context | None) -> bool:
    try:
        return base64.b64decode(wanted, validate=True) == base64.b64decode(actual, validate=True)
    except ValueError:
        raise _Undecided(wanted) from None


@lru_cache(maxsize=1024)
def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise _Undecided(text) from None


def _ip(wanted: str, actual: str, _context: Context | None) -> bool:
    try:
        address = ipaddress.ip_address(actual)
    except ValueError:
        return False
    network = _network(wanted)
    return address.version == network.version and address in network


_POSITIVE: Mapping[str, Test] = {
    "stringequals": _string_equals,
    "stringequalsignorecase": _string_equals_ignore_case,
    "stringlike": _like,
    "numericequals": _numeric(lambda a, w: a == w),
    "numericlessthan": _numeric(lambda a, w: a < w),
    "numericlessthanequals": _numeric(lambda a, w: a <= w),
    "numericgreaterthan": _numeric(lambda a, w: a > w),
    "numericgreaterthanequals": _numeric(lambda a, w: a >= w),
    "dateequals": _date(lambda a, w: a == w),
    "datelessthan": _date(lambda a, w: a < w),
    "datelessthanequals": _date(lambda a, w: a <= w),
    "dategreaterthan": _date(lambda a, w: a > w),
    "dategreaterthanequals": _date(lambda a, w: a >= w),
    "bool": _bool,
    "binaryequals": _binary,
    "ipaddress": _ip,
    "arnequals": _arn_like,
    "arnlike": _arn_like,
}
_NEGATED: Mapping[str, Test] = {
    "stringnotequals": _string_equals,
    "stringnotequalsignorecase": _string_equals_ignore_case,
    "stringnotlike": _like,
    "numericnotequals": _numeric(lambda a, w: a == w),
    "datenotequals": _date(lambda a, w: a == w),
    "notipaddress": _ip,
    "arnnotequals": _arn_like,
    "arnnotlike": _arn_like,
}
_NULL = "null"


@lru_cache(maxsize=512)
def operator(name: str) -> tuple[str, Test | None, bool, bool] | None:
    """(set qualifier or "", test or None for Null, negated, if exists); None for an operator that IAM lacks."""
    qualifier, _, rest = name.lower().rpartition(":")
    if qualifier not in ("", "forallvalues", "foranyvalue"):
        return None
    if rest == _NULL:
        return (qualifier, None, False, False) if not qualifier else None
    plain = rest.removesuffix("ifexists")
    if plain in _POSITIVE:
        return qualifier, _POSITIVE[plain], False, plain != rest
    if plain in _NEGATED:
        return qualifier, _NEGATED[plain], True, plain != rest
    return None


def values(element: Any) -> Sequence[str]:
    """A condition's values as texts (JSON booleans and numbers are allowed where texts are)."""
    if isinstance(element, str):
        return (element,)
    items = element if isinstance(element, list) else [element]
    return [str(one).lower() if isinstance(one, bool) else str(one) for one in items]


def _holds_for(test: Test, wanted: Sequence[str], actual: str, context: Context | None) -> bool:
    for one in wanted:
        try:
            if test(one, actual, context):
                return True
        except LookupError:  # a variable without a value equals nothing
            continue
    return False


def _key_holds(
    parsed: tuple[str, Test | None, bool, bool],
    key: str,
    wanted: Sequence[str],
    context: Context,
    variables: Context | None,
) -> bool:
    qualifier, test, negated, if_exists = parsed
    actual = context.get(key.lower())
    if test is None:
        return any((actual is None) == (text.lower() == "true") for text in wanted)
    if actual is None:
        return if_exists or qualifier == "forallvalues" or (negated and qualifier != "foranyvalue")
    present = (actual,) if isinstance(actual, str) else actual
    results = (_holds_for(test, wanted, one, variables) != negated for one in present)
    if qualifier == "foranyvalue" or (not qualifier and not negated):
        return any(results)
    return all(results)


def condition_holds(condition: Any, context: Context, variables: Context | None) -> bool | None:
    """Whether every condition holds. ``context`` has lower-case keys; ``variables`` is it, or None before 2012-10-17.

    None: undecided (unknown operator or malformed value), and nothing else fails.
    """
    if condition is None:
        return True
    if not isinstance(condition, Mapping):
        return None
    undecided = False
    for name, keys in condition.items():
        parsed = operator(name)
        if parsed is None or not isinstance(keys, Mapping):
            undecided = True
            continue
        for key, element in keys.items():
            try:
                if not _key_holds(parsed, key, values(element), context, variables):
                    return False
            except _Undecided:
                undecided = True
    return None if undecided else True
