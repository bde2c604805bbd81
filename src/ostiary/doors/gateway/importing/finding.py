"""The AMI of a file that was imported before, by whomever: found by the tags that hold the file's SHA-256 and the route."""

from __future__ import annotations

import time

from ostiary.aws import machine_image
from ostiary.aws.machine_image import MachineImage
from ostiary.connect_region import Reached
from ostiary.doors.gateway.importing.finishing import until_available
from ostiary.doors.gateway.importing.job import Job
from ostiary.doors.gateway.importing.route import Route
from ostiary.doors.gateway.importing.settings import DIGEST_TAG, KEY_TAG, ROUTE_TAG, Imported
from ostiary.errors import Conflict

REGISTERED_WITHIN = 30.0  # seconds from the completion of a snapshot to its AMI
_OF_BLOCKS = frozenset({"ValidationException", "ConflictException", "ResourceNotFoundException"})


def known_image(
    reached: Reached, digest: str, route: str = "auto", kms_key: str = ""
) -> MachineImage | None:
    """The AMI of this very file, by its tag; by this route and encrypted with this key (ARN) if they were asked for."""
    wanted = {DIGEST_TAG: digest}
    if route != "auto":
        wanted[ROUTE_TAG] = route
    if kms_key:
        wanted[KEY_TAG] = kms_key
    found = machine_image.find(reached.aws, reached.region, wanted)
    usable = [one for one in found if one.state in ("available", "pending")]
    return usable[0] if usable else None


def found_again(job: Job) -> MachineImage | None:
    known = known_image(job.reached, job.found.digest, job.settings.route, job.settings.kms_key)
    return until_available(job, known.id) if known is not None else None


def made_by_another(job: Job, route: Route, failed: Conflict) -> MachineImage | None:
    """The AMI, if a run with another run store sent the same blocks to the same snapshot and completed it first.

    What the service says to a block for a snapshot that is completed is not documented, so that AMI is what counts.
    """
    if route.name != "ebs-direct" or failed.code not in _OF_BLOCKS:
        return None
    deadline = time.monotonic() + min(job.patience.unseen, REGISTERED_WITHIN)
    while (known := found_again(job)) is None and time.monotonic() < deadline:
        job.reached.aws.pause(min(1.0, job.patience.unseen / 10))
    return known


def reused(known: MachineImage, job: Job, route: Route) -> Imported:
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
