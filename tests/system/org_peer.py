"""An authorization server that says what a test tells it to."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from ostiary.doors.servers.client import issuer
from ostiary.doors.servers.wire.person import SignInSettings


class Org(ThreadingHTTPServer):
    """Says what a test tells it to: ``answers`` by path, each used once, the last one kept."""

    daemon_threads = True

    def __init__(self) -> None:
        self.answers: dict[str, list] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.broken = False  # connections end without an answer
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.document = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "device_authorization_endpoint": f"{self.url}/device",
        }
        self.answers["/.well-known/openid-configuration"] = [(200, self.document)]
        self.answers["/device"] = [
            (
                200,
                {
                    "device_code": "dc",
                    "user_code": "ABCD",
                    "verification_uri": f"{self.url}/activate",
                    "verification_uri_complete": f"{self.url}/activate?user_code=ABCD",
                    "expires_in": 600,
                    "interval": 5,
                },
            )
        ]
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def found(self) -> issuer.Issuer:
        return issuer.discover(SignInSettings(self.url, "0oa1", ("openid", "profile")))


class _Handler(BaseHTTPRequestHandler):
    server: Org

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer(dict(parse_qsl(body)))

    def _answer(self, form: dict[str, str]) -> None:
        path = urlsplit(self.path).path
        if self.server.broken:
            self.close_connection = True
            return
        self.server.asked.append((path, form))
        answers = self.server.answers[path]
        status, said = answers.pop(0) if len(answers) > 1 else answers[0]
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return
