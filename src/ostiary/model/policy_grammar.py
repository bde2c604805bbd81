"""Is a policy document one that IAM would accept, and does it open a door that it should not?

Source: IAM User Guide, "Grammar of the IAM JSON policy language", "IAM and AWS STS quotas".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ostiary.model.policy_problem import MALFORMED, WARNING, Document, Problem, listed, malformed
from ostiary.model.policy_review import dangers
from ostiary.model.policy_shape import SYNTAX, statement_problems

TRUST_SIZE, TRUST_SIZE_RAISED, INLINE_SIZE = 2_048, 4_096, 10_240  # characters without white space


def problems(
    document: Document,
    *,
    trust: bool,
    role_arn: str = "",
    own_accounts: frozenset[str] | None = None,
) -> tuple[Problem, ...]:
    """Everything wrong with a policy; the dangers only once IAM would accept it.

    ``role_arn`` is the role whose trust policy it is ("" if unknown); ``own_accounts`` the accounts of the
    organization (None: third parties cannot be told).
    """
    found = tuple(grammar_problems(document, trust=trust))
    if any(problem.severity == MALFORMED for problem in found):
        return found
    return found + tuple(
        dangers(document, trust=trust, role_arn=role_arn, own_accounts=own_accounts)
    )


def size(document: Document) -> int:
    """Characters as IAM counts them: white space does not."""
    return len("".join(json.dumps(document, ensure_ascii=False, separators=(",", ":")).split()))


def parse(text: str) -> tuple[Document | None, tuple[Problem, ...]]:
    """The JSON object in ``text``; duplicate keys and anything else are problems."""
    doubled: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            doubled.append(", ".join(sorted(found)))
        return found

    try:
        document = json.loads(text, object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:
        return None, (malformed("json", "This policy contains invalid Json", str(error)),)
    if doubled:
        return None, (malformed("duplicate-key", SYNTAX, f"write each of {doubled[0]} once"),)
    if not isinstance(document, dict):
        return None, (malformed("json", SYNTAX, "write one JSON object"),)
    return document, ()


def grammar_problems(document: Document, *, trust: bool) -> Iterator[Problem]:
    """What makes IAM refuse the document."""
    if not isinstance(document, Mapping) or not document.keys() <= {"Version", "Id", "Statement"}:
        yield malformed("elements", SYNTAX, "only Version, Id and Statement may stand at the top")
        return
    version = document.get("Version", "2008-10-17")
    if version not in ("2008-10-17", "2012-10-17"):
        yield malformed("version", SYNTAX, 'write "Version": "2012-10-17"', "Version")
    elif version == "2008-10-17" and not trust:
        text = "Policy document must be version 2012-10-17 or greater."
        yield malformed("version", text, 'write "Version": "2012-10-17"', "Version")
    held = listed(document.get("Statement", []))
    if not held:
        yield malformed("no-statement", SYNTAX, "add a Statement", "Statement")
    sids: set[str] = set()
    for number, statement in enumerate(held):
        yield from statement_problems(statement, f"Statement[{number}]", sids, trust=trust)
    yield from _sizes(document, trust=trust)


def _sizes(document: Document, *, trust: bool) -> Iterator[Problem]:
    length = size(document)
    if not trust:
        if length > INLINE_SIZE:
            text = f"Maximum policy size of {INLINE_SIZE} bytes exceeded"
            yield malformed("size", text, f"it has {length} characters: split it")
        return
    text = f"Cannot exceed quota for ACLSizePerRole: {TRUST_SIZE}"
    fix = f"it has {length} characters: merge statements, or ask AWS for {TRUST_SIZE_RAISED}"
    if length > TRUST_SIZE:
        severity = MALFORMED if length > TRUST_SIZE_RAISED else WARNING
        yield Problem("size", severity, text, fix)
