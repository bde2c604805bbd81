"""The published keys of issuers of tokens for machines (GitHub, GitLab), read when a kid is new, kept for an hour."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
from joserfc import jwk
from joserfc.errors import JoseError

from ostiary.doors.servers.control.unanswered import reason
from ostiary.errors import Unreachable

KEPT = 3600.0
LEAST_BETWEEN = 30.0  # seconds: tokens with strange kids cannot make us ask more
MOST_BYTES = 256 * 1024
SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class _Held:
    keys: Mapping[str, Any]
    read: float


class IssuerKeys:
    """Keys of any number of issuers. Threads may share it."""

    def __init__(self, http: httpx2.Client, clock: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()

    def key(self, issuer: str, kid: str) -> Any | None:
        """The key of this kid; None when the issuer has none. Unreachable when it does not answer."""
        with self._lock:
            held = self._held.get(issuer)
        now = self._clock()
        due = held is None or now - held.read > KEPT
        if held is None or due or (kid not in held.keys and now - held.read > LEAST_BETWEEN):
            held = _Held(self._read(issuer), now)
            with self._lock:
                self._held[issuer] = held
        return held.keys.get(kid)

    def _read(self, issuer: str) -> Mapping[str, Any]:
        try:
            return self._published(issuer)
        except (httpx2.HTTPError, JoseError, ValueError, KeyError, TypeError) as error:
            raise Unreachable(
                f"cannot read the keys of {issuer}",
                why=reason(error),
                fix="see that the control plane reaches the issuer",
                code="issuer",
            ) from error

    def _published(self, issuer: str) -> Mapping[str, Any]:
        described = self._get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if described.get("issuer") != issuer:
            raise ValueError("its discovery document is of another issuer")
        where = str(described["jwks_uri"])
        if urlsplit(where).scheme != "https":
            raise ValueError("its keys are not published by https")
        listed = self._get(where)["keys"]
        return {str(one.get("kid", "")): jwk.import_key(one) for one in listed if _signs(one)}

    def _get(self, url: str) -> Mapping[str, Any]:
        with self._http.stream("GET", url, follow_redirects=False, timeout=SECONDS) as response:
            response.raise_for_status()
            body = b""
            for part in response.iter_bytes():
                body += part
                if len(body) > MOST_BYTES:
                    raise ValueError("the answer is too long")
        found = json.loads(body)
        if not isinstance(found, dict):
            raise ValueError("the answer is no JSON object")  # noqa: TRY004 - one kind for the caller
        return found


def _signs(key: Mapping[str, Any]) -> bool:
    return key.get("kty") in ("RSA", "EC", "OKP") and key.get("use", "sig") == "sig"
