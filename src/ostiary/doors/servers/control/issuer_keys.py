"""The published keys of issuers of tokens for machines (GitHub, GitLab), read when a kid is new, kept for an hour.

Who an issuer is says whoever owns a project, and anybody may make us ask it: so it is asked by one at a time, for a few
seconds in all, and not again soon after it failed.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2
from joserfc import jwk
from joserfc.errors import JoseError

from ostiary.doors.servers.control.machine_reads import Reads, TooLong
from ostiary.doors.servers.control.unanswered import reason
from ostiary.errors import Unreachable

KEPT = 3600.0
LEAST_BETWEEN = 30.0  # seconds: neither strange kids nor failures can make us ask more
MOST_BYTES = 256 * 1024
SECONDS = 10.0  # from the first byte that is asked to the last that is answered
PATIENCE = 2.0  # seconds that others wait for who is asking: pipelines come in crowds
MOST_PATIENT = 4  # who wait for one issuer; more are refused at once
MOST_ASKING = 12  # who ask or wait for any: those whose keys are known have threads left


_NO_KEYS = (
    *(httpx2.HTTPError, httpx2.InvalidURL, JoseError),
    *(ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError),
)  # of whatever an issuer says


@dataclass(frozen=True, slots=True)
class _Held:
    keys: Mapping[str, Any]
    read: float


@dataclass(frozen=True, slots=True)
class _Failed:
    why: str
    at: float


@dataclass(slots=True)
class _Asking:
    """Somebody asks an issuer. ``done`` is set when they have the keys, or have none."""

    done: threading.Event = field(default_factory=threading.Event)
    patient: int = 0


class IssuerKeys:
    """Keys of any number of issuers. Threads may share it. ``seconds`` is what an issuer has to answer in."""

    def __init__(
        self,
        http: httpx2.Client,
        clock: Callable[[], float] = time.monotonic,
        *,
        seconds: float = SECONDS,
        patience: float = PATIENCE,
    ) -> None:
        self._reads = Reads(http)
        self._clock = clock
        self._seconds = seconds
        self._patience = patience
        self._held: dict[str, _Held] = {}
        self._failed: dict[str, _Failed] = {}
        self._asking: dict[str, _Asking] = {}
        self._lock = threading.Lock()

    def key(self, issuer: str, kid: str) -> Any | None:
        """The key of this kid; None when the issuer has none. Unreachable when it does not answer, or is asked just now."""
        with self._lock:
            held = self._good(issuer, kid)
            if held is None:
                self._check_failed(issuer)
                other = self._asking.get(issuer)
                busy = sum(1 + one.patient for one in self._asking.values())
                if busy >= MOST_ASKING or (other and other.patient >= MOST_PATIENT):
                    raise _asked_now(issuer) if other else _crowded(issuer)
                if other is None:
                    self._asking[issuer] = _Asking()
                else:
                    other.patient += 1
        if held is None:
            held = self._ask(issuer) if other is None else self._wait(issuer, kid, other)
        return held.keys.get(kid)

    def _good(self, issuer: str, kid: str) -> _Held | None:
        """What answers for this kid without a look at the issuer."""
        held = self._held.get(issuer)
        if held is None:
            return None
        age = self._clock() - held.read
        return held if age <= (KEPT if kid in held.keys else LEAST_BETWEEN) else None

    def _check_failed(self, issuer: str) -> None:
        failed = self._failed.get(issuer)
        if failed is not None and self._clock() - failed.at <= LEAST_BETWEEN:
            raise _unreachable(issuer, failed.why)

    def _wait(self, issuer: str, kid: str, other: _Asking) -> _Held:
        other.done.wait(self._patience)
        with self._lock:
            other.patient -= 1
            held = self._good(issuer, kid)
            if held is None:
                self._check_failed(issuer)
                raise _asked_now(issuer)
        return held

    def _ask(self, issuer: str) -> _Held:
        began = self._clock()
        failed = "it could not be asked"
        held: _Held | None = None
        try:
            held = _Held(self._published(issuer), began)
        except _NO_KEYS as error:
            failed = reason(error)
            raise _unreachable(issuer, failed) from error
        finally:
            with self._lock:
                self._failed.pop(issuer, None)
                if held is None:
                    self._failed[issuer] = _Failed(failed, self._clock())
                else:
                    self._held[issuer] = held
                self._asking.pop(issuer).done.set()
        return held

    def _published(self, issuer: str) -> Mapping[str, Any]:
        until = time.monotonic() + self._seconds
        described = self._get(f"{issuer.rstrip('/')}/.well-known/openid-configuration", until)
        if described.get("issuer") != issuer:
            raise ValueError("its discovery document is of another issuer")
        where = str(described["jwks_uri"])
        if urlsplit(where).scheme != "https":
            raise ValueError("its keys are not published by https")
        listed = self._get(where, until)["keys"]
        return {str(one.get("kid", "")): jwk.import_key(one) for one in listed if _signs(one)}

    def _get(self, url: str, until: float) -> Mapping[str, Any]:
        try:
            status, body = self._reads.get(url, until=until, most=MOST_BYTES)
        except TooLong:
            raise ValueError("the answer is too long") from None
        if status != httpx2.codes.OK:
            raise ValueError(f"it answers HTTP {status}")
        found = json.loads(body)
        if not isinstance(found, dict):
            raise ValueError("the answer is no JSON object")  # noqa: TRY004 - one kind for the caller
        return found


def _signs(key: Mapping[str, Any]) -> bool:
    return key.get("kty") in ("RSA", "EC", "OKP") and key.get("use", "sig") == "sig"


def _unreachable(issuer: str, why: str) -> Unreachable:
    return Unreachable(
        f"cannot read the keys of {issuer}",
        why=why,
        fix="see that the control plane reaches the issuer",
        code="issuer",
    )


def _crowded(issuer: str) -> Unreachable:
    return _unreachable(issuer, "so many issuers are being asked just now that it is not asked")


def _asked_now(issuer: str) -> Unreachable:
    return Unreachable(
        f"cannot read the keys of {issuer}",
        why="it is being asked just now",
        fix="try again in a few seconds",
        code="issuer",
    )
