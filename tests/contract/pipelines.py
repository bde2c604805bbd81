"""Issuers of pipeline tokens (as GitHub's and GitLab's), and the way to them and to AWS without a network."""

from __future__ import annotations

import json
import time

import httpx2
from aws_instance import AwsTransport, make_world
from joserfc import jwk, jwt

GITHUB = "https://token.actions.githubusercontent.com"
SUB = "repo:acme/infra:ref:refs/heads/main"


class PipelineIssuer:
    """Publishes keys and signs tokens; ``asked`` counts what was fetched."""

    def __init__(self, url=GITHUB):
        self.url = url
        self.key = jwk.RSAKey.generate_key(2048, {"kid": "g1", "alg": "RS256", "use": "sig"})
        self.asked = []
        self.broken = None

    def answer(self, request):
        self.asked.append(request.url.path)
        if self.broken is not None:
            return self.broken
        found = {
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/.well-known/jwks",
            },
            "/.well-known/jwks": {"keys": [self.key.as_dict(private=False)]},
        }
        return httpx2.Response(200, content=json.dumps(found[request.url.path]).encode())

    def token(self, *, key=None, header=None, now=None, **claims):
        now = int(time.time() if now is None else now)
        said = {
            "iss": self.url,
            "aud": "https://control.example",
            "sub": SUB,
            "repository": "acme/infra",
            "run_attempt": 1,
            "iat": now,
            "nbf": now - 5,
            "exp": now + 300,
            "jti": f"j{time.monotonic_ns()}",
            **claims,
        }
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": "g1", **(header or {})}, said, key or self.key)


class Router(httpx2.BaseTransport):
    """GitHub's issuer, the embedded AWS, and loopback as it is; nothing else is reached."""

    def __init__(self):
        self.github = PipelineIssuer()
        self.world = make_world()
        self.aws = AwsTransport(self.world)
        self._loopback = httpx2.HTTPTransport()

    def handle_request(self, request):
        host = request.url.host
        if host == "token.actions.githubusercontent.com":
            return self.github.answer(request)
        if host.startswith("sts."):
            return self.aws.handle_request(request)
        assert host == "127.0.0.1", host
        return self._loopback.handle_request(request)

    def close(self):
        self._loopback.close()
