"""Where runs are kept, and what encrypts their before-images: as an estate says, or a command line.

A part of the composition root, ``connect.py``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from ostiary.aws.kms_wrap import KmsWrap
from ostiary.aws.region import partition_of
from ostiary.aws.run_store import S3RunStore
from ostiary.aws.session import Aws
from ostiary.connect import Connected
from ostiary.errors import EstateError, UsageError
from ostiary.model.estate import DEFAULT_STORE, Estate, resolve
from ostiary.plan.runs import FolderStore, RunStore
from ostiary.plan.wrap import LocalKeyWrap, Wrap


def run_store(estate: Estate, connected: Connected | None = None) -> tuple[RunStore, Wrap]:
    """Where the estate keeps its runs, and what encrypts their before-images.

    A folder that is not absolute is beside the estate file.
    """
    store = resolve(estate.runs.store, os.environ)
    parts = urlsplit(store)
    if parts.scheme == "file":
        folder = (
            Path(estate.file).parent
            / Path(store.removeprefix("file:").removeprefix("//")).expanduser()
        )
        return FolderStore(folder), LocalKeyWrap.beside(folder)
    if parts.scheme != "s3" or connected is None:
        raise EstateError(
            f"cannot use {store} as run store",
            why="it is neither file:FOLDER nor s3://BUCKET/PREFIX",
            fix="correct runs.store in the estate",
        )
    aws = next(iter(connected.aws.values()), None) or _default_aws(connected)
    key = resolve(estate.runs.kms_key, os.environ) if estate.runs.kms_key else ""
    if not key:
        raise EstateError(
            "a run store in S3 needs a KMS key",
            why="before-images are encrypted with a key that every machine can ask for",
            fix="add runs.kms_key: alias/… to the estate",
        )
    return (
        S3RunStore(aws, parts.netloc, parts.path.strip("/"), kms_key=key),
        KmsWrap(aws, key, estate.name),
    )


def _default_aws(connected: Connected) -> Aws:
    """The default credentials, for the runs of an estate that names no Organization."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return Aws(
        partition=partition_of(region or ""),
        region=region,
        purpose=connected.purpose,
        stopping=connected.stopping,
    )


def runs_at(
    runs: str | None, estate: Estate | None, aws: Aws, environ: Mapping[str, str]
) -> tuple[RunStore, Wrap]:
    """The run store that a command line names, else the variable, else the estate, else the folder of today."""
    text = runs or environ.get("OSTIARY_RUNS") or ""
    named = text or (resolve(estate.runs.store, environ) if estate else DEFAULT_STORE)
    if named.startswith("s3://"):
        key = resolve(estate.runs.kms_key, environ) if estate and estate.runs.kms_key else ""
        store = S3RunStore.at(aws, named, kms_key=key or None)
        return store, KmsWrap(aws, key, "gateway") if key else LocalKeyWrap(
            Path(".ostiary/runs.key")
        )
    if not named.startswith("file:"):
        raise UsageError(
            f"cannot use {named} as run store",
            why="it is neither file:FOLDER nor s3://BUCKET/PREFIX",
            fix="correct --runs",
        )
    beside = Path() if text or estate is None else Path(estate.file).parent
    folder = beside / Path(named.removeprefix("file:").removeprefix("//")).expanduser()
    return FolderStore(folder), LocalKeyWrap.beside(folder)
