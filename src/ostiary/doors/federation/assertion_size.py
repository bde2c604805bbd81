"""Will a person's assertion fit? STS takes 100,000 characters of base64 (API reference, AssumeRoleWithSAML).

Counted in the shape in which Okta writes role values; what surrounds them is an estimate with room to spare.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
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
    size = SURROUNDINGS + sum(len(_VALUE) + len(escape(value).encode()) for value in values)
    return -(-size // 3) * 4


def size_notes(
    offers: Iterable[tuple[str, str]], values: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """(problems, warnings) from (login, role group) pairs and the value that each role group gives."""
    offered: dict[str, set[str]] = defaultdict(set)
    for login, group in offers:
        offered[login].add(values[group])
    problems, warnings = [], []
    for login, several in sorted(offered.items()):
        size = assertion_size(several)
        text = f"{login} would be offered {len(several)} roles, an assertion of about {size:,} characters"
        if size > LIMIT:
            problems.append(f"{text}; AWS takes {LIMIT:,}")
        elif size >= WARN_FROM:
            warnings.append(f"{text}; AWS takes {LIMIT:,}")
    return problems, warnings
