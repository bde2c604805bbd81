"""AWS Signature Version 4 as a service checks it, and the identity that it proves.

Source: IAM User Guide, "Signature Version 4 for API requests"; S3 API Reference, "Authenticating requests";
IAM User Guide, "Troubleshoot Signature Version 4 signing" for the words. A signature in the query (a presigned URL) is
taken of STS alone; the words for one whose ``X-Amz-Expires`` is over are a guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import parse_qsl, quote

from ostiary.sandbox.aws.iam_state import AccessKey, AwsError, Session
from ostiary.sandbox.aws.state import Cloud
from ostiary.sandbox.http import Request

ALGORITHM = "AWS4-HMAC-SHA256"
MAX_SKEW = timedelta(minutes=15)
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<key>[^/,\s]+)/(?P<date>\d{8})/(?P<region>[^/,\s]+)"
    r"/(?P<service>[^/,\s]+)/aws4_request\s*,\s*SignedHeaders=(?P<headers>[^,\s]+)\s*,"
    r"\s*Signature=(?P<signature>[0-9a-f]{64})"
)
_CREDENTIAL = re.compile(
    r"(?P<key>[^/\s]+)/(?P<date>\d{8})/(?P<region>[^/\s]+)/(?P<service>sts)/aws4_request"
)
_UNHASHED = ("UNSIGNED-PAYLOAD", "STREAMING-")
_STAMP = "%Y%m%dT%H%M%SZ"
NO_MATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret"
    " Access Key and signing method. Consult the service documentation for details."
)


@dataclass(frozen=True, slots=True)
class Scope:
    """The credential scope of a signed request: what it says before anything is verified."""

    access_key: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    stamp: str  # when it was signed
    token: str  # of a session
    presigned: int = 0  # seconds that a presigned URL is good for


def scope_of(request: Request) -> Scope | None:
    """The scope in the Authorization header or the query, None for an unsigned request."""
    text = request.header("authorization")
    if not text:
        return _of_query(request)
    found = _AUTHORIZATION.fullmatch(text.strip())
    if found is None:
        raise AwsError(
            "IncompleteSignature",
            "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters.",
            403,
        )
    return Scope(
        found["key"],
        found["date"],
        found["region"],
        found["service"],
        tuple(found["headers"].split(";")),
        found["signature"],
        request.header("x-amz-date"),
        request.header("x-amz-security-token"),
    )


def _of_query(request: Request) -> Scope | None:
    query = request.query
    if query.get("X-Amz-Algorithm") != ALGORITHM:
        return None
    credential = _CREDENTIAL.fullmatch(query.get("X-Amz-Credential", ""))
    seconds = query.get("X-Amz-Expires", "")
    if credential is None or not seconds.isdigit() or not query.get("X-Amz-SignedHeaders"):
        raise AwsError(
            "IncompleteSignature",
            "AWS query-string parameters must include 'X-Amz-Algorithm', 'X-Amz-Credential', 'X-Amz-SignedHeaders', 'X-Amz-Expires' and 'X-Amz-Date'.",
            403,
        )
    return Scope(
        credential["key"],
        credential["date"],
        credential["region"],
        credential["service"],
        tuple(query["X-Amz-SignedHeaders"].split(";")),
        query.get("X-Amz-Signature", ""),
        query.get("X-Amz-Date", ""),
        query.get("X-Amz-Security-Token", ""),
        int(seconds),
    )


def verify(cloud: Cloud, request: Request, scope: Scope) -> AccessKey | Session:
    """Whose request this is. Raises AwsError with the query protocol's codes (``front`` turns them)."""
    credential = cloud.keys.get(scope.access_key)
    token = scope.token
    if (
        credential is None
        or (isinstance(credential, AccessKey) and not credential.active)
        or (isinstance(credential, Session) and not hmac.compare_digest(token, credential.token))
    ):
        raise AwsError(
            "InvalidClientTokenId", "The security token included in the request is invalid.", 403
        )
    _check_signed(request, scope)
    now = cloud.clock.datetime()
    _check_time(scope, now)
    expected = _signature(credential.secret, request, scope)
    if not hmac.compare_digest(expected, scope.signature):
        raise AwsError("SignatureDoesNotMatch", NO_MATCH, 403)
    if isinstance(credential, Session) and credential.expires <= now.timestamp():
        raise AwsError("ExpiredToken", "The security token included in the request is expired", 403)
    return credential


def _check_signed(request: Request, scope: Scope) -> None:
    """Host and everything of AWS's own must be covered: else one may change the operation on the way."""
    if "host" not in scope.signed_headers:
        text = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
        raise AwsError("SignatureDoesNotMatch", text, 403)
    own = {name for name, _ in request.headers if name.startswith("x-amz-")}
    if loose := sorted(own.difference(scope.signed_headers)):
        text = (
            f"There were headers present in the request which were not signed: {', '.join(loose)}"
        )
        raise AwsError("SignatureDoesNotMatch", text, 403)


def _check_time(scope: Scope, now: datetime) -> None:
    stamp = scope.stamp
    try:
        sent = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
    except ValueError as error:
        raise AwsError(
            "IncompleteSignature",
            f"Date must be in ISO-8601 'basic format'. Got '{stamp}'.",
            403,
        ) from error
    if stamp[:8] != scope.date:
        raise AwsError(
            "SignatureDoesNotMatch",
            f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP:"
            f" '{scope.date}' != '{stamp[:8]}', from '{stamp}'.",
            403,
        )
    life = timedelta(seconds=scope.presigned) if scope.presigned else MAX_SKEW
    if sent < now - life:
        raise AwsError(
            "SignatureDoesNotMatch",
            f"Signature expired: {stamp} is now earlier than {now - life:{_STAMP}} ({now:{_STAMP}} - {life.total_seconds() / 60:g} min.)",
            403,
        )
    if sent > now + MAX_SKEW:
        raise AwsError(
            "SignatureDoesNotMatch",
            f"Signature not yet current: {stamp} is still later than {now + MAX_SKEW:{_STAMP}}"
            f" ({now:{_STAMP}} + 15 min.)",
            403,
        )


@lru_cache(maxsize=2048)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _signature(secret: str, request: Request, scope: Scope) -> str:
    canonical = hashlib.sha256(_canonical(request, scope).encode()).hexdigest()
    text = "\n".join(
        (
            ALGORITHM,
            scope.stamp,
            f"{scope.date}/{scope.region}/{scope.service}/aws4_request",
            canonical,
        )
    )
    key = _signing_key(secret, scope.date, scope.region, scope.service)
    return hmac.digest(key, text.encode(), "sha256").hex()


def _canonical(request: Request, scope: Scope) -> str:
    path, _, raw_query = request.target.partition("?")  # urlsplit would take //key for a host
    if scope.service != "s3":
        path = quote(path, safe="/-_.~")
    query = "&".join(
        f"{name}={value}"
        for name, value in sorted(
            (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
            for name, value in parse_qsl(raw_query, keep_blank_values=True)
            if name != "X-Amz-Signature" or not scope.presigned
        )
    )
    by_name: dict[str, list[str]] = {}
    for name, value in request.headers:
        by_name.setdefault(name, []).append(" ".join(value.split()))
    headers = "".join(
        f"{name}:{','.join(by_name.get(name, ['']))}\n" for name in scope.signed_headers
    )
    return "\n".join(
        (
            request.method,
            path,
            query,
            headers,
            ";".join(scope.signed_headers),
            _payload_hash(request, scope),
        )
    )


def _payload_hash(request: Request, scope: Scope) -> str:
    declared = request.header("x-amz-content-sha256")
    if scope.service == "s3" and declared.startswith(_UNHASHED):
        return declared
    if scope.service == "ebs" and request.method == "PUT":
        return "UNSIGNED-PAYLOAD"  # PutSnapshotBlock is v4-unsigned-body in its model; a checksum covers the block
    return hashlib.sha256(request.body).hexdigest()
