"""A span of a file into one S3 object: parts side by side, each held to its checksum, resumed where it was.

What S3 has already and whose checksum is the one expected is not sent again. Nothing becomes an object before every part
is there; what cannot be completed is aborted.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from ostiary.aws import multipart
from ostiary.aws.import_bucket import Bucket
from ostiary.aws.multipart import LEAST_PART, MOST_PARTS, Multipart, Part, StoredObject
from ostiary.aws.session import Aws
from ostiary.doors.gateway.image.inspect import opened
from ostiary.doors.gateway.importing.reading import Span, changed
from ostiary.doors.gateway.importing.settings import OnStep, Step
from ostiary.errors import Conflict, Interrupted, NotFound

PART = 8 * 1024 * 1024
WORKERS = 4
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """What is uploaded: a span of a file with the CRC32 (base64) of each of its parts."""

    path: Path
    span: Span
    checksums: Sequence[str]
    digest: str = ""  # SHA-256 of the whole file, kept with the object

    def is_at(self, there: StoredObject | None) -> bool:
        """Whether an object is this content, by S3's own checksum of it."""
        return there == StoredObject(self.span.size, multipart.composite(self.checksums))


@dataclass(frozen=True, slots=True)
class Uploaded:
    """``sent`` and ``again`` are bytes: sent now, and there from an earlier run."""

    bucket: Bucket
    key: str
    sent: int
    again: int


def span(start: int, size: int) -> Span:
    """Parts of 8 MiB, larger where a file would need more than S3 takes."""
    least = -(-size // MOST_PARTS)
    part = max(PART, LEAST_PART, -(-least // _MIB) * _MIB)
    return Span(start, size, part)


def upload(
    aws: Aws,
    bucket: Bucket,
    key: str,
    content: Content,
    *,
    on_step: OnStep,
    stop: threading.Event,
    workers: int = WORKERS,
) -> Uploaded:
    """Make ``key`` hold the content. Interrupted when ``stop`` is set: run again it goes on where it was."""
    wanted = content.span
    if content.is_at(multipart.stored_object(aws, bucket, key)):
        for spare in multipart.uploads(aws, bucket, key):
            spare.abort()
        return Uploaded(bucket, key, 0, wanted.size)
    metadata = {"appliance-sha256": content.digest} if content.digest else {}
    begun = multipart.begin(aws, bucket, key, metadata)
    try:
        return _sent(begun, content, on_step=on_step, stop=stop, workers=workers)
    except (NotFound, Conflict) as refused:
        if refused.code == "BadDigest":
            begun.abort()
            raise changed(content.path) from refused
        if refused.code != "NoSuchUpload":
            raise
        if content.is_at(multipart.stored_object(aws, bucket, key)):
            return Uploaded(bucket, key, 0, wanted.size)  # another operator's run was at it too
        raise Conflict(
            f"the upload to {key} is gone",
            why="another run imported the same file, or cancelled it, in the meantime",
            fix="run the same command again: what that run made is found",
            code=refused.code,
        ) from refused


def _sent(
    begun: Multipart, content: Content, *, on_step: OnStep, stop: threading.Event, workers: int
) -> Uploaded:
    wanted = content.span
    there = _usable(begun, content)
    again = sum(one.size for one in there.values())
    missing = [number for number in range(1, wanted.parts + 1) if number not in there]
    done = again
    on_step(Step("uploading", done, wanted.size))
    with (
        opened(content.path) as (fd, _),
        ThreadPoolExecutor(workers, thread_name_prefix="parts") as pool,
    ):

        def put(number: int) -> Part:
            offset, length = wanted.bounds(number)
            return begun.put(number, os.pread(fd, length, offset), content.checksums[number - 1])

        for part in _landing(pool, put, missing, workers, stop):
            there[part.number] = part
            done += part.size
            on_step(Step("uploading", done, wanted.size))
    begun.complete(there)
    return Uploaded(begun.bucket, begun.key, done - again, again)


def _usable(begun: Multipart, content: Content) -> dict[int, Part]:
    """The parts that an earlier run sent and that are still what the file holds."""
    found = {}
    wanted, checksums = content.span, content.checksums
    for number, part in begun.parts().items():
        if number > wanted.parts or part.size != wanted.bounds(number)[1]:
            begun.abort()
            raise _other_file(begun)
        if part.crc32 == checksums[number - 1]:
            found[number] = part
        elif part.crc32:
            begun.abort()
            raise _other_file(begun)
    return found


def _other_file(begun: Multipart) -> Conflict:
    return Conflict(
        f"cannot go on with the upload to {begun.key}",
        why="the file changed between runs: a part that was sent is another one now; that upload is gone",
        fix="run the same command again to send the file as it is",
        code="file-changed",
    )


def _landing(
    pool: ThreadPoolExecutor,
    put: Callable[[int], Part],
    missing: Sequence[int],
    workers: int,
    stop: threading.Event,
) -> Iterator[Part]:
    """Parts as they arrive; never more than ``workers`` in memory."""
    flying: set[Future[Part]] = set()
    for number in missing:
        if stop.is_set():
            wait(flying)
            raise Interrupted(
                "stopped uploading",
                why="a stop was asked for",
                fix="run the same command again: it goes on where it was",
            )
        flying.add(pool.submit(put, number))
        if len(flying) >= workers:
            landed, flying = wait(flying, return_when=FIRST_COMPLETED)
            for one in landed:
                yield one.result()
    for one in wait(flying).done:
        yield one.result()
