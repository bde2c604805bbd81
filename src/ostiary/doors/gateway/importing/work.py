"""An appliance file becomes an AMI: judged, read once, sent by its route, registered, tagged, found again next time."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from ostiary.aws.import_bucket import Bucket
from ostiary.aws.key_arn import key_arn
from ostiary.aws.machine_image import MachineImage
from ostiary.connect_region import Reached
from ostiary.doors.gateway.image.inspect import expected_digest, inspect, opened
from ostiary.doors.gateway.image.inspection import Inspection
from ostiary.doors.gateway.importing import record as records
from ostiary.doors.gateway.importing.finding import found_again, made_by_another, reused
from ostiary.doors.gateway.importing.finishing import finished
from ostiary.doors.gateway.importing.job import Job
from ostiary.doors.gateway.importing.leftovers import started
from ostiary.doors.gateway.importing.reading import Span, read_all, stamp
from ostiary.doors.gateway.importing.record import Record
from ostiary.doors.gateway.importing.refusing import (
    require_free,
    require_importable,
    require_same_file,
)
from ostiary.doors.gateway.importing.route import Route, choose
from ostiary.doors.gateway.importing.routes import ROUTES_BY_NAME
from ostiary.doors.gateway.importing.settings import (
    DIGEST_TAG,
    KEY_TAG,
    MANIFEST_TAG,
    ROUTE_TAG,
    Imported,
    ImportSettings,
    OnStep,
    Step,
)
from ostiary.doors.gateway.importing.upload import span
from ostiary.doors.gateway.importing.watching import Patience
from ostiary.errors import Conflict, LeaseHeld
from ostiary.plan.lease import Lease


def import_appliance(
    reached: Reached,
    path: Path,
    settings: ImportSettings,
    *,
    on_step: OnStep,
    stop: threading.Event | None = None,
    patience: Patience | None = None,
) -> Imported:
    """The AMI of an appliance, made or found. Run again after anything, it goes on or says what is there."""
    settings.require_consistent()
    expected = expected_digest(settings.expect_digest)
    stop = stop or threading.Event()
    with opened(path) as (fd, _):
        as_found = stamp(fd)
    found = inspect(path)
    require_importable(found, settings)
    route = choose(found, settings.route, parent=bool(settings.parent))
    spans = _spans(found, route)
    account_id = reached.account_id
    if settings.kms_key:
        arn = key_arn(reached.aws, reached.region, settings.kms_key)
        settings = replace(settings, kms_key=arn)
    checked, checksums = read_all(path, found, spans, expected, on_step, stop=stop)
    require_importable(checked, settings)
    manifest = hashlib.sha256(checked.manifest_text).hexdigest() if checked.manifest else ""
    tags = _tags(checked, manifest, route, settings.kms_key)
    name = settings.name or _name(path, checked.digest, route, settings.kms_key)
    job = Job(
        reached, path, checked, as_found, checksums, spans, settings, name,
        {"Name": name, **tags}, on_step, stop, patience or Patience(),
    )  # fmt: skip
    asked = (settings.parent, settings.kms_key, settings.bucket)
    key = records.key_of(checked.digest, account_id, reached.region, route.name, *asked)
    known, record = found_again(job), records.load(reached.store, key)
    if known is not None and (record is None or record.state == "done"):
        return reused(known, job, route)
    require_same_file(job)
    if settings.route == "auto":
        on_step(Step("route", text=f"{route.name} ({route.reason})"))
    with _alone(job, key):
        known = found_again(job)  # a run that held the lease may have made it meanwhile
        if known is not None:
            _finished_late(job, key, known)
            return reused(known, job, route)
        if route.name != "import-image":  # that one names its AMI itself
            require_free(job)
        return _carried_out(job, key, route)


@contextmanager
def _alone(job: Job, key: str) -> Iterator[None]:
    """One run at a time for one import. LeaseHeld while another one is at it."""
    with ExitStack() as held:
        try:
            held.enter_context(Lease(job.reached.store, f"gateway-import-{key[:16]}"))
        except LeaseHeld as other:
            raise LeaseHeld(
                f"cannot import {job.path.name}: another run is importing it",
                why=other.why,
                fix="wait for it, then run the same command again: it gives the same AMI",
            ) from other
        yield


def _finished_late(job: Job, key: str, known: MachineImage) -> None:
    """What a run that was killed with its AMI made had yet to do: tags, and the removal of what it needed on its way."""
    record = records.load(job.reached.store, key)
    if record is None or record.state == "done":
        return
    record = replace(record, snapshots=started(job.reached.store, record))
    bucket = Bucket(record.bucket, record.region, record.account_id) if record.bucket else None
    finished(replace(job, tags=known.tags), record, known.id, bucket, record.objects)
    records.keep(job.reached.store, record, state="done", image_id=known.id)


def _carried_out(job: Job, key: str, route: Route) -> Imported:
    store = job.reached.store
    before = records.load(store, key)
    place = (job.reached.region, job.reached.account_id)
    fresh = Record(key, job.path.name, *place, route.name, digest=job.found.digest)
    record = before or fresh
    if record.state == "failed":  # what it left is still to be removed
        left = started(store, record)
        record = replace(record, attempt=record.attempt + 1, tasks=(), snapshots=left, image_id="")
    elif record.state in ("cancelled", "done"):  # done, but its AMI is gone
        record = replace(fresh, attempt=record.attempt + 1)
    record = records.keep(store, record, file=job.path.name, state="begun")
    try:
        imported, record = ROUTES_BY_NAME[route.name](job, record, route)
    except Conflict as failed:
        if failed.code == "file-changed":
            raise
        record = records.load(store, key) or record
        other = made_by_another(job, route, failed)
        if other is None:
            records.keep(store, record, state="failed")
            raise
        imported = reused(other, job, route)
    records.keep(store, record, state="done", image_id=imported.image_id)
    return imported


def _spans(found: Inspection, route: Route) -> tuple[Span, ...]:
    """What will be uploaded: the whole file, or each disk by itself."""
    if route.name == "import-image":
        return (span(0, found.size),)
    if route.name == "import-snapshot":
        members = [one.member for one in found.disks if one.member is not None]
        return tuple(span(one.offset, one.size) for one in members)
    return ()


def _tags(found: Inspection, manifest: str, route: Route, kms_key: str) -> dict[str, str]:
    tags = {DIGEST_TAG: found.digest, ROUTE_TAG: route.name}
    more = {MANIFEST_TAG: manifest, KEY_TAG: kms_key}
    return tags | {key: value for key, value in more.items() if value}


def _name(path: Path, digest: str, route: Route, kms_key: str) -> str:
    """A name that EC2 takes, different for each version of a file, each route and each key."""
    stem = re.sub(r"[^A-Za-z0-9()./_-]+", "-", path.stem)[:90].strip("-") or "appliance"
    name = f"{stem}-{digest[:12]}-{route.name.rpartition('-')[2]}"
    return f"{name}-{hashlib.sha256(kms_key.encode()).hexdigest()[:6]}" if kms_key else name
