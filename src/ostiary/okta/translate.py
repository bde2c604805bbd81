"""From what Okta answered to the one error tree, in Okta's own words.

Okta's error body is ``{errorCode, errorSummary, errorLink, errorId, errorCauses: [{errorSummary}]}`` (Okta API,
"Error codes and descriptions"); its OAuth endpoints answer ``{error, error_description}`` (RFC 6749 §5.2).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx2

from ostiary.errors import (
    Conflict,
    Denied,
    NotFound,
    OstiaryError,
    Throttled,
    Unreachable,
    UsageError,
)

RECONCILING = "E0000239"  # 423: "Policy priorities are being reconciled"
_MAX_QUOTED = 400


@dataclass(frozen=True, slots=True)
class Complaint:
    """What an error answer says. ``code`` is "" when the body was not Okta's."""

    status: int
    code: str
    words: str
    request_id: str

    @classmethod
    def of(cls, response: httpx2.Response) -> Complaint:
        body = _object(response)
        code = str(body.get("errorCode") or body.get("error") or "")
        summary = str(body.get("errorSummary") or body.get("error_description") or "")
        causes = [
            str(cause.get("errorSummary", "")) if isinstance(cause, dict) else str(cause)
            for cause in body.get("errorCauses") or []
        ]
        words = "; ".join([summary, *(cause for cause in causes if cause not in summary)])
        return cls(
            response.status_code,
            code,
            words[:_MAX_QUOTED] or f"HTTP {response.status_code} {response.reason_phrase}".strip(),
            response.headers.get("x-okta-request-id", ""),
        )

    @property
    def why(self) -> str:
        said = f"{self.code}: {self.words}" if self.code else self.words
        return f"{said} (request {self.request_id})" if self.request_id else said


def failure(response: httpx2.Response, what: str, *, mutation: bool) -> OstiaryError:
    """The error that an unsuccessful answer stands for. A 5xx to a mutation leaves its outcome unknown."""
    complaint = Complaint.of(response)
    status, code, why = complaint.status, complaint.code, complaint.why
    if status == httpx2.codes.UNAUTHORIZED:
        return Denied(
            what, why=why, code=code, fix="renew the Okta token, then run: ostiary doctor"
        )
    if status == httpx2.codes.FORBIDDEN:
        return Denied(what, why=why, code=code, fix=_permission_fix(response))
    if status in (httpx2.codes.NOT_FOUND, httpx2.codes.GONE):
        return NotFound(what, why=why, code=code, fix="read again with: ostiary plan")
    if status == httpx2.codes.CONFLICT or _says_exists(complaint):
        return Conflict(what, why=why, code=code, fix="look at the object, then run: ostiary plan")
    if status in (httpx2.codes.TOO_MANY_REQUESTS, httpx2.codes.LOCKED):
        return Throttled(what, why=why, code=code, fix="run the same command again in a minute")
    if status >= httpx2.codes.INTERNAL_SERVER_ERROR:
        return Unreachable(
            what,
            why=why,
            code=code,
            fix="see https://status.okta.com, then run the same command again",
            maybe_done=mutation,
        )
    return UsageError(what, why=why, code=code, fix="check the estate with: ostiary plan")


def not_reached(error: httpx2.HTTPError, what: str, url: str, *, maybe_done: bool) -> Unreachable:
    """No answer at all, or half of one."""
    unknown_ca = "CERTIFICATE_VERIFY_FAILED" in str(error)
    reachable = f"check that {url} can be reached, then run the same command again"
    return Unreachable(
        what,
        why=f"no answer from {url}: {type(error).__name__}: {error}",
        fix="point SSL_CERT_FILE at the right CA file" if unknown_ca else reachable,
        maybe_done=maybe_done,
    )


def not_json(response: httpx2.Response, what: str, *, mutation: bool) -> Unreachable:
    """A success whose body is no JSON: a proxy's page, or an answer that was cut."""
    kind = response.headers.get("content-type", "no content type")
    return Unreachable(
        what,
        why=f"the answer is not JSON ({kind}, {len(response.content)} bytes)",
        fix="check for a proxy between here and Okta, then run the same command again",
        maybe_done=mutation,
    )


def _object(response: httpx2.Response) -> dict[str, Any]:
    try:
        body = json.loads(response.content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _says_exists(complaint: Complaint) -> bool:
    return complaint.status == httpx2.codes.BAD_REQUEST and "already exists" in complaint.words


def _permission_fix(response: httpx2.Response) -> str:
    challenge = response.headers.get("www-authenticate", "")
    if "insufficient_scope" in challenge:
        return f"grant the service app the missing scope ({challenge}), or run: ostiary doctor"
    return "give this caller the admin role (and scope) that run: ostiary doctor names"
