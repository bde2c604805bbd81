"""Operations of this package by name: function, resource, condition keys. See ``operations.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.images import import_tasks, registry, snapshots

Row = tuple[str, Callable[[Call], dict[str, Any]], str, tuple[str, ...]]
_TAGS = ("aws:RequestTag/${TagKey}", "aws:TagKeys")
_IMAGE = "arn:{partition}:ec2:{region}::image/{ImageId}"
_SNAPSHOT = "arn:{partition}:ec2:{region}::snapshot/{SnapshotId}"
_TASK = "arn:{partition}:ec2:{region}:{account}:import-image-task/*"

EC2_ROWS: tuple[Row, ...] = (
    ("ImportImage", import_tasks.import_image, _TASK, _TAGS),
    ("DescribeImportImageTasks", import_tasks.describe_import_image_tasks, "*", ()),
    ("ImportSnapshot", import_tasks.import_snapshot, "*", _TAGS),
    ("DescribeImportSnapshotTasks", import_tasks.describe_import_snapshot_tasks, "*", ()),
    ("CancelImportTask", import_tasks.cancel_import_task, "*", ()),
    ("RegisterImage", registry.register_image, "arn:{partition}:ec2:{region}::image/*", _TAGS),
    ("DescribeImages", registry.describe_images, "*", ()),
    ("DeregisterImage", registry.deregister_image, _IMAGE, ()),
    ("DescribeImageAttribute", registry.describe_image_attribute, _IMAGE, ()),
    ("ModifyImageAttribute", registry.modify_image_attribute, _IMAGE, ()),
    ("DescribeSnapshots", registry.describe_snapshots, "*", ()),
    ("DeleteSnapshot", registry.delete_snapshot, _SNAPSHOT, ()),
)
EBS_ROWS: tuple[Row, ...] = (
    ("StartSnapshot", snapshots.start_snapshot, "arn:{partition}:ec2:{region}::snapshot/*", _TAGS),
    ("PutSnapshotBlock", snapshots.put_snapshot_block, _SNAPSHOT, ()),
    ("CompleteSnapshot", snapshots.complete_snapshot, _SNAPSHOT, ()),
    ("ListSnapshotBlocks", snapshots.list_snapshot_blocks, _SNAPSHOT, ()),
    ("GetSnapshotBlock", snapshots.get_snapshot_block, _SNAPSHOT, ()),
    (
        "ListChangedBlocks",
        snapshots.list_changed_blocks,
        "arn:{partition}:ec2:{region}::snapshot/{SecondSnapshotId}",
        (),
    ),
)
