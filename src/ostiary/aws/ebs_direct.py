"""The EBS direct APIs: a snapshot made block by block, without a volume, a bucket or an instance.

Blocks go over the lean signed path (``signed_calls.py``), the few other calls through botocore. Source: Amazon EBS User
Guide, "EBS direct APIs"; EBS direct APIs API Reference.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ostiary.aws.machine_image import snapshot_state
from ostiary.aws.session import Aws
from ostiary.aws.signed_calls import Send, SignedCalls
from ostiary.aws.signing import UNSIGNED
from ostiary.errors import Conflict, NotFound, UsageError

BLOCK = 512 * 1024
MOST_MINUTES = 4320
LOOKS = 10  # a second apart, at a snapshot whose completion was refused
_EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Started:
    """A snapshot that takes blocks; ``state`` is pending unless ``token`` was known and time went on."""

    snapshot_id: str
    state: str


class EbsDirect:
    """EBS direct in one region. Threads may share it; ``connections`` bounds what they hold open.

    ``send`` replaces the network for the block calls (tests).
    """

    def __init__(
        self, aws: Aws, region: str, *, connections: int = 16, send: Send | None = None
    ) -> None:
        self._aws = aws
        self._region = region
        self._calls = SignedCalls(aws, "ebs", region, connections=connections, send=send)

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
        if parent and kms_key:
            raise UsageError(
                f"cannot encrypt what builds on {parent}",
                why="EBS takes a parent or a key, not both: with a parent its key stays",
                fix="leave --kms-key or --parent out",
            )
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
        snapshot_id, size_of_block = str(answer["SnapshotId"]), int(answer["BlockSize"])
        if size_of_block != BLOCK:
            raise Conflict(
                f"cannot send blocks to {snapshot_id}",
                why=f"it wants blocks of {size_of_block} bytes, not {BLOCK}",
                fix="import by another route: --route import-snapshot",
            )
        return Started(snapshot_id, str(answer.get("Status", "pending")))

    def put(self, snapshot_id: str, index: int, data: bytes | memoryview, checksum: str) -> None:
        """Send one block with its SHA-256 (base64). Repeating it is fine. Raises what the service says."""
        headers = {
            "x-amz-data-length": str(BLOCK),
            "x-amz-checksum": checksum,
            "x-amz-checksum-algorithm": "SHA256",
        }
        path = f"/snapshots/{snapshot_id}/blocks/{index}"
        what = f"cannot send block {index} of {snapshot_id}"
        with _begun_anew():
            self._calls.exchange(what, "PUT", path, payload=UNSIGNED, headers=headers, body=data)

    def complete(self, snapshot_id: str, digests: Mapping[int, bytes]) -> None:
        """Say that these blocks, with these SHA-256, are all that was put. Saying it again is fine.

        Whether the service takes it twice is not documented: when it is refused, what counts is whether it completed.
        """
        linear = hashlib.sha256(b"".join(digests[index] for index in sorted(digests))).digest()
        try:
            with _begun_anew():
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
        except Conflict:
            if not self._completed(snapshot_id):
                raise

    def _completed(self, snapshot_id: str) -> bool:
        for _ in range(LOOKS):
            state, _ = snapshot_state(self._aws, self._region, snapshot_id)
            if state != "pending":
                return state == "completed"
            self._aws.pause(1.0)
        return False

    def blocks(self, snapshot_id: str) -> Iterator[tuple[int, bytes]]:
        """Index and bytes of every block that a completed snapshot has, each checked against its checksum."""
        for one in self._aws.pages(
            "ebs", "list_snapshot_blocks", "Blocks", region=self._region, SnapshotId=snapshot_id
        ):
            index = int(one["BlockIndex"])
            path = f"/snapshots/{snapshot_id}/blocks/{index}"
            query = {"blockToken": str(one["BlockToken"])}
            what = f"cannot read block {index} of {snapshot_id}"
            headers, data = self._calls.exchange(what, "GET", path, payload=_EMPTY, query=query)
            checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
            if headers.get("x-amz-checksum") != checksum:
                raise Conflict(
                    f"cannot trust block {index} of {snapshot_id}", why="its checksum is wrong"
                )
            yield index, data


@contextlib.contextmanager
def _begun_anew() -> Iterator[None]:
    """What the service no longer takes, or no longer has, is no use: the next run begins another snapshot."""
    try:
        yield
    except (Conflict, NotFound) as refused:
        fix = "run the same command again: it begins a new snapshot"
        raise Conflict(refused.what, why=refused.why, fix=fix, code=refused.code) from refused
