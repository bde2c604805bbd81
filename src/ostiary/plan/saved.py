"""A plan as JSON, and as a file that nobody changed. The shape is public and stable (``version``).

    {"version": 1, "estate": "acme", "made_at": "…", "changes": [{"action", "key", "account", "before", "after",
     "risk", "reason", …}], "summary": {"create": 2, …, "unread": 0}, "unread": [{"scope", "kinds", "why", "fix"}],
     "warnings": [], "digest": "sha256 of everything else"}

The digest finds damage and edits; it is no signature: who may write the file may also write a valid one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ostiary.errors import OstiaryError, TamperedPlan, UsageError
from ostiary.plan.change import Change, Plan, Unread, canonical
from ostiary.plan.resource import Key, Owner, Ref, Risk

VERSION = 1


def to_json(plan: Plan) -> dict[str, Any]:
    """What ``plan --json`` prints and ``--save`` writes. What is as wanted is only counted (``summary.keep``)."""
    document: dict[str, Any] = {
        "version": VERSION,
        "estate": plan.estate,
        "estate_digest": plan.estate_digest,
        "made_at": plan.made_at,
        "scopes": list(plan.scopes),
        "changes": [_change_to_json(change) for change in plan.changes],
        "summary": plan.summary(),
        "unread": [
            {"scope": one.scope, "kinds": list(one.kinds), "why": one.why, "fix": one.fix}
            for one in plan.unread
        ],
        "owned": dict(plan.owned),
        "warnings": list(plan.warnings),
    }
    return document | {"digest": digest_of(document)}


def save(plan: Plan, path: Path) -> str:
    """Write the plan to ``path``; its digest."""
    document = to_json(plan)
    try:
        path.write_bytes(_file_form(document))
    except OSError as error:
        raise OstiaryError(f"cannot save the plan to {path}", why=_of(error)) from error
    return str(document["digest"])


def load(path: Path) -> Plan:
    """Read a saved plan. TamperedPlan if a single byte is not as it was saved, UsageError if there is none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot read the plan {path}", why=_of(error), fix=f"run: ostiary plan --save {path}"
        ) from error
    again = "make it again: ostiary plan --estate FILE --save " + str(path)
    try:
        document = json.loads(data)
    except ValueError as error:
        raise TamperedPlan(f"cannot use the plan {path}", why=str(error), fix=again) from error
    if not isinstance(document, dict) or document.get("version") != VERSION:
        why = f"it is not a plan of version {VERSION}"
        raise TamperedPlan(f"cannot use the plan {path}", why=why, fix=again)
    digest = document.pop("digest", None)
    if digest != digest_of(document) or data != _file_form(document | {"digest": digest}):
        why = "its digest does not match: it was changed after it was saved"
        raise TamperedPlan(f"cannot use the plan {path}", why=why, fix=again)
    return _from_json(document)


def digest_of(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(document).encode()).hexdigest()


def _file_form(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def _change_to_json(change: Change) -> dict[str, Any]:
    return {
        "action": change.action,
        "key": str(change.key),
        "account": change.account,
        "before": change.before,
        "after": change.after,
        "differing": list(change.differing),
        "refs": {
            pointer: {"key": str(ref.key), "attribute": ref.attribute}
            for pointer, ref in change.refs.items()
        },
        "depends_on": [str(key) for key in change.depends_on],
        "risk": change.risk.value,
        "detaches": change.detaches,
        "reason": change.reason,
        "fingerprint": change.fingerprint,
        "owner": change.owner.value if change.owner else None,
        "protected": change.protected,
        "adopts": change.adopts,
        "snippet": change.snippet,
    }


def _change_from_json(row: Mapping[str, Any]) -> Change:
    return Change(
        action=row["action"],
        key=Key.parse(row["key"]),
        before=row["before"],
        after=row["after"],
        differing=tuple(row["differing"]),
        refs={
            pointer: Ref(Key.parse(ref["key"]), ref["attribute"])
            for pointer, ref in row["refs"].items()
        },
        depends_on=tuple(Key.parse(key) for key in row["depends_on"]),
        risk=Risk(row["risk"]),
        detaches=row["detaches"],
        reason=row["reason"],
        fingerprint=row["fingerprint"],
        owner=Owner(row["owner"]) if row["owner"] else None,
        protected=row["protected"],
        adopts=row["adopts"],
        snippet=row["snippet"],
    )


def _from_json(document: Mapping[str, Any]) -> Plan:
    return Plan(
        estate=document["estate"],
        estate_digest=document["estate_digest"],
        made_at=document["made_at"],
        scopes=tuple(document["scopes"]),
        changes=tuple(_change_from_json(row) for row in document["changes"]),
        keep=document["summary"]["keep"],
        unread=tuple(
            Unread(row["scope"], tuple(row["kinds"]), row["why"], row["fix"])
            for row in document["unread"]
        ),
        owned=document["owned"],
        warnings=tuple(document["warnings"]),
    )


def _of(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
