"""The EBS direct APIs: a snapshot made block by block, without a volume, a bucket or an instance.

Blocks go over a lean signed path (``signing.py``, urllib3), the few other calls through botocore. Source: Amazon EBS User Guide,
"EBS direct APIs"; EBS direct APIs API Reference.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import urllib3

from ostiary.aws.session import Aws
from ostiary.aws.signing import UNSIGNED, RequestSigner
from ostiary.errors import Conflict, Denied, NotFound, OstiaryError, Throttled, Unreachable

BLOCK = 512 * 1024
MOST_MINUTES = 4320
RETRY_FOR = 150.0  # seconds of one block with all its retries
LONGEST_WAIT = 8.0
_THROTTLED = ("RequestThrottled", "Throttl", "ConcurrentLimitExceeded", "SlowDown")
_AGAIN = (500, 502, 503, 504)

# Method, URL, headers, body -> status, headers, body. Raises OSError or urllib3's HTTPError for a lost answer.
Send: TypeAlias = Callable[
    [str, str, Mapping[str, str], bytes | memoryview], tuple[int, Mapping[str, str], bytes]
]


@dataclass(frozen=True, slots=True)
class Started:
    """A pending snapshot."""

    snapshot_id: str
    block_size: int
    parent: str


class EbsDirect:
    """EBS direct in one region. Threads may share it; ``connections`` bounds what they hold open.

    ``send`` replaces the network for the block calls (tests).
    """

    def __init__(
        self, aws: Aws, region: str, *, connections: int = 16, send: Send | None = None
    ) -> None:
        self._aws = aws
        self._region = region
        endpoint = urlsplit(aws.client("ebs", region).meta.endpoint_url)
        self._origin = f"{endpoint.scheme}://{endpoint.netloc}"
        self._host = endpoint.netloc
        self._signer = RequestSigner("ebs", region, aws.clients.credentials)
        self._send = send or _network(aws.clients.ca_bundle(), connections)

    def start(
        self,
        *,
        size: int,
        token: str,
        description: str,
        minutes: int,
        parent: str,
        kms_key: str,
        tags: Mapping[str, str],
    ) -> Started:
        """Begin a snapshot of ``size`` GiB; with a known ``token`` the one that was begun with it."""
        more: dict[str, Any] = {}
        if parent:
            more["ParentSnapshotId"] = parent
        elif kms_key:
            more |= {"Encrypted": True, "KmsKeyArn": kms_key}
        answer = self._aws.call(
            "ebs",
            "start_snapshot",
            region=self._region,
            repeatable=True,
            VolumeSize=size,
            ClientToken=token,
            Description=description,
            Timeout=max(10, min(MOST_MINUTES, minutes)),
            Tags=[{"Key": key, "Value": value} for key, value in sorted(tags.items())],
            **more,
        )
        return Started(answer["SnapshotId"], int(answer["BlockSize"]), parent)

    def put(self, snapshot_id: str, index: int, data: bytes | memoryview, checksum: str) -> None:
        """Send one block with its SHA-256 (base64). Repeating it is fine. Raises what the service says."""
        headers = {
            "host": self._host,
            "x-amz-data-length": str(BLOCK),
            "x-amz-checksum": checksum,
            "x-amz-checksum-algorithm": "SHA256",
        }
        self._exchange("PUT", f"/snapshots/{snapshot_id}/blocks/{index}", {}, headers, data)

    def complete(self, snapshot_id: str, digests: Mapping[int, bytes]) -> None:
        """Say that these blocks, with these SHA-256, are all that was put."""
        linear = hashlib.sha256(b"".join(digests[index] for index in sorted(digests))).digest()
        self._aws.call(
            "ebs",
            "complete_snapshot",
            region=self._region,
            repeatable=True,
            SnapshotId=snapshot_id,
            ChangedBlocksCount=len(digests),
            Checksum=base64.b64encode(linear).decode(),
            ChecksumAlgorithm="SHA256",
            ChecksumAggregationMethod="LINEAR",
        )

    def blocks(self, snapshot_id: str) -> Iterator[tuple[int, bytes]]:
        """Index and bytes of every block that a completed snapshot has, each checked against its checksum."""
        for one in self._aws.pages(
            "ebs", "list_snapshot_blocks", "Blocks", region=self._region, SnapshotId=snapshot_id
        ):
            index = int(one["BlockIndex"])
            path = f"/snapshots/{snapshot_id}/blocks/{index}"
            query = {"blockToken": str(one["BlockToken"])}
            headers, data = self._exchange("GET", path, query, {"host": self._host}, b"")
            checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
            if headers.get("x-amz-checksum") != checksum:
                raise Conflict(
                    f"cannot trust block {index} of {snapshot_id}", why="its checksum is wrong"
                )
            yield index, data

    def _exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | memoryview,
    ) -> tuple[Mapping[str, str], bytes]:
        what = f"cannot {'send' if method == 'PUT' else 'read'} block {path.rpartition('/')[2]}"
        payload = UNSIGNED if method == "PUT" else hashlib.sha256(b"").hexdigest()
        deadline = time.monotonic() + RETRY_FOR
        attempt = 0
        while True:
            signed = self._signer.sign(method, path, query, headers, payload)
            url = self._origin + path + _query(query)
            try:
                status, answered, content = self._send(method, url, signed, body)
            except (OSError, urllib3.exceptions.HTTPError) as lost:
                failure: OstiaryError = Unreachable(
                    what,
                    why=f"{type(lost).__name__}: {lost}",
                    fix="check the network, then run the same command again",
                    maybe_done=method == "PUT",
                )
                again = True
            else:
                if status < 300:  # noqa: PLR2004 - HTTP's own number
                    return answered, content
                failure, again = _refused(what, status, answered, content)
            wait = random.uniform(0, min(LONGEST_WAIT, 0.2 * 2**attempt))  # noqa: S311 - jitter
            if not again or time.monotonic() + wait > deadline:
                raise failure
            self._aws.pause(wait)
            attempt += 1


def _query(query: Mapping[str, str]) -> str:
    if not query:
        return ""
    from urllib.parse import urlencode  # noqa: PLC0415 - only for reading back

    return "?" + urlencode(query)


def _refused(
    what: str, status: int, headers: Mapping[str, str], body: bytes
) -> tuple[OstiaryError, bool]:
    """The error of our tree, and whether the same call may go well later."""
    code = headers.get("x-amzn-errortype", "").partition(":")[0] or str(status)
    try:
        said = json.loads(body or b"{}")
    except ValueError:
        said = {}
    message = said.get("Message") or said.get("message") or ""
    reason = f" {said['Reason']}" if said.get("Reason") else ""
    why = f"{code}{reason}: {message}"
    if any(word in code for word in _THROTTLED) or status == 429:  # noqa: PLR2004
        return Throttled(
            what, why=why, fix="run the same command again in a minute", code=code
        ), True
    if status in _AGAIN:
        return Unreachable(what, why=why, fix="run the same command again", code=code), True
    if status == 404:  # noqa: PLR2004
        return NotFound(what, why=why, code=code), False
    if status in (401, 403):
        fix = "allow ebs:StartSnapshot, PutSnapshotBlock, CompleteSnapshot to this caller"
        return Denied(what, why=why, fix=fix, code=code), False
    return Conflict(what, why=why, fix="run the same command again", code=code), False


def _network(ca_bundle: str, connections: int) -> Send:
    pool = urllib3.PoolManager(
        num_pools=1,
        maxsize=connections,
        block=True,
        retries=False,
        timeout=urllib3.Timeout(connect=10, read=60),
        ca_certs=ca_bundle,
        cert_reqs="CERT_REQUIRED",
    )

    def send(
        method: str, url: str, headers: Mapping[str, str], body: bytes | memoryview
    ) -> tuple[int, Mapping[str, str], bytes]:
        sent: Any = body or None  # urllib3 takes whatever has bytes; its types know only bytes
        response = pool.request(method, url, headers=dict(headers), body=sent)
        found = {name.lower(): value for name, value in response.headers.items()}
        return response.status, found, response.data

    return send
