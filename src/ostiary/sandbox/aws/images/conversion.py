"""The work of an import task: the upload is read, judged, converted, and kept as snapshots and an AMI."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ostiary.sandbox.aws import kms_keys, s3_objects
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.images import registry
from ostiary.sandbox.aws.images.archive import convert_ova
from ostiary.sandbox.aws.images.judge import Refused, convert, judge_guest
from ostiary.sandbox.aws.images.snapshots import images_of
from ostiary.sandbox.aws.images.state import (
    BLOCK,
    GIB,
    Disk,
    Snapshot,
    Task,
    device_of,
    place_of,
)


def judge(call: Call, task: Task) -> None:
    """Read what was uploaded; ``task.judged`` is "ok" or the message of a failure afterwards."""
    images = images_of(call)
    folder = Path(tempfile.mkdtemp(dir=images.folder))
    try:
        converted = _converted(call, task, folder)
        if task.kind == "image":
            found = judge_guest(converted[0])
            task.boot_mode = str(task.asked.get("BootMode") or found)
        for number, one in enumerate(converted):
            kept = images.folder / f"{task.id}-{number}.raw"
            shutil.move(one.file, kept)
            task.converted.append(replace(one, file=kept))
        task.judged = "ok"
    except Refused as refused:
        task.judged = str(refused)
    finally:
        shutil.rmtree(folder)


def _converted(call: Call, task: Task, folder: Path) -> list[Disk]:
    containers = task.asked.get("DiskContainers") or [task.asked["DiskContainer"]]
    found: list[Disk] = []
    for number, one in enumerate(containers):
        stored = s3_objects.stored_object(call, *place_of(one))
        if stored is None:
            raise Refused("ClientError: Invalid S3 source location")
        path = folder / f"upload-{number}"
        with path.open("wb") as file:
            shutil.copyfileobj(stored[2], file)
        form = str(one.get("Format", "")).lower()
        if form == "ova":
            inner = folder / f"ova-{number}"
            inner.mkdir()
            found += convert_ova(path, inner)
        else:
            found.append(convert(path, form, folder / f"{number}.raw"))
        path.unlink()
    return found


def complete(call: Call, task: Task) -> None:
    """Make snapshots of the converted disks and, of an image's, an AMI."""
    images = images_of(call)
    task.status, task.message, task.ended = "completed", "", call.now
    devices = []
    for number, disk in enumerate(task.converted):
        snapshot = _snapshot(call, task, disk)
        task.snapshot_ids.append(snapshot.id)
        ebs = {"SnapshotId": snapshot.id, "VolumeSize": snapshot.size, "VolumeType": "gp2"}
        ebs |= {"DeleteOnTermination": True, "Encrypted": snapshot.encrypted}
        devices.append({"DeviceName": device_of(number), "Ebs": ebs})
    if task.kind == "image":
        facts: dict[str, Any] = {
            "Architecture": "x86_64",
            "VirtualizationType": "hvm",
            "RootDeviceName": "/dev/sda1",
            "BlockDeviceMappings": devices,
            "EnaSupport": True,
            "Description": f"AWS-VMImport service: Linux - {task.id}",
            "BootMode": task.boot_mode,
        }
        image_id = registry.keep(call, task.id, facts, {}).id
        task.image_id = "" if images.faults.no_image_id else image_id


def _snapshot(call: Call, task: Task, disk: Disk) -> Snapshot:
    """A completed snapshot of the converted bytes."""
    images = images_of(call)
    snapshot_id = images.new_id("snap")
    named = str(task.asked.get("KmsKeyId") or "")
    gib = max(1, -(-disk.size // GIB))
    snapshot = Snapshot(
        snapshot_id,
        call.account.id,
        call.region,
        gib,
        images.folder / snapshot_id,
        call.now,
        state="completed",
        description=f"Created by AWS-VMImport service for {task.id}",
        encrypted=bool(task.asked.get("Encrypted")),
        kms_key=(kms_keys.key_arn(call, named) or named) if named else "",
    )
    disk.file.rename(snapshot.file)
    os.truncate(snapshot.file, gib * GIB)
    for index in _written(snapshot.file, disk.size):
        digest = hashlib.sha256(snapshot.read(index)).digest()
        snapshot.blocks[index] = base64.b64encode(digest).decode()
    images.snapshots[snapshot_id] = snapshot
    return snapshot


def _written(file: Path, size: int) -> Iterator[int]:
    """The blocks of a sparse file that hold anything but zeros; holes are not read."""
    zeros = bytes(BLOCK)
    with file.open("rb") as raw:
        index = 0
        while index * BLOCK < size:
            try:
                at = os.lseek(raw.fileno(), index * BLOCK, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing but a hole is left
                return
            index = at // BLOCK
            raw.seek(index * BLOCK)
            data = raw.read(BLOCK)
            if data != zeros[: len(data)]:
                yield index
            index += 1
