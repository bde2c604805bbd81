"""The run store over S3: conditional puts make creation and the lease safe between machines.

Source: Amazon S3 User Guide, "Add preconditions to S3 operations with conditional requests": ``If-None-Match: *``
answers 412 when the object exists, ``If-Match: <ETag>`` when it is another version, 409 when two writers met.
"""

from __future__ import annotations

from typing import Any

from ostiary.aws.session import Aws
from ostiary.aws.translate import BOTO_ERRORS, translate
from ostiary.errors import Conflict, NotFound, Unreachable, UsageError
from ostiary.plan.runs import Log, SegmentLog, Stored, checked_name

_LOST_THE_RACE = frozenset(("PreconditionFailed", "412"))
_MET_ANOTHER = frozenset(("ConditionalRequestConflict", "409"))
_TRIES = 8


class S3RunStore:
    """Objects ``<prefix>/<name>`` in a bucket. ``kms_key`` (id, ARN or alias) encrypts them by SSE-KMS.

    ``aws`` signs as the caller itself, in the bucket's ``region`` (None: the caller's).
    """

    def __init__(
        self,
        aws: Aws,
        bucket: str,
        prefix: str = "",
        *,
        kms_key: str | None = None,
        region: str | None = None,
    ) -> None:
        self._aws = aws
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._region = region
        self._sealing: dict[str, str] = (
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
        )

    @classmethod
    def at(cls, aws: Aws, url: str, *, kms_key: str | None = None) -> S3RunStore:
        """The store that an estate names: ``s3://bucket/prefix``."""
        scheme, _, rest = url.partition("://")
        bucket, _, prefix = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise UsageError(
                f"cannot use {url} as a run store", fix="write it as s3://bucket/prefix"
            )
        return cls(aws, bucket, prefix, kms_key=kms_key)

    def put_new(self, name: str, data: bytes) -> bool:
        return self._put_if(name, data, {"IfNoneMatch": "*"}) is not None

    def put(self, name: str, data: bytes) -> None:
        self._call("put_object", name, Body=data, repeatable=True, **self._sealing)

    def get(self, name: str) -> Stored | None:
        for attempt in range(_TRIES):
            try:
                answer = self._call("get_object", name)
                return Stored(answer["Body"].read(), answer["ETag"])
            except NotFound as absent:
                if absent.code == "NoSuchBucket":
                    raise
                return None
            except BOTO_ERRORS as cut:  # the body is read after the call
                if attempt + 1 == _TRIES:
                    raise translate(cut, f"cannot read {name} of the run store") from cut
        return None

    def names(self, prefix: str) -> tuple[str, ...]:
        found: list[str] = []
        more: dict[str, Any] = {}
        while True:
            page = self._aws.call(
                "s3",
                "list_objects_v2",
                region=self._region,
                Bucket=self._bucket,
                Prefix=self._prefix + prefix,
                **more,
            )
            found += (one["Key"].removeprefix(self._prefix) for one in page.get("Contents", ()))
            if not page.get("IsTruncated"):
                return tuple(sorted(found))
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, name: str) -> None:
        self._call("delete_object", name, repeatable=True)

    def swap(self, name: str, expected: str | None, data: bytes) -> str | None:
        condition = {"IfNoneMatch": "*"} if expected is None else {"IfMatch": expected}
        return self._put_if(name, data, condition)

    def log(self, name: str) -> Log:
        return SegmentLog(self, name)

    def _put_if(self, name: str, data: bytes, condition: dict[str, str]) -> str | None:
        """The new ETag; None if the condition did not hold.

        After a lost answer the object is looked at: our bytes there mean that the write was done. Two writers
        of the same bytes are then both told that they won, so a lease must hold something of its owner.
        """
        for _ in range(_TRIES):
            try:
                answer = self._call("put_object", name, Body=data, **condition, **self._sealing)
                return str(answer["ETag"])
            except NotFound as absent:
                if absent.code == "NoSuchBucket":
                    raise
                return None  # If-Match on an object that is gone
            except Conflict as refused:
                if refused.code in _LOST_THE_RACE:
                    return None
                if refused.code not in _MET_ANOTHER:
                    raise
            except Unreachable as lost:
                if not lost.maybe_done:
                    raise
                kept = self.get(name)
                if kept is not None and kept.data == data:
                    return kept.version
        raise Conflict(
            f"cannot write {name} to the run store",
            why=f"another writer came first {_TRIES} times",
            fix="run the same command again",
        )

    def _call(self, operation: str, name: str, **params: Any) -> Any:
        key = self._prefix + checked_name(name)
        return self._aws.call(
            "s3", operation, region=self._region, Bucket=self._bucket, Key=key, **params
        )
