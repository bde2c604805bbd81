"""What is refused before a byte leaves: unsafe or unfit files, names that are taken, a file that changed between runs."""

from __future__ import annotations

from ostiary.aws import machine_image
from ostiary.doors.gateway.image.inspection import Inspection
from ostiary.doors.gateway.image.problems import Problem
from ostiary.doors.gateway.importing import record as records
from ostiary.doors.gateway.importing.job import Job
from ostiary.doors.gateway.importing.settings import DIGEST_TAG, ImportSettings
from ostiary.errors import Conflict, OstiaryError


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


def require_free(job: Job) -> None:
    """Conflict if another AMI has the name: said before anything is sent, not after all of it."""
    for one in machine_image.named(job.reached.aws, job.reached.region, job.name):
        if one.tags.get(DIGEST_TAG) != job.found.digest:
            raise Conflict(
                f"cannot name an AMI {job.name}",
                why=f"{one.id} has that name and is of another file",
                fix="choose another name with --name",
                code="InvalidAMIName.Duplicate",
            )


def require_same_file(job: Job) -> None:
    """Conflict if an import of a file of this name is under way and it is another file now."""
    here = (job.path.name, job.reached.account_id, job.reached.region)
    for one in records.every(job.reached.store):
        same = (one.file, one.account_id, one.region) == here
        if same and one.state == "begun" and one.sent and one.digest != job.found.digest:
            raise Conflict(
                f"cannot go on with the import of {one.file}",
                why=f"the file changed between runs: it was {one.digest[:12]}…, now it is"
                f" {job.found.digest[:12]}…",
                fix="put the former file back, or remove what was sent of it:"
                f" ostiary gateway cancel {one.file} --region {one.region}",
                code="file-changed",
            )
