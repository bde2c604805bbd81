"""The instance metadata service of one instance, version 2: a session token first, then documents and credentials.

    with MetadataService(world, instance, ("169.254.169.254", 80)):
        ...

Source: EC2 User Guide, "Use the Instance Metadata Service", "Instance identity documents", "Retrieve security
credentials from instance metadata". Version 1 (without token) answers 401, as on an instance that requires tokens.
"""

from __future__ import annotations

import json
import secrets
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from ostiary.sandbox.aws.instance_identity import Instance, region_key
from ostiary.sandbox.http import Request, Response
from ostiary.sandbox.world import World

TOKEN, TOKEN_SECONDS = "x-aws-ec2-metadata-token", "x-aws-ec2-metadata-token-ttl-seconds"
LONGEST = 21600
ROLE_SECONDS = 6 * 3600
_PLAIN = (("content-type", "text/plain"),)


class Metadata:
    """Answers of one instance's service. Its role must exist in the world's AWS."""

    def __init__(self, world: World, instance: Instance) -> None:
        self.instance = instance
        self._world = world
        self._tokens: dict[str, float] = {}

    def handle(self, request: Request) -> Response:
        now = self._world.clock.now()
        if request.header("x-forwarded-for"):
            return _error(403, "Forbidden")
        if (request.method, request.path) == ("PUT", "/latest/api/token"):
            return self._token(request, now)
        if request.method not in ("GET", "HEAD"):
            return _error(405, "Method Not Allowed")
        if self._tokens.get(request.header(TOKEN), 0.0) <= now:
            return _error(401, "Unauthorized")
        text = self._found(request.path.rstrip("/"))
        return _error(404, "Not Found") if text is None else Response(200, text, _PLAIN)

    def _token(self, request: Request, now: float) -> Response:
        text = request.header(TOKEN_SECONDS)
        if not text.isdigit() or not 1 <= int(text) <= LONGEST:
            return _error(400, "Bad Request")
        token = secrets.token_urlsafe(42)
        self._tokens[token] = now + int(text)
        return Response(200, token.encode(), (*_PLAIN, (TOKEN_SECONDS, text)))

    def _found(self, path: str) -> bytes | None:
        instance = self.instance
        role = "/latest/meta-data/iam/security-credentials"
        if path == f"{role}/{instance.role}" and instance.role:
            return self._credentials()
        document = instance.document()
        dynamic = "/latest/dynamic/instance-identity"
        known = {
            f"{dynamic}/document": document,
            f"{dynamic}/rsa2048": region_key(instance.region).sign(document).encode(),
            "/latest/meta-data/instance-id": instance.id.encode(),
            "/latest/meta-data/local-ipv4": instance.address.encode(),
            "/latest/meta-data/placement/region": instance.region.encode(),
            "/latest/meta-data/placement/availability-zone": f"{instance.region}a".encode(),
        }
        if instance.role:
            known[role] = instance.role.encode()
        return known.get(path)

    def _credentials(self) -> bytes | None:
        """Those of the role in this instance: the session is named after it."""
        cloud, instance = self._world.aws, self.instance
        account = cloud.account(instance.account)
        role = account.roles.get(instance.role)
        if role is None:
            return None
        session = cloud.new_session(account, role, instance.id, ROLE_SECONDS)
        told = {
            "Code": "Success",
            "LastUpdated": _stamp(self._world.clock.now()),
            "Type": "AWS-HMAC",
            "AccessKeyId": session.access_key,
            "SecretAccessKey": session.secret,
            "Token": session.token,
            "Expiration": _stamp(session.expires),
        }
        return json.dumps(told, indent=2).encode()


class MetadataService:
    """``Metadata`` over HTTP, in a thread of its own."""

    def __init__(
        self, world: World, instance: Instance, address: tuple[str, int] = ("127.0.0.1", 0)
    ) -> None:
        metadata = Metadata(world, instance)

        class Handler(BaseHTTPRequestHandler):
            server_version = "EC2ws"

            def answer(self) -> None:
                headers = tuple((name.lower(), value) for name, value in self.headers.items())
                with world.lock:
                    response = metadata.handle(Request(self.command, self.path, headers))
                self.send_response(response.status)
                for name, value in (*response.headers, ("content-length", str(len(response.body)))):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else response.body)

            do_GET = do_HEAD = do_PUT = do_POST = answer  # noqa: N815 - names of http.server

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.metadata = metadata
        self._server = ThreadingHTTPServer(address, Handler)
        host, port = self._server.server_address[:2]
        self.url = f"http://{host!s}:{port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="imds", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _stamp(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _error(status: int, text: str) -> Response:
    body = f"<html><head><title>{status} - {text}</title></head><body>{text}</body></html>"
    return Response(status, body.encode(), (("content-type", "text/html"),))
