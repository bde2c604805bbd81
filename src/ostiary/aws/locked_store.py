"""A store whose objects nobody removes or overwrites for a time, the account's root included: S3 Object Lock in compliance mode.

Source: Amazon S3 User Guide, "Locking objects with Object Lock": a locked version stays until its date; a later object of
the same name is another version of it. The bucket must have been made with Object Lock, or versioned and then locked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from ostiary.aws.run_store import S3RunStore
from ostiary.aws.session import Aws
from ostiary.errors import Denied, NotFound, OstiaryError, UsageError

_MODE = "COMPLIANCE"
_NO_LOCK = "ObjectLockConfigurationNotFoundError"
_DENIED = "AccessDenied"
_ALLOW = (
    "allow this caller, for that bucket: s3:GetBucketObjectLockConfiguration, s3:ListBucket, s3:GetObject,"
    " s3:PutObject, s3:PutObjectRetention"
)
MOST_DAYS = 36500  # S3's own bound of a default retention


class LockedStore(S3RunStore):
    """As ``S3RunStore``; what is put is locked for ``days`` from then on."""

    def __init__(
        self,
        aws: Aws,
        bucket: str,
        prefix: str,
        *,
        days: int,
        region: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not 1 <= days <= MOST_DAYS:
            why = f"S3 locks for 1 to {MOST_DAYS} days"
            fix = "run again with: --keep-days 365"
            raise UsageError(f"cannot lock for {days} days", why=why, fix=fix)
        super().__init__(aws, bucket, prefix, region=region)
        self._days = days
        self._clock = clock

    def check(self) -> None:
        """NotFound where there is no bucket, UsageError for one that does not lock (what is kept there could be removed),

        Denied with all that the caller must be allowed.
        """
        what = f"cannot keep an audit in bucket {self._bucket}"
        make = "aws s3api create-bucket --object-lock-enabled-for-bucket --bucket"
        try:
            self._aws.call(
                "s3", "get_object_lock_configuration", region=self._region, Bucket=self._bucket
            )
        except OstiaryError as failed:
            if failed.code == _NO_LOCK:
                raise UsageError(
                    what,
                    why="it has no Object Lock, so what is kept there could be removed",
                    fix=f"name another bucket, made with: {make} {self._bucket}-locked",
                    code=failed.code,
                ) from failed
            if failed.code == _DENIED:
                raise Denied(what, why=failed.why, fix=_ALLOW, code=failed.code) from failed
            if not isinstance(failed, NotFound):
                raise
            fix = f"run: {make} {self._bucket}"
            raise NotFound(what, why=failed.why, fix=fix, code=failed.code) from failed

    def _call(self, operation: str, name: str, **params: Any) -> Any:
        if operation == "put_object":
            until = datetime.fromtimestamp(self._clock(), UTC) + timedelta(days=self._days)
            params |= {"ObjectLockMode": _MODE, "ObjectLockRetainUntilDate": until}
        return super()._call(operation, name, **params)
