"""The end of each route: snapshots and AMI awaited, the AMI registered, everything tagged, the rest removed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ostiary.aws import machine_image, multipart
from ostiary.aws.import_bucket import Bucket
from ostiary.aws.machine_image import MachineImage
from ostiary.doors.gateway.importing import block_index
from ostiary.doors.gateway.importing.job import Job
from ostiary.doors.gateway.importing.record import Record
from ostiary.doors.gateway.importing.route import aws_boot_mode
from ostiary.doors.gateway.importing.settings import Step
from ostiary.errors import Conflict, Interrupted, NotFound, Unreachable

_BROKEN = frozenset({"error", "failed", "invalid", "deregistered"})
_AGAIN = "run the same command again"


def until_completed(job: Job, snapshot_id: str) -> None:
    """A snapshot that was completed is pending for a while yet."""
    aws, region = job.reached.aws, job.reached.region

    def look() -> tuple[str, str]:
        return machine_image.snapshot_state(aws, region, snapshot_id)

    _until(job, f"snapshot {snapshot_id}", "completed", look)


def until_available(job: Job, image_id: str) -> MachineImage:
    """The AMI once instances can be started of it."""

    def look() -> tuple[str, str]:
        found = machine_image.get(job.reached.aws, job.reached.region, image_id)
        return found.state, found.reason

    _until(job, f"AMI {image_id}", "available", look)
    return machine_image.get(job.reached.aws, job.reached.region, image_id)


def _until(job: Job, what: str, wanted: str, look: Callable[[], tuple[str, str]]) -> None:
    began = time.monotonic()
    state = "not shown yet"
    while True:
        if job.stop.is_set():
            raise Interrupted(f"stopped waiting for {what}", fix=_AGAIN)
        waited = time.monotonic() - began
        try:
            state, message = look()
        except NotFound:  # EC2 shows what is new a moment later
            if waited > job.patience.unseen:
                raise
        else:
            if state == wanted:
                return
            if state in _BROKEN:
                why = message or "the service gave no reason"
                raise Conflict(
                    f"{what} failed", why=f"{state}: {why}", fix=f"{_AGAIN}: it begins anew"
                )
        if waited > job.patience.still:
            raise Unreachable(
                f"{what} does not become {wanted}", why=f"{state} for {waited:.0f} s", fix=_AGAIN
            )
        job.on_step(Step("completing", text=what.rpartition(" ")[2]))
        job.stop.wait(job.patience.first)


def registered(job: Job, snapshots: Sequence[tuple[str, int]]) -> str:
    """The id of the AMI of these snapshots, each with its size in GiB, the root disk's first."""
    root = job.found.disks[0]
    job.on_step(Step("registering", text=job.name))
    return machine_image.register(
        job.reached.aws,
        job.reached.region,
        job.name,
        snapshots,
        boot_mode=aws_boot_mode(root.boot_mode),
        ena=root.guest.drivers is None or "ena" in root.guest.drivers,
        description=job.description,
        tags=job.tags,
    )


def finished(
    job: Job, record: Record, image_id: str, bucket: Bucket | None = None, keys: Sequence[str] = ()
) -> MachineImage:
    """The AMI, available and tagged with its snapshots; uploads and what failed attempts left are removed."""
    aws, region = job.reached.aws, job.reached.region
    image = until_available(job, image_id)
    machine_image.tag(aws, region, [image.id, *image.snapshot_ids], job.tags)
    if bucket is not None and not job.settings.keep_upload:
        for key in keys:
            multipart.delete_object(aws, bucket, key)
    for snapshot_id in record.snapshots:
        if snapshot_id not in image.snapshot_ids:
            _dropped(job, snapshot_id)
    return image


def _dropped(job: Job, snapshot_id: str) -> None:
    try:
        machine_image.delete_snapshot(job.reached.aws, job.reached.region, snapshot_id)
    except Conflict:
        return  # another AMI uses it
    block_index.forget(job.reached.store, snapshot_id)
