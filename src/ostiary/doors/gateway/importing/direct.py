"""A disk into a snapshot by EBS direct: blocks read, hashed and sent side by side, every acknowledgement written down.

What the log of a run says was put is not sent again. The log is appended to whenever anything was acknowledged since the
last append, without a timer, so after a kill only blocks in flight, and those acknowledged during one append, go twice.
"""

from __future__ import annotations

import base64
import hashlib
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from ostiary.aws.ebs_direct import BLOCK, EbsDirect
from ostiary.doors.gateway.image.disk import Disk
from ostiary.doors.gateway.importing.acknowledged import Acknowledged
from ostiary.errors import Conflict, Interrupted, OstiaryError
from ostiary.plan.runs import Log

GIB = 1024**3
SLOWEST = 1_000_000  # bytes a second at which a snapshot must still come to its end in time
ZEROS = bytes(BLOCK)
ZERO_DIGEST = hashlib.sha256(ZEROS).digest()
_OTHER = "block {} is another one than an earlier run sent: the file changed between runs"


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one disk. ``again`` blocks were there from an earlier run, ``same`` are those of the parent."""

    snapshot_id: str
    digests: Mapping[int, bytes]
    sent: int
    again: int
    same: int
    size: int  # GiB


def changed(snapshot_id: str, why: str) -> Conflict:
    return Conflict(
        f"cannot go on with {snapshot_id}",
        why=why,
        fix="put the former file back, or begin anew: ostiary gateway cancel FILE",
        code="file-changed",
    )


def minutes_for(size: int) -> int:
    """The time that a snapshot of ``size`` bytes is given before the service drops it."""
    return 60 + size // SLOWEST // 60


def send(
    disk: Disk,
    ebs: EbsDirect,
    log: Log,
    *,
    token: str,
    description: str,
    tags: Mapping[str, str],
    parent: str = "",
    parent_digests: Mapping[int, bytes] | None = None,
    kms_key: str = "",
    connections: int = 16,
    on_bytes: Callable[[int, int], None] | None = None,
    stop: threading.Event | None = None,
    unchanged: Callable[[], bool] = lambda: True,
) -> Sent:
    """Make the snapshot. Interrupted when ``stop`` is set; run again it goes on where it was.

    Conflict if a block that was put is another one now: then the file changed between runs. ``unchanged`` is asked when
    all was sent: a snapshot of a file that changed under the reader is not completed. With ``parent_digests`` only what
    differs from the parent is sent; blocks that the parent has and the disk has not are sent as zeros.
    """
    size = max(1, -(-disk.capacity // GIB))
    started = ebs.start(
        size=size,
        token=token,
        description=description,
        minutes=minutes_for(disk.capacity),
        parent=parent,
        kms_key=kms_key,
        tags=tags,
    )
    if started.state == "error":
        raise Conflict(
            f"cannot go on with {started.snapshot_id}",
            why="the service dropped it: it was not completed in time",
            fix="run the same command again: it begins a new snapshot",
            code="snapshot-error",
        )
    known = Acknowledged.read(log)
    known.begin(started.snapshot_id)
    run = _Run(ebs, started.snapshot_id, known, parent_digests or {}, stop or threading.Event())
    run.all_blocks(disk, connections, on_bytes)
    if not unchanged():
        raise changed(started.snapshot_id, "the file changed while it was read")
    ebs.complete(started.snapshot_id, run.put)
    return Sent(started.snapshot_id, run.digests, run.sent, run.again, run.same, size)


class _Run:
    """The state of one disk on its way. The reader's thread owns it all but ``_acknowledged``."""

    def __init__(
        self,
        ebs: EbsDirect,
        snapshot_id: str,
        known: Acknowledged,
        parent: Mapping[int, bytes],
        stop: threading.Event,
    ) -> None:
        self._ebs, self._snapshot_id = ebs, snapshot_id
        self._known, self._parent, self._stop = known, parent, stop
        self._acknowledged: queue.SimpleQueue[tuple[int, bytes] | None] = queue.SimpleQueue()
        self._free: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
        self._connections = 1
        self._broken: BaseException | None = None
        self.digests: dict[int, bytes] = {}
        self.put: dict[int, bytes] = {}
        self.sent = self.again = self.same = 0

    def all_blocks(
        self, disk: Disk, connections: int, on_bytes: Callable[[int, int], None] | None
    ) -> None:
        self._connections = connections
        for _ in range(connections):  # blocks are copied into these and nowhere else
            self._free.put(bytearray(BLOCK))
        writer = threading.Thread(target=self._write_down, name="blocks-log")
        writer.start()
        try:
            with ThreadPoolExecutor(connections, thread_name_prefix="blocks") as pool:
                self._read(disk, pool, on_bytes)
        finally:
            self._acknowledged.put(None)
            writer.join()
        if self._broken is not None:
            raise self._broken

    def _read(
        self,
        disk: Disk,
        pool: ThreadPoolExecutor,
        on_bytes: Callable[[int, int], None] | None,
    ) -> None:
        flying: set[Future[None]] = set()
        try:
            for index, view in disk.stored_blocks(BLOCK):
                flying = self._one(index, view, pool, flying)
                if on_bytes is not None:
                    on_bytes(min((index + 1) * BLOCK, disk.capacity), disk.capacity)
            for index in self._emptied():
                flying = self._one(index, memoryview(ZEROS), pool, flying)
                del self.digests[index]
        except BaseException:
            for one in flying:
                one.cancel()
            raise
        while flying:
            flying = _landed(flying)
        for index in self._known.put:
            if index not in self.put:
                raise changed(self._snapshot_id, _OTHER.format(index))
        if on_bytes is not None:
            on_bytes(disk.capacity, disk.capacity)

    def _emptied(self) -> list[int]:
        """Blocks that the parent has and this disk has not."""
        gone = set(self._parent) - set(self.digests)
        return sorted(index for index in gone if self._parent[index] != ZERO_DIGEST)

    def _one(
        self, index: int, data: memoryview, pool: ThreadPoolExecutor, flying: set[Future[None]]
    ) -> set[Future[None]]:
        """Judge one block and send it if need be; what is in flight afterwards, never more than there are buffers."""
        if self._stop.is_set():
            raise Interrupted(
                f"stopped sending blocks of {self._snapshot_id}",
                why="a stop was asked for",
                fix="run the same command again: it goes on where it was",
            )
        if self._broken is not None:
            raise self._broken
        digest = hashlib.sha256(data).digest()
        self.digests[index] = digest
        if self._parent.get(index) == digest:
            self.same += 1
            return flying
        self.put[index] = digest
        before = self._known.put.get(index)
        if before == digest:
            self.again += 1
            return flying
        if before is not None:
            raise changed(self._snapshot_id, _OTHER.format(index))
        self.sent += 1
        if len(flying) >= self._connections:
            flying = _landed(flying)
        buffer = self._free.get()
        buffer[:] = data
        return flying | {pool.submit(self._send, index, buffer, digest)}

    def _send(self, index: int, buffer: bytearray, digest: bytes) -> None:
        try:
            checksum = base64.b64encode(digest).decode()
            self._ebs.put(self._snapshot_id, index, memoryview(buffer), checksum)
        finally:
            self._free.put(buffer)
        self._acknowledged.put((index, digest))

    def _write_down(self) -> None:
        """Append whatever was acknowledged since the last append, as long as there is anything to come."""
        more = True
        while more:
            batch: dict[int, bytes] = {}
            one = self._acknowledged.get()
            while one is not None:
                batch[one[0]] = one[1]
                if self._acknowledged.empty():
                    break
                one = self._acknowledged.get()
            more = one is not None
            if not batch:
                continue
            try:
                self._known.append(batch)
            except OstiaryError as error:
                self._broken = error
                return


def _landed(flying: set[Future[None]]) -> set[Future[None]]:
    """Wait until at least one has ended; what fails raises here."""
    done, left = wait(flying, return_when=FIRST_COMPLETED)
    for one in done:
        one.result()
    return left
