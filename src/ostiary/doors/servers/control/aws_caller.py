"""Who somebody is at AWS: they presign GetCallerIdentity for us, we send it, and AWS says whose credentials signed it.

Nothing of what is sent is the caller's choice but the signature's own values: the host is one of STS, the path and the
query are exactly those of a presigned GetCallerIdentity, and the signed header ``x-ostiary-control`` binds it to this
control plane, so that what was signed for another service is no use here. The lessons are those of CVE-2020-16250 and
CVE-2025-11621. Sources: IAM User Guide, "Add the signature to the request" (query parameters); STS API Reference,
"GetCallerIdentity"; AWS SDKs Reference, "Service-specific endpoints" (``AWS_ENDPOINT_URL_STS``).
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

import httpx2
from lxml import etree

from ostiary.doors.servers.control.machine_reads import Reads, TooLong
from ostiary.doors.servers.control.unanswered import reason
from ostiary.errors import Denied, Unreachable

HEADER = "x-ostiary-control"
MOST_AGE = 60.0  # seconds from signing to our asking
MOST_BYTES = 64 * 1024
SECONDS = 10.0
VERSION = "2011-06-15"
_SPACE = f"https://sts.amazonaws.com/doc/{VERSION}/"
_HOST = re.compile(r"sts\.([a-z]{2}(?:-[a-z]+)+-[0-9]+)\.amazonaws\.com(?:\.cn)?")
_CREDENTIAL = re.compile(r"ASIA[A-Z0-9]{12,124}/([0-9]{8})/([a-z0-9-]{1,40})/sts/aws4_request")
_STAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_ARN = re.compile(
    r"arn:[a-z-]+:sts::([0-9]{12}):assumed-role/([\w+=,.@-]{1,64})/([\w+=,.@-]{2,64})"
)
_USER_ID = re.compile(r"(AROA[A-Z0-9]{12,124}):([\w+=,.@-]{2,64})")
_QUERY = frozenset(
    {"Action", "Version"}
    | {f"X-Amz-{name}" for name in ("Algorithm", "Credential", "Date", "Expires")}
    | {"X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Security-Token"}
)


@dataclass(frozen=True, slots=True)
class Caller:
    """A session of a role, as AWS says. ``role_id`` (AROA…) is never given to another role, unlike ``role``, its name."""

    account: str
    role: str
    role_id: str
    session: str


@dataclass(frozen=True, slots=True)
class Presigned:
    """A presigned GetCallerIdentity that may be sent. ``signature`` stands for it: nobody may use one twice."""

    url: str = field(repr=False)
    signature: str = field(repr=False)
    signed: float


class AwsCallers:
    """Checks and asks. ``control`` is this control plane's URL, ``endpoint`` another STS than AWS's own ("" for AWS's).

    STS is waited for no longer than ``seconds`` in all.
    """

    def __init__(
        self, http: httpx2.Client, control: str, endpoint: str = "", seconds: float = SECONDS
    ) -> None:
        self._reads = Reads(http)
        self._control = control
        self._endpoint = endpoint.rstrip("/")
        self._seconds = seconds

    def checked(self, url: str, now: float) -> Presigned:
        """Denied when the URL is anything but a presigned GetCallerIdentity of the last minute."""
        try:
            parts = urlsplit(url)
            pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
        except ValueError as error:
            raise _refused("it is no URL with a query") from error
        region = self._region(parts.scheme, parts.netloc)
        if parts.path not in ("", "/") or parts.fragment or len(url) > 8192:  # noqa: PLR2004 - longer than any token
            raise _refused("the address is no presigned GetCallerIdentity")
        query = dict(pairs)
        if len(pairs) != len(query) or query.keys() != _QUERY:
            raise _refused("its query is not that of a presigned GetCallerIdentity")
        return Presigned(
            f"{parts.scheme}://{parts.netloc}/?{_encoded(query)}",
            _shape(query, region),
            _signed(query["X-Amz-Date"], now),
        )

    def ask(self, presigned: Presigned) -> Caller:
        """Whose credentials signed it. Denied when AWS refuses, Unreachable when it does not answer."""
        headers = {HEADER: self._control, "accept": "text/xml"}
        try:
            status, body = self._reads.get(
                presigned.url,
                until=time.monotonic() + self._seconds,
                most=MOST_BYTES,
                headers=headers,
            )
        except TooLong:
            raise _refused("the answer of STS is too long") from None
        except httpx2.HTTPError as error:
            raise Unreachable(
                "cannot ask AWS who this is",
                why=reason(error),
                fix="see that the control plane reaches STS",
                code="sts",
            ) from error
        if status >= httpx2.codes.INTERNAL_SERVER_ERROR:
            raise Unreachable("cannot ask AWS who this is", why=f"HTTP {status}", code="sts")
        if status != httpx2.codes.OK:
            raise _refused(f"STS refused the signature: {_said(body) or status}")
        return _caller(body)

    def _region(self, scheme: str, netloc: str) -> str:
        """The region that the host stands for, "" for any. Exactly one host each: no port, no user, no upper case."""
        if self._endpoint:
            if f"{scheme}://{netloc}" != self._endpoint:
                raise _refused(f"it is for {netloc[:80]!r}, which is not our STS")
            return ""
        match = _HOST.fullmatch(netloc)
        if scheme != "https" or (match is None and netloc != "sts.amazonaws.com"):
            raise _refused(f"it is for {netloc[:80]!r}, which is not STS")
        return match[1] if match else "us-east-1"


def _shape(query: Mapping[str, str], region: str) -> str:
    """The signature, of a query whose values are those of a presigned GetCallerIdentity."""
    credential = _CREDENTIAL.fullmatch(query["X-Amz-Credential"])
    fixed = (
        query["Action"] == "GetCallerIdentity"
        and query["Version"] == VERSION
        and query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
        and query["X-Amz-SignedHeaders"] == f"host;{HEADER}"
        and re.fullmatch(r"[1-9][0-9]{0,5}", query["X-Amz-Expires"]) is not None
        and re.fullmatch(r"[0-9a-f]{64}", query["X-Amz-Signature"]) is not None
    )
    if not fixed or credential is None or not query["X-Amz-Security-Token"]:
        raise _refused(
            f"it is not signed by a role's temporary credentials over the headers host and {HEADER} alone"
        )
    if credential[1] != query["X-Amz-Date"][:8] or (region and credential[2] != region):
        raise _refused("its credential is of another day or region")
    return query["X-Amz-Signature"]


def _signed(stamp: str, now: float) -> float:
    if not _STAMP.fullmatch(stamp):
        raise _refused("it does not say when it was signed")
    try:
        signed = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise _refused("it does not say when it was signed") from error
    if abs(now - signed) > MOST_AGE:
        raise _refused(
            f"it was signed {now - signed:+.0f} s from now; {MOST_AGE:.0f} s are allowed"
        )
    return signed


def _encoded(query: Mapping[str, str]) -> str:
    return "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in sorted(query.items()))


def _caller(body: bytes) -> Caller:
    try:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise _refused("the answer of STS is no XML") from error
    found = {
        name: [one.text or "" for one in root.iter(f"{{{_SPACE}}}{name}")]
        for name in ("Arn", "UserId", "Account")
    }
    if root.tag != f"{{{_SPACE}}}GetCallerIdentityResponse" or any(
        len(values) != 1 for values in found.values()
    ):
        raise _refused("the answer is not that of GetCallerIdentity")
    arn, user = _ARN.fullmatch(found["Arn"][0]), _USER_ID.fullmatch(found["UserId"][0])
    if arn is None or user is None or user[2] != arn[3] or arn[1] != found["Account"][0]:
        raise _refused(f"AWS says {found['Arn'][0][:120]!r}, which is no session of a role")
    return Caller(arn[1], arn[2], user[1], arn[3])


def _said(body: bytes) -> str:
    match = re.search(rb"<Code>([A-Za-z0-9.]{1,80})</Code>", body)
    return match[1].decode() if match else ""


def _refused(why: str) -> Denied:
    return Denied(
        "cannot take this for a proof by AWS",
        why=why,
        fix=f"presign GetCallerIdentity at a regional STS with the header {HEADER} signed",
        code="bad-aws-proof",
    )
