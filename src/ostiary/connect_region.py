"""The way into one account and one region, for what needs no Organization: the gateway, keys in KMS.

A part of the composition root, ``connect.py``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from ostiary.aws.region import partition_of, region_of
from ostiary.aws.session import Aws
from ostiary.aws.signed_calls import Send
from ostiary.connect import Transports
from ostiary.connect_runs import runs_at
from ostiary.model.estate import Estate
from ostiary.plan.runs import RunStore
from ostiary.plan.wrap import Wrap


@dataclass(frozen=True, slots=True)
class Reached:
    """One account in one region, as the AWS CLI would reach it, and where runs are kept."""

    aws: Aws
    region: str
    region_origin: str
    store: RunStore
    wrap: Wrap
    blocks: Send | None = None
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def account_id(self) -> str:
        """Who we are there. Denied for the root user."""
        return self.aws.caller().account_id

    def close(self) -> None:
        self.aws.close()


def reach_region(
    *,
    profile: str | None = None,
    region: str | None = None,
    runs: str | None = None,
    estate: Estate | None = None,
    environ: Mapping[str, str] | None = None,
    transports: Transports | None = None,
    stopping: threading.Event | None = None,
) -> Reached:
    """The way into one region without naming an organization. Sends nothing yet.

    Runs are kept at ``runs`` (``file:FOLDER`` or ``s3://BUCKET/PREFIX``), else where ``estate`` says, else beside it.
    """
    environ = os.environ if environ is None else environ
    where, origin = region_of(region, profile, environ)
    stopping = stopping or threading.Event()
    aws = Aws(
        profile=profile,
        partition=partition_of(where),
        region=where,
        purpose="gateway",
        on_client=transports.aws if transports else None,
        stopping=stopping,
    )
    store, wrap = runs_at(runs, estate, aws, environ)
    blocks = transports.blocks if transports else None
    return Reached(aws, where, origin, store, wrap, blocks, stopping)
