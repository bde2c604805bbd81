"""The digests of all blocks of a snapshot, kept beside the runs: what a next version is compared with.

Stored as ``gateway/blocks/SNAPSHOT``: a line of JSON, then 36 bytes a block (index, SHA-256), sorted.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

from ostiary.errors import Conflict
from ostiary.plan.runs import RunStore

_ROW = struct.Struct(">I32s")


def _name(snapshot_id: str) -> str:
    return f"gateway/blocks/{snapshot_id}"


def keep(store: RunStore, snapshot_id: str, digests: Mapping[int, bytes]) -> None:
    head = json.dumps({"snapshot": snapshot_id, "blocks": len(digests)}).encode()
    rows = b"".join(_ROW.pack(index, digests[index]) for index in sorted(digests))
    store.put(_name(snapshot_id), head + b"\n" + rows)


def load(store: RunStore, snapshot_id: str) -> dict[int, bytes] | None:
    """Digest by block; None when nothing is known of this snapshot. Conflict if what is kept is damaged."""
    kept = store.get(_name(snapshot_id))
    if kept is None:
        return None
    head, _, rows = kept.data.partition(b"\n")
    try:
        count = json.loads(head)["blocks"]
    except (ValueError, KeyError, TypeError):
        count = -1
    if count * _ROW.size != len(rows):
        raise Conflict(
            f"cannot trust the digests kept of {snapshot_id}",
            why="their number is wrong",
            fix="leave --parent out: then every block is sent",
        )
    return dict(_ROW.iter_unpack(rows))


def forget(store: RunStore, snapshot_id: str) -> None:
    store.delete(_name(snapshot_id))
