"""Paths of the API that both sides name, and those with a name in them, which may be whatever somebody typed."""

from __future__ import annotations

from urllib.parse import quote

CERTIFICATES = "/v1/certificates"


def project_path(name: str) -> str:
    return f"/v1/projects/{quote(name, safe='')}"
