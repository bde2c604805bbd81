"""EBS direct APIs as strict as they are: block size, checksums, counts, tokens, time.

Source: Amazon EBS User Guide, "EBS direct APIs"; EBS direct APIs API Reference. The words of errors are unverified but for
their codes and reasons, which are the model's.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from ostiary.sandbox.aws import kms_keys
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.images.state import BLOCK, GIB, Images, Snapshot

MOST_PENDING = 100
MOST_GIB = 65536


def images_of(call: Call) -> Images:
    return call.cloud.images


def refused(reason: str, message: str) -> AwsError:
    """ValidationException with its ``Reason`` member, as the model has it."""
    return AwsError("ValidationException", message, 400, {"Reason": reason})


def settle(call: Call, snapshot: Snapshot) -> None:
    """What time does to a snapshot."""
    if snapshot.state != "pending":
        return
    if snapshot.sealed:
        if call.now >= snapshot.sealed + images_of(call).settling:
            snapshot.state = "completed"
    elif snapshot.timeout and call.now >= snapshot.touched + snapshot.timeout:
        snapshot.state = "error"
        snapshot.message = "The snapshot was not completed in time"


def get(call: Call, snapshot_id: str) -> Snapshot:
    snapshot = images_of(call).snapshots.get(snapshot_id)
    mine = snapshot is not None and (snapshot.account_id, snapshot.region) == (
        call.account.id,
        call.region,
    )
    if snapshot is None or not mine:
        raise AwsError(
            "ResourceNotFoundException",
            f"The snapshot '{snapshot_id}' does not exist.",
            404,
            {"Reason": "SNAPSHOT_NOT_FOUND"},
        )
    settle(call, snapshot)
    return snapshot


def start_snapshot(call: Call) -> dict[str, Any]:
    params = call.params
    images = images_of(call)
    asked = {name: params.get(name) for name in sorted(params) if name != "ClientToken"}
    known = _same_token(call)
    if known is not None:
        if known.asked != asked:
            raise AwsError(
                "ConflictException",
                "The request uses the same client token as a previous, but non-identical request.",
                409,
            )
        return _started(known)
    size = _sized(call)
    parent = _parent(call, size)
    _check_key(call)
    _check_quota(call)
    snapshot_id = images.new_id("snap")
    snapshot = Snapshot(
        snapshot_id,
        call.account.id,
        call.region,
        size,
        images.new_file(snapshot_id, size * GIB),
        call.now,
        touched=call.now,
        description=params.get("Description", ""),
        parent=parent.id if parent else "",
        base=parent,
        blocks=dict(parent.blocks) if parent else {},
        encrypted=bool(params.get("Encrypted")) or bool(parent and parent.encrypted),
        kms_key=params.get("KmsKeyArn", "") or (parent.kms_key if parent else ""),
        timeout=60.0 * params.get("Timeout", 60),
        token=params.get("ClientToken", ""),
        asked=asked,
        tags={one["Key"]: one.get("Value", "") for one in params.get("Tags") or ()},
    )
    images.snapshots[snapshot_id] = snapshot
    return _started(snapshot)


def _check_key(call: Call) -> None:
    named = call.params.get("KmsKeyArn")
    if not named:
        return
    if not call.params.get("Encrypted"):
        raise refused("INVALID_PARAMETER_VALUE", "KmsKeyArn needs Encrypted.")
    if kms_keys.key_arn(call, named) is None:
        raise AwsError(
            "ResourceNotFoundException",
            f"The KMS key {named} does not exist or is not enabled.",
            404,
            {"Reason": "DEPENDENCY_RESOURCE_NOT_FOUND"},
        )


def _check_quota(call: Call) -> None:
    open_ones = 0
    for one in images_of(call).snapshots.values():
        if one.timeout and (one.account_id, one.region) == (call.account.id, call.region):
            settle(call, one)
            open_ones += one.state == "pending"
    if open_ones >= MOST_PENDING:
        raise AwsError(
            "ConcurrentLimitExceededException",
            "You have reached the limit for concurrent API requests.",
        )


def _same_token(call: Call) -> Snapshot | None:
    wanted = (call.params.get("ClientToken"), call.account.id, call.region)
    if not wanted[0]:
        return None
    every = images_of(call).snapshots.values()
    return next((one for one in every if (one.token, one.account_id, one.region) == wanted), None)


def _parent(call: Call, size: int) -> Snapshot | None:
    params = call.params
    if not params.get("ParentSnapshotId"):
        return None
    if "Encrypted" in params or params.get("KmsKeyArn"):
        raise refused(
            "INVALID_PARAMETER_VALUE",
            "Encrypted and KmsKeyArn cannot be given together with ParentSnapshotId.",
        )
    parent = get(call, params["ParentSnapshotId"])
    if parent.state != "completed":
        raise refused("INVALID_SNAPSHOT_ID", "The parent snapshot is not completed.")
    if size < parent.size:
        raise refused("INVALID_VOLUME_SIZE", "The volume is smaller than that of the parent.")
    return parent


def _sized(call: Call) -> int:
    size: int = call.params["VolumeSize"]
    if not 1 <= size <= MOST_GIB:
        raise refused("INVALID_VOLUME_SIZE", f"VolumeSize {size} is not 1 to {MOST_GIB} GiB.")
    return size


def _started(snapshot: Snapshot) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "Description": snapshot.description,
        "SnapshotId": snapshot.id,
        "OwnerId": snapshot.account_id,
        "Status": snapshot.state,
        "StartTime": snapshot.started,
        "VolumeSize": snapshot.size,
        "BlockSize": BLOCK,
        "Tags": [{"Key": key, "Value": value} for key, value in snapshot.tags.items()],
    }
    if snapshot.parent:
        answer["ParentSnapshotId"] = snapshot.parent
    if snapshot.kms_key:
        answer["KmsKeyArn"] = snapshot.kms_key
    return answer


def put_snapshot_block(call: Call) -> dict[str, Any]:
    params = call.params
    snapshot = _pending(call)
    index, data = params["BlockIndex"], params["BlockData"]
    if not 0 <= index < snapshot.size * GIB // BLOCK:
        raise refused("INVALID_BLOCK", f"The block index {index} is outside of the volume.")
    if params["DataLength"] != BLOCK or len(data) != BLOCK:
        raise refused("INVALID_BLOCK", f"A block has {BLOCK} bytes, not {len(data)}.")
    if params["ChecksumAlgorithm"] != "SHA256":
        raise refused("INVALID_PARAMETER_VALUE", "ChecksumAlgorithm must be SHA256.")
    checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
    if params["Checksum"] != checksum:
        raise refused("INVALID_PARAMETER_VALUE", "The checksum is not that of the data.")
    snapshot.write(index, data)
    snapshot.put[index] = snapshot.blocks[index] = checksum
    snapshot.touched = call.now
    return {"Checksum": checksum, "ChecksumAlgorithm": "SHA256"}


def complete_snapshot(call: Call) -> dict[str, Any]:
    params = call.params
    snapshot = get(call, params["SnapshotId"])
    if snapshot.sealed:
        return {"Status": snapshot.state}
    snapshot = _pending(call)
    if params["ChangedBlocksCount"] != len(snapshot.put):
        raise refused(
            "INVALID_PARAMETER_VALUE",
            f"ChangedBlocksCount is {params['ChangedBlocksCount']}, {len(snapshot.put)} blocks were put.",
        )
    given = params.get("Checksum")
    if given:
        if (
            params.get("ChecksumAlgorithm") != "SHA256"
            or params.get("ChecksumAggregationMethod") != "LINEAR"
        ):
            raise refused(
                "INVALID_PARAMETER_VALUE", "Checksum needs ChecksumAlgorithm SHA256 and LINEAR."
            )
        if given != _linear(snapshot):
            raise refused(
                "INVALID_PARAMETER_VALUE", "The aggregated checksum is not that of the blocks."
            )
    snapshot.sealed = call.now
    settle(call, snapshot)
    return {"Status": snapshot.state}


def _linear(snapshot: Snapshot) -> str:
    """SHA-256 over the blocks' digests in the order of their indexes."""
    digest = hashlib.sha256()
    for index in sorted(snapshot.put):
        digest.update(base64.b64decode(snapshot.put[index]))
    return base64.b64encode(digest.digest()).decode()


def _pending(call: Call) -> Snapshot:
    snapshot = get(call, call.params["SnapshotId"])
    if snapshot.state != "pending" or snapshot.sealed:
        state = "completed" if snapshot.sealed else snapshot.state
        raise refused("INVALID_SNAPSHOT_ID", f"The snapshot {snapshot.id} is {state}.")
    return snapshot
