"""Blocks of completed snapshots: listed, compared, read. How they get there is ``snapshots.py``'s.

Source: EBS direct APIs API Reference, ListSnapshotBlocks, ListChangedBlocks, GetSnapshotBlock.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.images.snapshots import get, images_of, refused
from ostiary.sandbox.aws.images.state import BLOCK, Snapshot

PAGE = 1000


def list_snapshot_blocks(call: Call) -> dict[str, Any]:
    snapshot = _completed(call, call.params["SnapshotId"])
    listed, more = _page(call, sorted(snapshot.blocks))
    answer: dict[str, Any] = {
        "Blocks": [{"BlockIndex": one, "BlockToken": _token(snapshot, one)} for one in listed],
        **_about(snapshot, call),
    }
    return answer | more


def list_changed_blocks(call: Call) -> dict[str, Any]:
    second = _completed(call, call.params["SecondSnapshotId"])
    first = call.params.get("FirstSnapshotId")
    before = _completed(call, first).blocks if first else {}
    changed = sorted(
        index
        for index in before.keys() | second.blocks.keys()
        if before.get(index) != second.blocks.get(index)
    )
    listed, more = _page(call, changed)
    blocks = []
    for index in listed:
        entry: dict[str, Any] = {"BlockIndex": index}
        if first and index in before:
            entry["FirstBlockToken"] = _token(images_of(call).snapshots[first], index)
        if index in second.blocks:
            entry["SecondBlockToken"] = _token(second, index)
        blocks.append(entry)
    return {"ChangedBlocks": blocks, **_about(second, call), **more}


def get_snapshot_block(call: Call) -> dict[str, Any]:
    snapshot = _completed(call, call.params["SnapshotId"])
    index = call.params["BlockIndex"]
    if index not in snapshot.blocks or call.params["BlockToken"] != _token(snapshot, index):
        raise refused("INVALID_BLOCK_TOKEN", "The block token is not one of this block.")
    return {
        "DataLength": BLOCK,
        "BlockData": snapshot.read(index),
        "Checksum": snapshot.blocks[index],
        "ChecksumAlgorithm": "SHA256",
    }


def _completed(call: Call, snapshot_id: str) -> Snapshot:
    snapshot = get(call, snapshot_id)
    if snapshot.state != "completed":
        raise refused("INVALID_SNAPSHOT_ID", f"The snapshot {snapshot.id} is {snapshot.state}.")
    return snapshot


def _page(call: Call, indexes: list[int]) -> tuple[list[int], dict[str, Any]]:
    size = call.params.get("MaxResults", PAGE)
    first = call.params.get("StartingBlockIndex", 0)
    if token := call.params.get("NextToken"):
        try:
            first = int(base64.urlsafe_b64decode(token.encode()))
        except (binascii.Error, ValueError) as error:
            raise refused("INVALID_PAGE_TOKEN", "The page token is not one of ours.") from error
    left = [one for one in indexes if one >= first]
    more = {}
    if len(left) > size:
        more["NextToken"] = base64.urlsafe_b64encode(str(left[size]).encode()).decode()
    return left[:size], more


def _about(snapshot: Snapshot, call: Call) -> dict[str, Any]:
    return {"ExpiryTime": call.now + 7 * 86400, "VolumeSize": snapshot.size, "BlockSize": BLOCK}


def _token(snapshot: Snapshot, index: int) -> str:
    seen = f"{snapshot.id}/{index}/{snapshot.blocks[index]}".encode()
    return base64.b64encode(hashlib.sha256(seen).digest()).decode()
