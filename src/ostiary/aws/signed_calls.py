"""Calls that are made by the thousand: signed here, sent over kept connections, repeated until they are through.

Retries, endpoint, CA bundle and proxies are those of every other call; only botocore's three milliseconds a call are gone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit

import urllib3
from botocore.exceptions import ClientError
from botocore.httpsession import ProxyConfiguration
from botocore.utils import get_environ_proxies
from urllib3.exceptions import HTTPError
from urllib3.exceptions import SSLError as TlsError

from ostiary.aws.pacing import full_jitter
from ostiary.aws.session import Aws
from ostiary.aws.signing import RequestSigner
from ostiary.aws.translate import translate, was_cut_off
from ostiary.errors import OstiaryError, Throttled, Unreachable

RETRY_FOR = 150.0  # seconds of one call with all its retries
# EBS direct APIs API Reference, ValidationException: the block was not written, or by another call at the same moment.
_TRY_AGAIN = frozenset({"WRITE_REQUEST_TIMEOUT", "CONFLICTING_BLOCK_UPDATE"})

# Method, URL, headers, body -> status, headers, body. Raises OSError or urllib3's HTTPError for a lost answer.
Send: TypeAlias = Callable[
    [str, str, Mapping[str, str], bytes | memoryview], tuple[int, Mapping[str, str], bytes]
]


class SignedCalls:
    """One REST-JSON service in one region. Threads may share it; ``connections`` bounds what they hold open.

    ``send`` replaces the network (tests).
    """

    def __init__(
        self, aws: Aws, service: str, region: str, *, connections: int, send: Send | None = None
    ) -> None:
        self._aws = aws
        endpoint = urlsplit(aws.client(service, region).meta.endpoint_url)
        self._origin = f"{endpoint.scheme}://{endpoint.netloc}"
        self._host = endpoint.netloc
        self._signer = RequestSigner(service, region, aws.clients.credentials)
        self._send = send or network(self._origin, aws.clients.ca_bundle(), connections)

    def exchange(
        self,
        what: str,
        method: str,
        path: str,
        *,
        payload: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | memoryview = b"",
    ) -> tuple[Mapping[str, str], bytes]:
        """Headers (lower case) and body of the answer. The call must be one that may be made twice.

        ``path`` needs no quoting; ``payload`` is what the signature says of the body. ``what`` begins an error.
        """
        query = query or {}
        unsigned = {"host": self._host, **(headers or {})}
        url = self._origin + path + _query(query)
        deadline = time.monotonic() + RETRY_FOR
        attempt = 0
        while True:
            signed = self._signer.sign(method, path, query, unsigned, payload)
            try:
                status, answered, content = self._send(method, url, signed, body)
            except (OSError, HTTPError) as lost:
                if isinstance(lost, TlsError) and not was_cut_off(lost):
                    raise Unreachable(
                        what,
                        why=f"SSLError: {lost}",
                        fix="point AWS_CA_BUNDLE at the right CA file",
                        code="SSLError",
                    ) from lost
                failure, again = _lost(what, lost), True
            else:
                if status < 300:  # noqa: PLR2004 - HTTP's own number
                    return answered, content
                failure, again = _refused(what, status, answered, content)
            wait = full_jitter(attempt)
            if not again or time.monotonic() + wait > deadline:
                raise failure
            self._aws.pause(wait)
            attempt += 1


def network(origin: str, ca_bundle: str, connections: int) -> Send:
    """Kept connections to ``origin``, through the proxy that botocore would take."""
    options: dict[str, Any] = {
        "num_pools": 1,
        "maxsize": connections,
        "block": True,
        "retries": False,
        "timeout": urllib3.Timeout(connect=10, read=60),
        "ca_certs": ca_bundle,
        "cert_reqs": "CERT_REQUIRED",
    }
    proxies = ProxyConfiguration(get_environ_proxies(origin))
    proxy = proxies.proxy_url_for(origin)
    pool: urllib3.PoolManager = (
        urllib3.ProxyManager(proxy, proxy_headers=proxies.proxy_headers_for(proxy), **options)
        if proxy
        else urllib3.PoolManager(**options)
    )

    def send(
        method: str, url: str, headers: Mapping[str, str], body: bytes | memoryview
    ) -> tuple[int, Mapping[str, str], bytes]:
        sent: Any = body or None  # urllib3 takes whatever has bytes; its types know only bytes
        response = pool.request(method, url, headers=dict(headers), body=sent, redirect=False)
        found = {name.lower(): value for name, value in response.headers.items()}
        return response.status, found, response.data

    return send


def _query(query: Mapping[str, str]) -> str:
    parts = [f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query.items()]  # fmt: skip
    return "?" + "&".join(parts) if parts else ""


def _lost(what: str, lost: Exception) -> OstiaryError:
    return Unreachable(
        what,
        why=f"{type(lost).__name__}: {lost}",
        fix="check the network and AWS_ENDPOINT_URL, then run the same command again",
        code=type(lost).__name__,
        maybe_done=True,
    )


def _refused(
    what: str, status: int, headers: Mapping[str, str], body: bytes
) -> tuple[OstiaryError, bool]:
    """The error of our tree, and whether the same call may go well later."""
    try:
        said = json.loads(body or b"{}")
    except ValueError:
        said = {}
    said = said if isinstance(said, dict) else {}
    named = headers.get("x-amzn-errortype") or said.get("__type") or said.get("code") or status
    code = str(named).partition(":")[0].rpartition("#")[2]
    reason = str(said.get("Reason") or said.get("reason") or "")
    message = said.get("Message") or said.get("message") or ""
    answer: Any = {
        "Error": {"Code": code, "Message": f"{reason}: {message}" if reason else message},
        "ResponseMetadata": {
            "HTTPStatusCode": status,
            "RequestId": headers.get("x-amzn-requestid", ""),
        },
    }
    failure = translate(ClientError(answer, what), what, writes=True)
    again = isinstance(failure, Throttled | Unreachable) or reason in _TRY_AGAIN
    return failure, again
