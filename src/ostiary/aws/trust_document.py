"""Trust policies as values: put in one statement, take it out, leave every other as it was.

Documents are parsed JSON; nothing here calls AWS. Sources: IAM User Guide, "Grammar of the IAM JSON policy
language" (a Statement may be one object; Action, Principal and condition values may be one string or a list)
and "IAM and AWS STS quotas" (a trust policy has 2,048 characters, 4,096 on request).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ostiary.aws.policy_document import canonical

LIMIT = 2048

# IAM refuses a trust policy without a statement; this one lets nobody in and leaves with our next statement.
NOBODY: dict[str, Any] = {
    "Sid": "OstiaryNobody",
    "Effect": "Deny",
    "Principal": {"AWS": "*"},
    "Action": "sts:AssumeRole",
}

Document = Mapping[str, Any]


def sid_prefix(estate: str) -> str:
    """The start of every Sid of ours in this estate; Sids take letters and digits only."""
    return "Ostiary" + hashlib.sha256(estate.encode()).hexdigest()[:8]


def statements(document: Document) -> list[Any]:
    """The statements as a list, however they are written."""
    listed = document.get("Statement", [])
    return list(listed) if isinstance(listed, list) else [listed]


def statement_of(document: Document, sid: str) -> dict[str, Any] | None:
    """The statement with that Sid."""
    return next((one for one in statements(document) if one.get("Sid") == sid), None)


def with_statement(document: Document, statement: Mapping[str, Any]) -> dict[str, Any]:
    """The document with ``statement`` in the place of the one with its Sid, or at the end.

    A document without Version stays so: with one, ``${…}`` in foreign statements would mean something else.
    """
    sid = statement["Sid"]
    kept = [one for one in statements(document) if one != NOBODY]
    if any(one.get("Sid") == sid for one in kept):
        merged = [dict(statement) if one.get("Sid") == sid else one for one in kept]
    else:
        merged = [*kept, dict(statement)]
    return {**document, "Statement": merged}


def without_statement(document: Document, sid: str) -> dict[str, Any]:
    """The document without the statement of that Sid; never without any statement (see ``NOBODY``)."""
    kept = [one for one in statements(document) if one.get("Sid") != sid]
    return {**document, "Statement": kept or [NOBODY]}


def foreign(document: Document, sid: str) -> list[Any]:
    """Every other statement in order, in canonical form: what a write must leave as it was."""
    return [
        canonical(one) for one in statements(document) if one.get("Sid") != sid and one != NOBODY
    ]


def is_ours(statement: Mapping[str, Any], prefix: str) -> bool:
    """Whether we wrote it: our Sid, and it lets in whom a provider vouches for, as all that we write does."""
    principal = statement.get("Principal")
    named = isinstance(principal, Mapping) and "Federated" in principal
    return named and str(statement.get("Sid", "")).startswith(prefix)


def others_let_in(document: Document, prefix: str, provider_arn: str = "") -> list[str]:
    """The Sids of what others wrote to let somebody in (by this provider), "" where there is none."""
    named = f'"{provider_arn}"' if provider_arn else ""
    return [
        str(one.get("Sid", ""))
        for one in statements(document)
        if one.get("Effect") == "Allow"
        and not is_ours(one, prefix)
        and named in json.dumps(one.get("Principal"))
    ]


def providers_named(document: Document, prefix: str) -> set[str]:
    """Names of the SAML providers that statements with a Sid starting with ``prefix`` let in."""
    found: set[str] = set()
    for one in statements(document):
        principal = one.get("Principal")
        if not str(one.get("Sid", "")).startswith(prefix) or not isinstance(principal, Mapping):
            continue
        named = principal.get("Federated", [])
        for arn in named if isinstance(named, list) else [named]:
            head, _, name = str(arn).partition(":saml-provider/")
            if head and name:
                found.add(name)
    return found


def snippet(role: str, statement: Mapping[str, Any]) -> str:
    """What the owner of a role that is not ours to write is asked to add, as text to paste."""
    return f"add to the trust policy of role {role}:\n{json.dumps(dict(statement), indent=2)}"
