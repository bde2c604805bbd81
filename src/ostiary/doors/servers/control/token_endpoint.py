"""The org's issuer as a client of ours meets it: its discovery document, and refresh tokens traded for news.

Sources: OpenID Connect Discovery 1.0, 4; RFC 6749, 5.2 and 6; OpenID Connect Core 1.0, 12.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from ostiary.doors.servers.control.unanswered import reason
from ostiary.errors import Denied, OstiaryError, Throttled, Unreachable

DOCUMENT_SECONDS = 3600.0  # that a discovery document is believed
GONE = "invalid_grant"  # the one answer that says something of the person


@dataclass(frozen=True, slots=True)
class Renewed:
    """``id_token`` and ``refresh_token`` are "" where the issuer gave no new one."""

    id_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


class TokenEndpoint:
    """The token endpoint of one issuer, for one public client. Threads may share it."""

    def __init__(
        self,
        http: httpx2.Client,
        issuer: str,
        client_id: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.issuer = issuer
        self.client_id = client_id
        self._http = http
        self._clock = clock
        self._document: Mapping[str, Any] = {}
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def scopes(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """Those of ``wanted`` that the issuer knows: Okta's custom servers refuse a request with any other."""
        known = self._described().get("scopes_supported")
        if not isinstance(known, list):
            return wanted
        return tuple(one for one in wanted if one == "openid" or one in known)

    def renew(self, refresh_token: str) -> Renewed:
        """New tokens for an old one. Denied (``invalid_grant``) when it is no longer good; any other error says nothing of it."""
        what = f"cannot ask {self.issuer} who is still active"
        form = {
            "grant_type": "refresh_token",
            "client_id": self.client_id,
            "refresh_token": refresh_token,
        }
        try:
            response = self._http.post(str(self._described()["token_endpoint"]), data=form)
            body = response.json()
        except (httpx2.HTTPError, ValueError, KeyError) as error:
            raise _unreachable(what, reason(error)) from error
        if not isinstance(body, dict):
            raise _unreachable(what, "the answer is no JSON object")
        if not response.is_success:
            raise _refused(what, response.status_code, body)
        if not isinstance(body.get("access_token"), str):
            raise _unreachable(what, "the answer holds no token")
        return Renewed(str(body.get("id_token") or ""), str(body.get("refresh_token") or ""))

    def _described(self) -> Mapping[str, Any]:
        with self._lock:
            if self._clock() - self._read_at > DOCUMENT_SECONDS:
                self._document = self._read()
                self._read_at = self._clock()
            return self._document

    def _read(self) -> Mapping[str, Any]:
        what = f"cannot read the discovery document of {self.issuer}"
        try:
            url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
            found = self._http.get(url).raise_for_status().json()
        except (httpx2.HTTPError, ValueError) as error:
            raise _unreachable(what, reason(error)) from error
        if not isinstance(found, dict) or found.get("issuer") != self.issuer:
            raise _unreachable(what, "it is the document of another issuer")
        return found


def _refused(what: str, status: int, body: Mapping[str, Any]) -> OstiaryError:
    code = str(body.get("error", ""))
    why = f"{code or status}: {body.get('error_description', '')}"
    if status == httpx2.codes.BAD_REQUEST and code == GONE:
        return Denied(what, why=why, fix="run: ostiary login", code=GONE)
    if status == httpx2.codes.TOO_MANY_REQUESTS:
        return Throttled(what, why=why)
    return _unreachable(what, why)


def _unreachable(what: str, why: str) -> Unreachable:
    return Unreachable(
        what, why=why, fix="see that the control plane reaches the org", code="issuer"
    )
