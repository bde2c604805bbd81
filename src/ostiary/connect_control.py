"""The composition root of ``ostiary serve``: keys in KMS, instances of EC2, stores of checkpoints, and the org's API.

As in ``connect.py``, nothing is sent before it is asked for, and tests give other transports.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from ostiary.aws.clients import Clients
from ostiary.aws.instance_seen import InstancesSeen
from ostiary.aws.kms_key import KmsKey, open_key
from ostiary.aws.kms_wrap import KmsWrap
from ostiary.aws.locked_store import LockedStore
from ostiary.aws.region import partition_of, region_of
from ostiary.aws.session import Aws
from ostiary.connect import Transports
from ostiary.errors import Interrupted, UsageError
from ostiary.okta.auth import Secret, ServiceApp, Ssws
from ostiary.okta.client import OktaClient
from ostiary.plan.wrap import Wrap

SIGN_WITHIN = 2.5  # seconds after which a signature by KMS is given up: who asked waits for it
SIGN_PATIENCE = 2.0  # seconds that one attempt may take to connect, and to be answered


def kms_signers(
    *,
    profile: str | None = None,
    region: str | None = None,
    environ: Mapping[str, str] | None = None,
    transports: Transports | None = None,
    stopping: threading.Event | None = None,
) -> Callable[[str], tuple[str, KmsKey]]:
    """What gives ARN and key of KMS keys by ARN, id or alias to somebody who waits: a refusal comes within some five seconds.

    An ARN says its own region. Sends nothing yet.
    """
    reached = _by_region(profile, transports, stopping)

    def opened(kms_key: str) -> tuple[str, KmsKey]:
        where = _region_of_key(kms_key, region, profile, environ)
        key = open_key(reached(where), kms_key, within=SIGN_WITHIN)
        return key.arn, key

    return opened


def instances_seen(
    *, profile: str | None = None, transports: Transports | None = None
) -> InstancesSeen:
    """What asks EC2 for instances of the account that this process's credentials are of. Sends nothing yet."""
    return InstancesSeen(_by_region(profile, transports), SIGN_WITHIN)


def _by_region(
    profile: str | None, transports: Transports | None, stopping: threading.Event | None = None
) -> Callable[[str], Aws]:
    """AWS in any region for somebody who waits, with the clients of one profile; each region once."""
    clients = Clients(profile, transports.aws if transports else None, patience=SIGN_PATIENCE)

    @cache
    def reached(where: str) -> Aws:
        return Aws(
            profile=profile,
            partition=partition_of(where),
            region=where,
            purpose="serve",
            clients=clients,
            stopping=stopping,
        )

    return reached


def _region_of_key(
    key: str, region: str | None, profile: str | None, environ: Mapping[str, str] | None
) -> str:
    """That of its ARN, else the one that the process works in."""
    parts = key.split(":")
    if len(parts) > 3:  # noqa: PLR2004 - the region's place in an ARN
        return parts[3]
    return region_of(region, profile, os.environ if environ is None else environ)[0]


def kms_kek(
    key: str,
    *,
    profile: str | None = None,
    region: str | None = None,
    environ: Mapping[str, str] | None = None,
    transports: Transports | None = None,
) -> Wrap:
    """The key-encryption key of a control plane, kept in KMS as id, ARN or alias. Sends nothing yet."""
    where = _region_of_key(key, region, profile, environ)
    aws = Aws(
        profile=profile,
        partition=partition_of(where),
        region=where,
        purpose="serve",
        on_client=transports.aws if transports else None,
    )
    return KmsWrap(aws, key, "control", region=where)


def locked_store(
    url: str,
    *,
    days: int,
    profile: str | None = None,
    region: str | None = None,
    environ: Mapping[str, str] | None = None,
    transports: Transports | None = None,
) -> tuple[LockedStore, Callable[[], None]]:
    """The store ``s3://BUCKET/PREFIX``, whose objects are locked for ``days``, and what closes it. Sends nothing yet."""
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise UsageError(
            f"cannot keep anything at {url}",
            why="that is no address of a bucket",
            fix="write it as s3://BUCKET/PREFIX",
        )
    where, _ = region_of(region, profile, os.environ if environ is None else environ)
    aws = Aws(
        profile=profile,
        partition=partition_of(where),
        region=where,
        purpose="audit",
        on_client=transports.aws if transports else None,
    )
    return LockedStore(aws, bucket, prefix, days=days, region=where), aws.close


CONTROL_SCOPES = ("okta.logs.read", "okta.users.read", "okta.groups.read")


def control_org(
    issuer: str,
    *,
    client_id: str = "",
    key_file: Path | None = None,
    transports: Transports | None = None,
    environ: Mapping[str, str] | None = None,
    stopping: threading.Event | None = None,
) -> OktaClient | None:
    """The API of the org whose authorization server ``issuer`` is; None without credentials for it.

    They are those of a service app, else the API token in OKTA_CLIENT_TOKEN. Sends nothing yet. Setting ``stopping``
    ends every wait with ``Interrupted``.
    """
    stopping = stopping or threading.Event()
    environ = os.environ if environ is None else environ
    token = environ.get("OKTA_CLIENT_TOKEN", "").strip()
    parts = urlsplit(issuer)
    if not client_id and not token:
        return None
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
        raise UsageError(
            f"cannot ask the API of {issuer}",
            why="credentials go nowhere but by https",
            fix="correct --issuer",
        )
    auth: httpx2.Auth = Ssws(Secret(token))
    if client_id:
        auth = ServiceApp(client_id, Secret(_key_of(key_file)), CONTROL_SCOPES)

    def pause(seconds: float) -> None:
        if stopping.wait(seconds):
            raise Interrupted("cannot go on asking Okta", why="this process is ending")

    return OktaClient(
        f"https://{parts.netloc}",
        auth,
        transport=transports.okta if transports else None,
        sleep=pause,
        timeout=10.0,
    )


def _key_of(key_file: Path | None) -> str:
    if key_file is None:
        raise UsageError(
            "cannot use this service app",
            why="it proves itself by its private key",
            fix="add --okta-key-file",
        )
    try:
        return key_file.read_text()
    except OSError as error:
        raise UsageError(
            "cannot read the private key of the service app",
            why=f"{key_file}: {str(error.strerror).lower()}",
            fix="correct --okta-key-file",
        ) from error
