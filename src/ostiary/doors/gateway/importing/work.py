"""An appliance file becomes an AMI: judged, read once, sent by its route, registered, tagged, found again next time."""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import replace
from pathlib import Path

from ostiary.aws import machine_image
from ostiary.aws.machine_image import MachineImage
from ostiary.connect import Reached
from ostiary.doors.gateway.image.inspect import Inspection, inspect, opened
from ostiary.doors.gateway.image.problems import Problem
from ostiary.doors.gateway.importing import record as records
from ostiary.doors.gateway.importing.job import Job
from ostiary.doors.gateway.importing.reading import Span, read_all, stamp
from ostiary.doors.gateway.importing.record import Record
from ostiary.doors.gateway.importing.route import Route, choose
from ostiary.doors.gateway.importing.routes import ROUTES_BY_NAME
from ostiary.doors.gateway.importing.settings import (
    DIGEST_TAG,
    MANIFEST_TAG,
    ROUTE_TAG,
    Imported,
    ImportSettings,
    OnStep,
)
from ostiary.doors.gateway.importing.upload import span
from ostiary.doors.gateway.importing.watching import Patience
from ostiary.errors import Conflict, OstiaryError
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
    with opened(path) as (fd, _):
        as_found = stamp(fd)
    found = inspect(path)
    require_importable(found, settings)
    route = choose(found, settings.route, parent=bool(settings.parent))
    spans = _spans(found, route)
    account_id = reached.account_id
    checked, checksums = read_all(path, found, spans, _digest(settings.expect_digest), on_step)
    require_importable(checked, settings)
    manifest = hashlib.sha256(checked.manifest_text).hexdigest() if checked.manifest else ""
    tags = _tags(checked, manifest, route)
    name = settings.name or _name(path, checked.digest, route)
    job = Job(
        reached, path, checked, as_found, checksums, spans, settings, name,
        {"Name": name, **tags}, on_step, stop or threading.Event(), patience or Patience(),
    )  # fmt: skip
    known = known_image(reached, checked.digest, settings.route)
    if known is not None:
        return _reused(known, job, route)
    key = records.key_of(checked.digest, account_id, reached.region, route.name, settings.parent)
    with Lease(reached.store, f"gateway-import-{key[:16]}"):
        return _carried_out(job, key, route)


def _carried_out(job: Job, key: str, route: Route) -> Imported:
    store = job.reached.store
    before = records.load(store, key)
    fresh = Record(key, job.path.name, job.reached.region, job.reached.account_id, route.name)
    record = before or fresh
    if record.state in ("failed", "cancelled", "done"):  # done, but its AMI is gone
        record = replace(fresh, attempt=record.attempt + 1)
    record = records.keep(store, record, file=job.path.name, state="begun")
    try:
        imported, record = ROUTES_BY_NAME[route.name](job, record, route)
    except Conflict as failed:
        if failed.code != "file-changed":
            now = records.load(store, key) or record
            records.keep(store, now, state="failed")
        raise
    records.keep(store, record, state="done", image_id=imported.image_id)
    return imported


def known_image(reached: Reached, digest: str, route: str = "auto") -> MachineImage | None:
    """The AMI of this very file, by its tag; by this route if one was asked for."""
    wanted = {DIGEST_TAG: digest}
    if route != "auto":
        wanted[ROUTE_TAG] = route
    found = machine_image.find(reached.aws, reached.region, wanted)
    usable = [one for one in found if one.state == "available"]
    return usable[0] if usable else None


def _reused(known: MachineImage, job: Job, route: Route) -> Imported:
    return Imported(
        known.id,
        known.tags.get("Name", known.name),
        job.reached.region,
        job.reached.account_id,
        known.tags.get(ROUTE_TAG, route.name),
        "this very file was imported before",
        job.found.digest,
        known.snapshot_ids,
        reused=True,
    )


def require_importable(found: Inspection, settings: ImportSettings) -> None:
    """Conflict with every refusal, before a byte leaves: safety always, the rest unless ``--force``.

    Without a manifest nothing says what the file should be: ``--accept-unsigned`` or ``--expect-digest`` must.
    """
    refusals = [one for one in found.refusals if one.safety or not settings.force]
    if refusals:
        raise _refused(found, refusals)
    if found.manifest is None and not settings.accept_unsigned and not settings.expect_digest:
        raise Conflict(
            f"refuse to import {found.file}",
            why="it has no manifest, so nothing in it says whether it is whole",
            fix="add --expect-digest with the SHA-256 of Okta's download page, or --accept-unsigned",
            code="manifest-none",
        )


def _refused(found: Inspection, refusals: list[Problem]) -> OstiaryError:
    lines = [
        one.message + (f" (VM Import: {one.predicts})" if one.predicts else "") for one in refusals
    ]
    safe = not any(one.safety for one in refusals)
    ask = "; to hear it from VM Import itself: --force" if safe else ""
    return Conflict(
        f"refuse to import {found.file}",
        why="\n".join(lines),
        fix=f"{refusals[0].fix}{ask}",
        code=refusals[0].code,
    )


def _spans(found: Inspection, route: Route) -> tuple[Span, ...]:
    """What will be uploaded: the whole file, or each disk by itself."""
    if route.name == "import-image":
        return (span(0, found.size),)
    if route.name == "import-snapshot":
        members = [one.member for one in found.disks if one.member is not None]
        return tuple(span(one.offset, one.size) for one in members)
    return ()


def _tags(found: Inspection, manifest: str, route: Route) -> dict[str, str]:
    tags = {DIGEST_TAG: found.digest, ROUTE_TAG: route.name}
    return tags | ({MANIFEST_TAG: manifest} if manifest else {})


def _name(path: Path, digest: str, route: Route) -> str:
    """A name that EC2 takes, different for each version of a file and each route."""
    stem = re.sub(r"[^A-Za-z0-9()./_-]+", "-", path.stem)[:90].strip("-") or "appliance"
    return f"{stem}-{digest[:12]}-{route.name.rpartition('-')[2]}"


def _digest(text: str) -> str:
    return text.strip().lower().removeprefix("sha256:")
