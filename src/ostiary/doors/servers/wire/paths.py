"""Paths of the API that have a name in them, which may be whatever somebody typed."""

from __future__ import annotations

from urllib.parse import quote


def project_path(name: str) -> str:
    return f"/v1/projects/{quote(name, safe='')}"
