"""Snapshots as EC2 sees them: described, deleted, looked up for an AMI. How they are written is ``snapshots.py``'s.

Source: Amazon EC2 API Reference, DescribeSnapshots, DeleteSnapshot.
"""

from __future__ import annotations

import re
from typing import Any

from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.images.described import filtered, shown_tags
from ostiary.sandbox.aws.images.snapshots import images_of, settle
from ostiary.sandbox.aws.images.state import Snapshot

_ID = re.compile(r"snap-[0-9a-f]{8}(?:[0-9a-f]{9})?")


def owned_snapshot(call: Call, snapshot_id: str) -> Snapshot:
    if not _ID.fullmatch(snapshot_id):
        raise AwsError("InvalidSnapshotID.Malformed", f'Invalid id: "{snapshot_id}"')
    snapshot = images_of(call).snapshots.get(snapshot_id)
    if snapshot is None or (snapshot.account_id, snapshot.region) != (call.account.id, call.region):
        raise AwsError("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")
    settle(call, snapshot)
    return snapshot


def describe_snapshots(call: Call) -> dict[str, Any]:
    wanted = call.params.get("SnapshotIds") or ()
    for snapshot_id in wanted:
        owned_snapshot(call, snapshot_id)
    owners = call.params.get("OwnerIds") or ()
    found = []
    for one in images_of(call).snapshots.values():
        if (one.account_id, one.region) != (call.account.id, call.region):
            continue
        if (wanted and one.id not in wanted) or (
            owners and not {"self", call.account.id} & set(owners)
        ):
            continue
        settle(call, one)
        found.append(_shown(one))
    return {"Snapshots": filtered(call, found, _FILTERS)}


_FILTERS = {
    "snapshot-id": "SnapshotId",
    "status": "State",
    "description": "Description",
    "owner-id": "OwnerId",
    "encrypted": "Encrypted",
    "volume-size": "VolumeSize",
    "progress": "Progress",
}


def _shown(one: Snapshot) -> dict[str, Any]:
    return {
        "SnapshotId": one.id,
        "OwnerId": one.account_id,
        "State": one.state,
        "StateMessage": one.message,
        "Progress": "100%" if one.state == "completed" else "0%",
        "StartTime": one.started,
        "VolumeSize": one.size,
        "VolumeId": "vol-ffffffff",  # what EC2 shows for a snapshot that was made of no volume
        "Description": one.description,
        "Encrypted": one.encrypted,
        "StorageTier": "standard",
        "Tags": shown_tags(one.tags),
        **({"KmsKeyId": one.kms_key} if one.kms_key else {}),
    }


def delete_snapshot(call: Call) -> dict[str, Any]:
    snapshot = owned_snapshot(call, call.params["SnapshotId"])
    if user := used_by(call, snapshot.id):
        raise AwsError(
            "InvalidSnapshot.InUse", f"The snapshot {snapshot.id} is currently in use by {user}"
        )
    remove(call, snapshot)
    return {}


def used_by(call: Call, snapshot_id: str) -> str:
    """The id of an AMI that is made of the snapshot, "" when there is none."""
    every = images_of(call).images.values()
    return next((one.id for one in every if snapshot_id in one.snapshots), "")


def remove(call: Call, snapshot: Snapshot) -> None:
    """Forget a snapshot. Its bytes stay as long as one that was made upon it refers to them."""
    snapshots = images_of(call).snapshots
    del snapshots[snapshot.id]
    if not any(one.base is snapshot for one in snapshots.values()):
        snapshot.file.unlink(missing_ok=True)
