"""The three routes. Each takes a ``Job`` and the record of its attempt, and gives the AMI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeAlias, cast

from ostiary.aws import image_tasks, import_bucket, machine_image, multipart
from ostiary.aws.ebs_direct import BLOCK, EbsDirect
from ostiary.aws.import_bucket import Bucket
from ostiary.aws.service_role import NAME as ROLE
from ostiary.aws.service_role import ServiceRoleKind, trust_statement
from ostiary.doors.gateway.engine import carry_out, plan_for
from ostiary.doors.gateway.image.formats import open_disk
from ostiary.doors.gateway.image.inspect import opened
from ostiary.doors.gateway.importing import block_index, direct
from ostiary.doors.gateway.importing import record as records
from ostiary.doors.gateway.importing.direct import Sent
from ostiary.doors.gateway.importing.job import Job
from ostiary.doors.gateway.importing.reading import stamp
from ostiary.doors.gateway.importing.record import Record
from ostiary.doors.gateway.importing.route import Route, aws_boot_mode
from ostiary.doors.gateway.importing.settings import Imported, Step
from ostiary.doors.gateway.importing.upload import Content, Uploaded, upload
from ostiary.doors.gateway.importing.watching import watch
from ostiary.errors import Conflict, Unreachable
from ostiary.plan.resource import Key, Resource, Value

Done: TypeAlias = tuple[Imported, Record]
ROLE_ESTATE = "gateway-import"


def by_image(job: Job, record: Record, route: Route) -> Done:
    """OVA into the bucket, VM Import, AMI: what Okta's guide does by hand."""
    bucket, record = _prepared(job, record)
    key = f"appliances/{record.key}/{job.path.name}"
    record = _noted(job, record, objects=(*record.objects, key))
    uploaded = upload(
        job.reached.aws,
        bucket,
        key,
        Content(job.path, job.spans[0], job.checksums[0]),
        on_step=job.on_step,
        stop=job.stop,
    )
    mode = aws_boot_mode(job.found.disks[0].boot_mode) if job.found.disks else ""
    task = image_tasks.import_image(
        job.reached.aws,
        bucket,
        key,
        token=record.token(),
        description=job.description,
        boot_mode=mode,
        kms_key=job.settings.kms_key,
        tags=job.tags,
    )
    record = _noted(job, record, tasks=(*record.tasks, task.id))
    done = _watched(job, task.id)
    image = machine_image.get(job.reached.aws, job.reached.region, done.image_id)
    machine_image.tag(
        job.reached.aws, job.reached.region, [image.id, *image.snapshot_ids], job.tags
    )
    _tidied(job, bucket, [key])
    imported = replace(
        _imported(job, route, image.id, image.snapshot_ids, _bytes([uploaded])), task=task.id
    )
    return imported, record


def by_snapshot(job: Job, record: Record, route: Route) -> Done:
    """Each disk of the OVA into the bucket, imported as a snapshot, registered as an AMI."""
    bucket, record = _prepared(job, record)
    keys, uploads, tasks = [], [], []
    for number, disk in enumerate(job.found.disks):
        key = f"appliances/{record.key}/{disk.file.rpartition('/')[2]}"
        record = _noted(job, record, objects=(*record.objects, key))
        content = Content(job.path, job.spans[number], job.checksums[number])
        uploads.append(
            upload(job.reached.aws, bucket, key, content, on_step=job.on_step, stop=job.stop)
        )
        task = image_tasks.import_snapshot(
            job.reached.aws,
            bucket,
            key,
            token=record.token(number),
            description=job.description,
            kms_key=job.settings.kms_key,
            tags=job.tags,
        )
        record = _noted(job, record, tasks=(*record.tasks, task.id))
        keys.append(key)
        tasks.append(task.id)
    snapshots = [_watched(job, task_id).snapshot_ids[0] for task_id in tasks]
    record = _noted(job, record, snapshots=tuple(snapshots))
    sizes = machine_image.snapshot_sizes(job.reached.aws, job.reached.region, snapshots)
    image_id = _registered(job, [(one, sizes[one]) for one in snapshots])
    _tidied(job, bucket, keys)
    imported = _imported(job, route, image_id, tuple(snapshots), _bytes(uploads))
    return replace(imported, task=tasks[0]), record


def by_blocks(job: Job, record: Record, route: Route) -> Done:
    """Each disk inflated here and put into a snapshot block by block; no bucket, no role, no queue."""
    reached = job.reached
    ebs = EbsDirect(
        reached.aws, reached.region, connections=job.settings.connections, send=reached.blocks
    )
    parents = _parents(job)
    sent: list[Sent] = []
    for number, disk in enumerate(job.found.disks):
        if disk.member is None:
            raise Conflict(f"cannot send disk {disk.file}", why="it is not in the OVA")
        parent, digests = parents[number] if number < len(parents) else ("", {})
        log = reached.store.log(record.log(number))
        with opened(job.path) as (fd, _):
            opened_disk = open_disk(fd, disk.member.offset, disk.member.size)
            told = partial(_told_bytes, job, disk.file)
            one = direct.send(
                opened_disk,
                ebs,
                log,
                token=record.token(number),
                description=job.description,
                tags=job.tags,
                parent=parent,
                parent_digests=digests,
                kms_key=job.settings.kms_key,
                connections=job.settings.connections,
                on_bytes=told,
                stop=job.stop,
                unchanged=partial(_as_found, fd, job),
            )
        log.close()
        block_index.keep(reached.store, one.snapshot_id, one.digests)
        record = _noted(job, record, snapshots=(*record.snapshots, one.snapshot_id))
        sent.append(one)
    for one in sent:
        _until_completed(job, one.snapshot_id)
    image_id = _registered(job, [(one.snapshot_id, one.size) for one in sent])
    facts = {
        "blocks": sum(one.sent for one in sent),
        "bytes": sum(one.sent for one in sent) * BLOCK,
        "blocks_again": sum(one.again for one in sent),
        "blocks_same": sum(one.same for one in sent),
    }
    snapshots = tuple(one.snapshot_id for one in sent)
    return _imported(job, route, image_id, snapshots, facts), record


ROUTES_BY_NAME: Mapping[str, Callable[[Job, Record, Route], Done]] = {
    "import-image": by_image,
    "import-snapshot": by_snapshot,
    "ebs-direct": by_blocks,
}


def _prepared(job: Job, record: Record) -> tuple[Bucket, Record]:
    """The bucket and the service's role, both made or put right."""
    reached = job.reached
    account_id = reached.account_id
    name = job.settings.bucket or import_bucket.default_name(account_id, reached.region)
    record = _noted(job, record, bucket=name)
    bucket = import_bucket.ensure_bucket(reached.aws, name, reached.region, account_id)
    ensure_role(job, bucket)
    return bucket, record


def ensure_role(job: Job, bucket: Bucket) -> None:
    """The role ``vmimport`` for this bucket, planned and applied like everything else."""
    reached = job.reached
    partition = reached.aws.partition.name
    keys = [job.settings.kms_key] if job.settings.kms_key.startswith("arn:") else []
    kinds = (ServiceRoleKind(reached.aws),)
    wanted = Resource(
        Key("service-role", reached.account_id, ROLE),
        {
            "trust": cast("Value", trust_statement(partition, reached.account_id)),
            "buckets": [bucket.name],
            "keys": [*keys],
        },
    )
    plan = plan_for(reached, ROLE_ESTATE, [wanted], kinds)
    if plan.unread:
        unread = plan.unread[0]
        raise Unreachable(f"cannot read the role {ROLE}", why=unread.why, fix=unread.fix)
    if plan.writes:
        job.on_step(Step(f"role {ROLE}", text=plan.writes[0].action))
        carry_out(reached, plan, kinds, stop=job.stop)


def _watched(job: Job, task_id: str) -> image_tasks.ImportTask:
    look = partial(image_tasks.describe, job.reached.aws, job.reached.region, task_id)
    return watch(look, task_id, on_step=job.on_step, stop=job.stop, patience=job.patience)


def _until_completed(job: Job, snapshot_id: str) -> None:
    """A snapshot that was completed is pending for a while yet."""
    while True:
        state, message = machine_image.snapshot_state(
            job.reached.aws, job.reached.region, snapshot_id
        )
        if state == "completed":
            return
        if state == "error":
            raise Conflict(
                f"snapshot {snapshot_id} failed",
                why=message or "the service gave no reason",
                fix="run the same command again: it begins a new snapshot",
            )
        job.on_step(Step("completing", text=snapshot_id))
        job.reached.aws.pause(job.patience.first)


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


def _registered(job: Job, snapshots: list[tuple[str, int]]) -> str:
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


def _tidied(job: Job, bucket: Bucket, keys: list[str]) -> None:
    """The uploads are no longer needed; the bucket's lifecycle would remove them too."""
    if job.settings.keep_upload:
        return
    for key in keys:
        multipart.delete_object(job.reached.aws, bucket, key)


def _noted(job: Job, record: Record, **changes: object) -> Record:
    unique = {
        name: tuple(dict.fromkeys(value)) if isinstance(value, tuple) else value
        for name, value in changes.items()
    }
    return records.keep(job.reached.store, record, **unique)


def _imported(
    job: Job,
    route: Route,
    image_id: str,
    snapshots: tuple[str, ...],
    facts: Mapping[str, int],
) -> Imported:
    return Imported(
        image_id,
        job.name,
        job.reached.region,
        job.reached.account_id,
        route.name,
        route.reason,
        job.found.digest,
        snapshots,
        facts=facts,
    )


def _bytes(uploads: list[Uploaded]) -> Mapping[str, int]:
    return {
        "bytes": sum(one.sent for one in uploads),
        "bytes_again": sum(one.again for one in uploads),
    }


def _told_bytes(job: Job, file: str, done: int, total: int) -> None:
    job.on_step(Step("sending", done, total, text=file))
