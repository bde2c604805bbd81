"""Who this EC2 instance is: its identity document with AWS's signature, and a presigned GetCallerIdentity in its role.

Only version 2 of the metadata service is asked (a session token first), never through a proxy. The caller's URL is bound to
one control plane by the signed header ``x-ostiary-control``. Sources: EC2 User Guide, "Use the Instance Metadata Service",
"Instance identity documents"; IAM User Guide, "Create a signed AWS API request"; AWS SDKs Reference,
``AWS_EC2_METADATA_SERVICE_ENDPOINT``.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import os
import time
import urllib.parse

from ostiary.doors.servers.agent.files import HostError
from ostiary.doors.servers.wire.host import CloudIdentity

SERVICE = "http://169.254.169.254"
SECONDS = 3
MOST_BYTES = 64 * 1024
HEADER = "x-ostiary-control"
EXPIRES = 60  # seconds
_ALGORITHM = "AWS4-HMAC-SHA256"
_EMPTY = hashlib.sha256(b"").hexdigest()


def identity(control: str) -> CloudIdentity:
    """For the control plane of this URL. HostError where no metadata service answers, or the instance has no role."""
    service = _Service(os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "") or SERVICE)
    document = service.get("/latest/dynamic/instance-identity/document")
    signature = service.get("/latest/dynamic/instance-identity/rsa2048")
    roles = "/latest/meta-data/iam/security-credentials/"
    role = service.get(roles).split("\n")[0]
    credentials = service.get(f"{roles}{urllib.parse.quote(role)}")
    try:
        region = json.loads(document)["region"]
        found = json.loads(credentials)
        keys = tuple(found[name] for name in ("AccessKeyId", "SecretAccessKey", "Token"))
    except (ValueError, KeyError, TypeError) as error:
        raise HostError("cannot read what the metadata service says", why=str(error)) from error
    caller = presigned(control, region, keys, time.time())
    return CloudIdentity(document, "".join(signature.split()), caller)


def presigned(control: str, region: str, keys: tuple[str, ...], now: float) -> str:
    """The URL of GetCallerIdentity, signed at ``now`` by (access key id, secret, session token)."""
    key_id, secret, token = keys
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    scope = f"{stamp[:8]}/{region}/sts/aws4_request"
    host = f"sts.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
    query = {
        "Action": "GetCallerIdentity",
        "Version": "2011-06-15",
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{key_id}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(EXPIRES),
        "X-Amz-Security-Token": token,
        "X-Amz-SignedHeaders": f"host;{HEADER}",
    }
    text = "&".join(
        f"{name}={urllib.parse.quote(query[name], safe='-_.~')}" for name in sorted(query)
    )
    headers = f"host:{host}\n{HEADER}:{control}\n"
    request = "\n".join(("GET", "/", text, headers, f"host;{HEADER}", _EMPTY))
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signed = f"{_ALGORITHM}\n{stamp}\n{scope}\n{digest}"
    signature = hmac.new(key, signed.encode(), hashlib.sha256).hexdigest()
    return f"https://{host}/?{text}&X-Amz-Signature={signature}"


class _Service:
    """The metadata service, with its session token."""

    def __init__(self, url: str) -> None:
        self._url = urllib.parse.urlsplit(url)
        if self._url.scheme != "http" or not self._url.hostname:
            raise HostError(f"{url[:100]!r} is no metadata service")
        self._token = self._ask(
            "PUT", "/latest/api/token", {"x-aws-ec2-metadata-token-ttl-seconds": "60"}
        )

    def get(self, path: str) -> str:
        return self._ask("GET", path, {"x-aws-ec2-metadata-token": self._token})

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> str:
        connection = http.client.HTTPConnection(
            self._url.hostname or "", self._url.port, timeout=SECONDS
        )
        with contextlib.closing(connection):
            try:
                connection.request(method, path, headers=headers)
                response = connection.getresponse()
                body = response.read(MOST_BYTES).decode()
            except (OSError, http.client.HTTPException, UnicodeDecodeError) as error:
                raise HostError(
                    "no metadata service answers here",
                    why=str(error),
                    fix="enroll by a token: ostiary agent enroll --url URL --token-file FILE",
                ) from error
        if response.status != http.client.OK:
            why = f"{path} answered {response.status}"
            fix = "give the instance a role" if "iam/" in path else ""
            raise HostError(
                "the metadata service does not say who this instance is", why=why, fix=fix
            )
        return body
