"""A signer whose key is elsewhere: opened when first needed, never waited for by more than a few, left alone while it fails.

KMS may be slow, throttle, or have its key disabled. Then nobody should hang: after a failure everybody is refused at once
for a moment, and one asker tries again. There is no other key to fall back to.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ostiary.errors import OstiaryError, Unreachable, UsageError
from ostiary.pki.signer import LocalSigner, Private
from ostiary.pki.ssh_key import PublicKey
from ostiary.pki.ssh_signature import algorithms_of

MOST_BYTES = 4096  # that KMS signs as they are; our key policy allows nothing else
MOST_AT_ONCE = 32  # signatures in flight; who comes then is refused
REST = 1.0  # seconds after a failure in which nobody tries; doubles with each failure that follows
LONGEST_REST = 16.0
UNAVAILABLE = "signing-unavailable"

Told = Callable[[OstiaryError | None], None]


class FarSigner:
    """Satisfies ``Signer``. What cannot be signed raises Unreachable with the code ``signing-unavailable``.

    ``open_key`` gives the private key and may ask the network; what it opens must be of ``public_key``. ``told`` hears of
    each change: the error when signing stops, None when it works again.
    """

    def __init__(
        self,
        name: str,
        public_key: PublicKey,
        open_key: Callable[[], Private],
        told: Told | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.public_key = public_key
        self.algorithm = algorithms_of(public_key)[0]
        self._name = name
        self._open_key = open_key
        self._told = told
        self._clock = clock
        self._opened: LocalSigner | None = None
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._in_flight = 0
        self._failures = 0
        self._rest_until = 0.0
        self._failure: OstiaryError | None = None

    @property
    def problem(self) -> str:
        """Why it does not sign now; empty while it does."""
        failure = self._failure
        return (
            "" if failure is None else f"authority {self._name} does not sign: {_reason(failure)}"
        )

    def sign(self, data: bytes) -> bytes:
        """UsageError for more than KMS signs: that is the asker's fault, not the key's."""
        if len(data) > MOST_BYTES:
            why = f"it has {len(data)} bytes, and KMS signs {MOST_BYTES}"
            raise UsageError("cannot sign this certificate", why=why, code="bad-size")
        self._begin()
        try:
            signature = self._signer().sign(data)
        except OstiaryError as error:
            self._ended(error)
            raise self._unavailable(error) from error
        except BaseException:
            self._ended(None, judged=False)
            raise
        self._ended(None)
        return signature

    def _begin(self) -> None:
        """Raises unless somebody may try now; after a failure that is one at a time."""
        with self._lock:
            failure, now = self._failure, self._clock()
            if failure is not None:
                if now < self._rest_until:
                    raise self._unavailable(failure)
                self._rest_until = now + LONGEST_REST  # ours is the try; its end says what holds
            elif self._in_flight >= MOST_AT_ONCE:
                busy = f"{MOST_AT_ONCE} signatures are waited for already"
                raise self._unavailable(OstiaryError("busy", why=busy))
            self._in_flight += 1

    def _ended(self, failure: OstiaryError | None, *, judged: bool = True) -> None:
        with self._lock:
            self._in_flight -= 1
            if not judged:
                return
            changed = (failure is None) != (self._failure is None)
            self._failure = failure
            self._failures = 0 if failure is None else self._failures + 1
            rest = min(LONGEST_REST, REST * 2 ** min(self._failures - 1, 8))
            self._rest_until = 0.0 if failure is None else self._clock() + rest
        if changed and self._told is not None:
            self._told(failure)

    def _signer(self) -> LocalSigner:
        with self._opening:
            if self._opened is None:
                opened = LocalSigner(self._open_key())
                if opened.public_key != self.public_key:
                    raise OstiaryError(
                        f"cannot sign with authority {self._name}",
                        why=f"its key is now {opened.public_key.fingerprint}, not the one that hosts trust",
                        code="wrong-key",
                    )
                self._opened = opened
            return self._opened

    def _unavailable(self, error: OstiaryError) -> Unreachable:
        return Unreachable(
            f"cannot sign with authority {self._name} now",
            why=_reason(error),
            fix="try again in some seconds; ostiary servers status says more",
            code=UNAVAILABLE,
        )


def _reason(error: OstiaryError) -> str:
    return error.why or error.what
