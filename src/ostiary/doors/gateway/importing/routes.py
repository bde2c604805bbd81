"""The three routes. Each takes a ``Job`` and the record of its attempt, and gives the AMI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from ostiary.aws import image_tasks, machine_image
from ostiary.aws.ebs_direct import BLOCK, EbsDirect
from ostiary.aws.import_bucket import Bucket
from ostiary.aws.machine_image import MachineImage
from ostiary.doors.gateway.image.formats import open_disk
from ostiary.doors.gateway.image.inspect import opened
from ostiary.doors.gateway.importing import block_index, direct
from ostiary.doors.gateway.importing import record as records
from ostiary.doors.gateway.importing.direct import Sent
from ostiary.doors.gateway.importing.finishing import finished, registered, until_completed
from ostiary.doors.gateway.importing.job import Job
from ostiary.doors.gateway.importing.preparing import prepared
from ostiary.doors.gateway.importing.reading import stamp
from ostiary.doors.gateway.importing.record import Record
from ostiary.doors.gateway.importing.route import Route, aws_boot_mode
from ostiary.doors.gateway.importing.settings import Imported, Step
from ostiary.doors.gateway.importing.tasks import begun, watched
from ostiary.doors.gateway.importing.upload import Content, Uploaded, upload
from ostiary.errors import Conflict

Done: TypeAlias = tuple[Imported, Record]


def by_image(job: Job, record: Record, route: Route) -> Done:
    """OVA into the bucket, VM Import, AMI: what Okta's guide does by hand."""
    bucket, record, fresh_role = prepared(job, record)
    key = f"appliances/{record.key}/{job.path.name}"
    sent, record = _uploaded(job, record, bucket, key, 0)
    begin = partial(
        image_tasks.import_image,
        job.reached.aws,
        bucket,
        key,
        description=job.description,
        boot_mode=aws_boot_mode(job.found.disks[0].boot_mode) if job.found.disks else "",
        kms_key=job.settings.kms_key,
        tags=job.marks,
    )
    task_id, record = begun(job, record, begin, fresh_role=fresh_role)
    done = watched(job, task_id)
    record = _noted(job, record, snapshots=(*record.snapshots, *done.snapshot_ids))
    image = finished(job, record, done.image_id, bucket, [key])
    return replace(_imported(job, route, image, _bytes([sent])), task=task_id), record


def by_snapshot(job: Job, record: Record, route: Route) -> Done:
    """Each disk of the OVA into the bucket, imported as a snapshot, registered as an AMI."""
    bucket, record, fresh_role = prepared(job, record)
    keys: list[str] = []
    uploads: list[Uploaded] = []
    tasks: list[str] = []
    for number, disk in enumerate(job.found.disks):
        key = f"appliances/{record.key}/{number}-{disk.file.rpartition('/')[2]}"
        sent, record = _uploaded(job, record, bucket, key, number)
        begin = partial(
            image_tasks.import_snapshot,
            job.reached.aws,
            bucket,
            key,
            description=job.description,
            kms_key=job.settings.kms_key,
            tags=job.marks,
        )
        task_id, record = begun(
            job,
            record,
            begin,
            disk=number,
            fresh_role=fresh_role,
        )
        keys.append(key)
        uploads.append(sent)
        tasks.append(task_id)
    snapshots: list[str] = []
    for task_id in tasks:
        snapshots.append(watched(job, task_id).snapshot_ids[0])
        record = _noted(job, record, snapshots=(*record.snapshots, snapshots[-1]))
    sizes = machine_image.snapshot_sizes(job.reached.aws, job.reached.region, snapshots)
    image_id = registered(job, [(one, sizes[one]) for one in snapshots])
    image = finished(job, record, image_id, bucket, keys)
    return replace(_imported(job, route, image, _bytes(uploads)), task=tasks[0]), record


def by_blocks(job: Job, record: Record, route: Route) -> Done:
    """Each disk inflated here and put into a snapshot block by block; no bucket, no role, no queue."""
    reached = job.reached
    ebs = EbsDirect(
        reached.aws, reached.region, connections=job.settings.connections, send=reached.blocks
    )
    parents = _parents(job)
    sent: list[Sent] = []
    for number in range(len(job.found.disks)):
        parent = parents[number] if number < len(parents) else ("", {})
        one = _disk_sent(job, record, number, ebs, parent)
        block_index.keep(reached.store, one.snapshot_id, one.digests)
        record = _noted(job, record, snapshots=(*record.snapshots, one.snapshot_id))
        sent.append(one)
    for one in sent:
        until_completed(job, one.snapshot_id)
    image_id = registered(job, [(one.snapshot_id, one.size) for one in sent])
    facts = {
        "blocks": sum(one.sent for one in sent),
        "bytes": sum(one.sent for one in sent) * BLOCK,
        "blocks_again": sum(one.again for one in sent),
        "blocks_same": sum(one.same for one in sent),
    }
    return _imported(job, route, finished(job, record, image_id), facts), record


ROUTES_BY_NAME: Mapping[str, Callable[[Job, Record, Route], Done]] = {
    "import-image": by_image,
    "import-snapshot": by_snapshot,
    "ebs-direct": by_blocks,
}


def _uploaded(
    job: Job, record: Record, bucket: Bucket, key: str, number: int
) -> tuple[Uploaded, Record]:
    """A span of the file as an object, its key written down before the first byte of it leaves."""
    record = _noted(job, record, objects=(*record.objects, key))
    content = Content(job.path, job.spans[number], job.checksums[number], job.found.digest)
    sent = upload(job.reached.aws, bucket, key, content, on_step=job.on_step, stop=job.stop)
    return sent, record


def _disk_sent(
    job: Job, record: Record, number: int, ebs: EbsDirect, parent: tuple[str, Mapping[int, bytes]]
) -> Sent:
    disk = job.found.disks[number]
    if disk.member is None:
        raise Conflict(f"cannot send disk {disk.file}", why="it is not in the OVA")
    log = job.reached.store.log(record.log(number))
    with opened(job.path) as (fd, _):
        sent = direct.send(
            open_disk(fd, disk.member.offset, disk.member.size),
            ebs,
            log,
            token=record.token(number),
            description=job.description,
            tags=job.marks,
            parent=parent[0],
            parent_digests=parent[1],
            kms_key=job.settings.kms_key,
            connections=job.settings.connections,
            on_bytes=partial(_told_bytes, job, disk.file),
            stop=job.stop,
            unchanged=partial(_as_found, fd, job),
        )
    log.close()
    return sent


def _as_found(fd: int, job: Job) -> bool:
    return stamp(fd) == job.stamp


def _parents(job: Job) -> list[tuple[str, Mapping[int, bytes]]]:
    """Snapshot and digests that each disk builds on; said aloud when nothing is known of the parent."""
    if not job.settings.parent:
        return []
    snapshot_ids = [job.settings.parent]
    if job.settings.parent.startswith("ami-"):
        image = machine_image.get(job.reached.aws, job.reached.region, job.settings.parent)
        snapshot_ids = list(image.snapshot_ids)
    found: list[tuple[str, Mapping[int, bytes]]] = []
    for snapshot_id in snapshot_ids:
        digests = block_index.load(job.reached.store, snapshot_id)
        if digests is None:
            text = f"no digests of {snapshot_id} are kept here: every block is sent"
            job.on_step(Step("no-index", text=text))
            found.append(("", {}))
        else:
            found.append((snapshot_id, digests))
    return found


def _noted(job: Job, record: Record, **changes: tuple[str, ...]) -> Record:
    unique = {name: tuple(dict.fromkeys(value)) for name, value in changes.items()}
    return records.keep(job.reached.store, record, **unique)


def _imported(job: Job, route: Route, image: MachineImage, facts: Mapping[str, int]) -> Imported:
    return Imported(
        image.id,
        job.name,
        job.reached.region,
        job.reached.account_id,
        route.name,
        route.reason,
        job.found.digest,
        image.snapshot_ids,
        facts=facts,
    )


def _bytes(uploads: list[Uploaded]) -> Mapping[str, int]:
    return {
        "bytes": sum(one.sent for one in uploads),
        "bytes_again": sum(one.again for one in uploads),
    }


def _told_bytes(job: Job, file: str, done: int, total: int) -> None:
    job.on_step(Step("sending", done, total, text=file))
