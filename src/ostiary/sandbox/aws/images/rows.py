"""Operations of this package by name: function, resource, condition keys. See ``operations.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.images import (
    block_reading,
    import_tasks,
    kept_snapshots,
    registry,
    snapshots,
    vm_import,
)

Row = tuple[str, Callable[[Call], dict[str, Any]], str, tuple[str, ...]]
_TAGS = ("aws:RequestTag/${TagKey}", "aws:TagKeys")
_IMAGE = "arn:{partition}:ec2:{region}::image/{ImageId}"
_SNAPSHOT = "arn:{partition}:ec2:{region}::snapshot/{SnapshotId}"
_TASK = "arn:{partition}:ec2:{region}:{account}:import-image-task/*"

_EC2_ROWS: tuple[Row, ...] = (
    ("ImportImage", vm_import.import_image, _TASK, _TAGS),
    ("DescribeImportImageTasks", import_tasks.describe_import_image_tasks, "*", ()),
    ("ImportSnapshot", vm_import.import_snapshot, "*", _TAGS),
    ("DescribeImportSnapshotTasks", import_tasks.describe_import_snapshot_tasks, "*", ()),
    ("CancelImportTask", import_tasks.cancel_import_task, "*", ()),
    ("RegisterImage", registry.register_image, "arn:{partition}:ec2:{region}::image/*", _TAGS),
    ("DescribeImages", registry.describe_images, "*", ()),
    ("DeregisterImage", registry.deregister_image, _IMAGE, ()),
    ("DescribeImageAttribute", registry.describe_image_attribute, _IMAGE, ()),
    ("ModifyImageAttribute", registry.modify_image_attribute, _IMAGE, ()),
    ("DescribeSnapshots", kept_snapshots.describe_snapshots, "*", ()),
    ("DeleteSnapshot", kept_snapshots.delete_snapshot, _SNAPSHOT, ()),
)


def _or_dry(run: Callable[[Call], dict[str, Any]]) -> Callable[[Call], dict[str, Any]]:
    """``run``, unless the caller, who may do it, asked only whether he may."""

    def answer(call: Call) -> dict[str, Any]:
        if call.params.get("DryRun"):
            raise AwsError(
                "DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412
            )
        call.params.pop("DryRun", None)
        return run(call)

    return answer


EC2_ROWS: tuple[Row, ...] = tuple(
    (name, _or_dry(run), resource, keys) for name, run, resource, keys in _EC2_ROWS
)
EBS_ROWS: tuple[Row, ...] = (
    ("StartSnapshot", snapshots.start_snapshot, "arn:{partition}:ec2:{region}::snapshot/*", _TAGS),
    ("PutSnapshotBlock", snapshots.put_snapshot_block, _SNAPSHOT, ()),
    ("CompleteSnapshot", snapshots.complete_snapshot, _SNAPSHOT, ()),
    ("ListSnapshotBlocks", block_reading.list_snapshot_blocks, _SNAPSHOT, ()),
    ("GetSnapshotBlock", block_reading.get_snapshot_block, _SNAPSHOT, ()),
    (
        "ListChangedBlocks",
        block_reading.list_changed_blocks,
        "arn:{partition}:ec2:{region}::snapshot/{SecondSnapshotId}",
        (),
    ),
)
