"""Verifying an exported audit, beside the least that a script of the standard library must do with the same file."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from measure import Bar

from ostiary.doors.servers.audit import segment
from ostiary.doors.servers.audit.verify import verify
from ostiary.doors.servers.control.chain import START_HEAD, Head, link
from ostiary.doors.servers.wire.admin import AuditRow

PROJECT = "prj_aaaaaaaaaaaaaaaa"
ROUNDS = 3
NEAR = 0.9  # as much as the noise of a shared machine


def bars(rows: int) -> Iterator[Bar]:
    """``rows`` of the kind that issuing writes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "audit.jsonl")
        _write(file, rows)
        ours = max(_rate(rows, lambda: _verified(file, rows)) for _ in range(ROUNDS))
        peer = max(_rate(rows, lambda: _by_hand(file)) for _ in range(ROUNDS))
        alone = max(_rate(rows, lambda: _hashed(file)) for _ in range(ROUNDS))
        yield Bar(
            f"audit verify, {rows} rows of {file.stat().st_size // rows} bytes",
            f"{ours:,.0f} rows/s",
            f"json + hashlib {peer:,.0f} rows/s; hashlib alone over the lines {alone:,.0f}",
            "at least json + hashlib",
            ok=ours >= NEAR * peer,
        )


def _write(file: Path, count: int) -> None:
    head = START_HEAD
    with file.open("wb") as stream:
        stream.write(segment.beginning(PROJECT, head))
        for number in range(count):
            row = link(head, PROJECT, "certificate.issued", _body(number), 1.8e9 + number / 10)
            head = Head(row.number, row.hash)
            stream.write(segment.lines([AuditRow(**asdict(row))]))


def _body(number: int) -> dict[str, object]:
    return {
        "serial": str(7_000_000_000_000_000_000 + number),
        "purpose": "login",
        "principal": "ada@srv_abcdefghjkmnpqrs",
        "key": "SHA256:" + "k" * 43,
        "valid_after": 1_800_000_000,
        "valid_before": 1_800_000_180,
        "options": ["permit-pty", "person@ostiary=ada@acme.example", "project@ostiary=prod"],
        "person": "00u1abcdefghijklmnop",
        "device": "dev_abcdefghjkmnpqrs",
        "server": "srv_abcdefghjkmnpqrs",
        "authority": "ca_abcdefghjkmnpqrs",
        "source": "203.0.113.7",
        "because": ["group:sre"],
    }


def _verified(file: Path, rows: int) -> None:
    found = verify([file])
    assert (found.whole, found.rows) == (True, rows)


def _by_hand(file: Path) -> None:
    """The chain followed by the standard library alone, as an auditor would write it."""
    with file.open("rb") as lines:
        before = json.loads(next(lines))["hash"]
        for line in lines:
            row = json.loads(line)
            digest = hashlib.sha256(bytes.fromhex(before))
            fields = ("project_id", "number", "time", "event", "body")
            for field in (str(row[name]).encode() for name in fields):
                digest.update(len(field).to_bytes(8, "big"))
                digest.update(field)
            before = digest.hexdigest()
            assert before == row["hash"]


def _hashed(file: Path) -> None:
    with file.open("rb") as lines:
        for line in lines:
            hashlib.sha256(line).hexdigest()


def _rate(rows: int, work) -> float:  # noqa: ANN001 - a function without arguments
    began = time.perf_counter()
    work()
    return rows / (time.perf_counter() - began)
