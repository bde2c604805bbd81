"""Signatures that KMS gave against certificates that the audit stands for, one to one.

Source: AWS CloudTrail User Guide, "CloudTrail record contents"; AWS KMS Developer Guide, "Logging AWS KMS API calls": an
event of kms:Sign names key, algorithm and caller, not what was signed. So each is matched by its time, and one that is
left over means that somebody had something signed that is in no audit.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ostiary.doors.servers.audit.reconcile import Books, Finding
from ostiary.errors import NotFound, OstiaryError, UsageError

APART = 15.0  # seconds between the time of an event and that of the row: KMS's answer, the commit, two clocks

EVENTS = "name files of CloudTrail, or what this writes: aws cloudtrail lookup-events --output json"


@dataclass(frozen=True, slots=True)
class Signature:
    """One event of kms:Sign that succeeded."""

    id: str
    time: float
    caller: str
    key: str  # ARN


@dataclass(frozen=True, slots=True)
class Events:
    """The signatures in files, and the time from the first to the last event of whatever kind: what the files know of."""

    signatures: tuple[Signature, ...]
    first: float
    last: float


def read(paths: Sequence[Path]) -> Events:
    """CloudTrail's log files, or what ``aws cloudtrail lookup-events`` gives; ``.gz`` too. UsageError for other files."""
    records = [record for path in paths for record in _records(path)]
    times = [_time(one) for one in records]
    if not times:
        raise UsageError(
            "cannot count signatures of KMS", why="no event is in these files", fix=EVENTS
        )
    signed = {one["eventID"]: _signature(one) for one in records if _is_signature(one)}
    return Events(tuple(sorted(signed.values(), key=lambda one: one.time)), min(times), max(times))


def unmatched(books: Books, events: Events, until: float) -> list[Finding]:
    """Signatures without a row, and rows without a signature, of every authority that is in KMS.

    ``until`` is when the audit was read: what was signed just before may have no row yet.
    """
    found: list[Finding] = []
    for authority, key in books.kms_keys.items():
        rows = sorted(books.by_authority.get(authority, ()))
        signatures = [one for one in events.signatures if one.key == key]
        alone, taken = _matched(signatures, rows)
        at = books.begun[authority]
        trial = next((one for one in alone if abs(one.time - at) <= APART), None)
        for one in alone:
            if one is not trial and one.time <= until - APART:
                text = f"{one.caller} had key {key} sign ({one.id}), and no row of the audit is it"
                found.append(Finding("signature-without-row", "", text, ()))
        without = [one for n, one in enumerate(rows) if n not in taken and _covered(one, events)]
        if without:
            text = (
                f"{len(without)} certificates by {authority} were signed by no event of key {key}"
            )
            found.append(Finding("row-without-signature", "", text, ()))
    return found


def _matched(
    signatures: Iterable[Signature], rows: Sequence[float]
) -> tuple[list[Signature], set[int]]:
    """Each signature, in order, takes the earliest row that is near enough and free: those that found none, and the rows taken."""
    alone: list[Signature] = []
    taken: set[int] = set()
    at = 0
    for one in signatures:
        while at < len(rows) and rows[at] < one.time - APART:
            at += 1
        if at < len(rows) and rows[at] <= one.time + APART:
            taken.add(at)
            at += 1
        else:
            alone.append(one)
    return alone, taken


def _covered(time: float, events: Events) -> bool:
    """Whether the signature of a row of this time must be in the files."""
    return events.first + APART <= time <= events.last - APART


def _records(path: Path) -> list[Mapping[str, Any]]:
    try:
        data = path.read_bytes()
        value = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    except FileNotFoundError as none:
        raise NotFound(f"cannot read {path}", why="there is no such file", fix=EVENTS) from none
    except (OSError, ValueError, EOFError) as wrong:
        raise UsageError(
            f"cannot read {path}", why=f"it is no JSON of CloudTrail: {wrong}", fix=EVENTS
        ) from wrong
    try:
        if "Events" in value:  # lookup-events gives each as a text
            return [json.loads(one["CloudTrailEvent"]) for one in value["Events"]]
        return [dict(one) for one in value["Records"]]
    except (KeyError, TypeError, ValueError) as wrong:
        why = "it has neither Records nor Events"
        raise UsageError(f"cannot read {path}", why=why, fix=EVENTS) from wrong


def _is_signature(record: Mapping[str, Any]) -> bool:
    named = (record.get("eventSource"), record.get("eventName"))
    return named == ("kms.amazonaws.com", "Sign") and not record.get("errorCode")


def _signature(record: Mapping[str, Any]) -> Signature:
    keys = [one["ARN"] for one in record.get("resources") or () if ":key/" in one.get("ARN", "")]
    caller = (record.get("userIdentity") or {}).get("arn", "somebody")
    named = (record.get("requestParameters") or {}).get("keyId", "")
    return Signature(record["eventID"], _time(record), caller, keys[0] if keys else named)


def _time(record: Mapping[str, Any]) -> float:
    try:
        return datetime.fromisoformat(record["eventTime"]).timestamp()
    except (KeyError, ValueError, TypeError) as wrong:
        raise OstiaryError(
            "cannot read an event of CloudTrail", why=f"its time: {wrong}"
        ) from wrong
