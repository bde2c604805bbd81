"""Will a person's assertion fit? STS takes 100,000 characters of base64 (API reference, AssumeRoleWithSAML).

Counted in the shape in which Okta writes role values; what surrounds them is an estimate with room to spare.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from xml.sax.saxutils import escape

LIMIT = 100_000
WARN_FROM = 80_000
SURROUNDINGS = (
    8_000  # bytes: two signatures with certificates, subject, conditions, other attributes
)
_VALUE = (
    '<saml2:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">'
    "</saml2:AttributeValue>"
)


def assertion_size(values: Iterable[str]) -> int:
    """Characters of base64 for an assertion with these role values."""
    return _in_base64(sum(map(_cost, values)))


def size_notes(
    offers: Iterable[tuple[str, Collection[str]]],
) -> tuple[list[str], list[str]]:
    """(problems, warnings) from role values and the logins of those who are offered each."""
    costs: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for value, logins in offers:
        cost = _cost(value)
        counts.update(logins)
        for login in logins:
            costs[login] += cost
    problems, warnings = [], []
    for login, cost in sorted(costs.items()):
        size = _in_base64(cost)
        text = f"{login} would be offered {counts[login]} roles, an assertion of about {size:,} characters"
        if size > LIMIT:
            problems.append(f"{text}; AWS takes {LIMIT:,}")
        elif size >= WARN_FROM:
            warnings.append(f"{text}; AWS takes {LIMIT:,}")
    return problems, warnings


def _cost(value: str) -> int:
    return len(_VALUE) + len(escape(value).encode())


def _in_base64(size: int) -> int:
    return -(-(SURROUNDINGS + size) // 3) * 4
