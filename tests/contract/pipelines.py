"""Issuers of pipeline tokens (as GitHub's and GitLab's), and the way to them and to AWS without a network."""

from __future__ import annotations

import json
import time
from functools import cached_property
from urllib.parse import urlsplit

import httpx2
from aws_instance import AwsTransport, make_world
from joserfc import jwk, jwt

GITHUB = "https://token.actions.githubusercontent.com"
SUB = "repo:acme/infra:ref:refs/heads/main"
GITHUB_SAYS = {"sub": SUB, "repository": "acme/infra", "run_attempt": 1}

GITLAB = "https://gitlab.com"
GITLAB_SAYS = {
    "sub": "project_path:acme/infra:ref_type:branch:ref:main",
    "namespace_id": "72",
    "namespace_path": "acme",
    "project_id": "20",
    "project_path": "acme/infra",
    "project_visibility": "private",
    "user_id": "1",
    "user_login": "ada",
    "user_email": "ada@acme.example",
    "user_access_level": "developer",
    "pipeline_id": "574",
    "pipeline_source": "push",
    "job_id": "302",
    "ref": "main",
    "ref_type": "branch",
    "ref_path": "refs/heads/main",
    "ref_protected": "true",
    "runner_id": 1,
    "runner_environment": "gitlab-hosted",
    "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
    "ci_config_ref_uri": "gitlab.com/acme/infra//.gitlab-ci.yml@refs/heads/main",
    "ci_config_sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
}  # Source: GitLab, "OpenID Connect (OIDC) authentication using ID tokens", "Token payload"


class PipelineIssuer:
    """Publishes keys, at the path ``keys``, and signs tokens; ``asked`` counts what was fetched."""

    def __init__(self, url=GITHUB, keys="/.well-known/jwks", says=None):
        self.url = url
        self.keys = keys
        self.says = GITHUB_SAYS if says is None else says
        self.asked = []
        self.broken = None

    @cached_property
    def key(self):
        return jwk.RSAKey.generate_key(2048, {"kid": "g1", "alg": "RS256", "use": "sig"})

    def answer(self, request):
        self.asked.append(request.url.path)
        if self.broken is not None:
            return self.broken
        found = {
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "jwks_uri": f"{self.url}{self.keys}",
            },
            self.keys: {"keys": [self.key.as_dict(private=False)]},
        }
        return httpx2.Response(200, content=json.dumps(found[request.url.path]).encode())

    def token(self, *, key=None, header=None, now=None, **claims):
        now = int(time.time() if now is None else now)
        said = {
            "iss": self.url,
            "aud": "https://control.example",
            **self.says,
            "iat": now,
            "nbf": now - 5,
            "exp": now + 300,
            "jti": f"j{time.monotonic_ns()}",
            **claims,
        }
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": "g1", **(header or {})}, said, key or self.key)


class Pipelines(httpx2.BaseTransport):
    """The issuers of GitHub and GitLab, and this machine as it is; nothing else is reached."""

    def __init__(self):
        self.github = PipelineIssuer()
        self.gitlab = PipelineIssuer(GITLAB, "/oauth/discovery/keys", GITLAB_SAYS)
        self._issuers = {urlsplit(one.url).hostname: one for one in (self.github, self.gitlab)}
        self._here = httpx2.HTTPTransport(verify=False)

    def handle_request(self, request):
        host = request.url.host
        if host in self._issuers:
            return self._issuers[host].answer(request)
        assert host in ("127.0.0.1", "localhost"), host
        return self._here.handle_request(request)

    def close(self):
        self._here.close()


class Router(Pipelines):
    """Reaches the embedded AWS too."""

    def __init__(self):
        super().__init__()
        self.world = make_world()
        self.aws = AwsTransport(self.world)

    def handle_request(self, request):
        if request.url.host.startswith("sts."):
            return self.aws.handle_request(request)
        return super().handle_request(request)
