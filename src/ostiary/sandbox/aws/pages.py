"""The pages of the embedded AWS: Jinja2 with autoescape, no script, nothing from elsewhere."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from ostiary.sandbox.http import Response

_HEADERS = (
    (
        "content-security-policy",
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("ostiary.sandbox.aws"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )


def render(template: str, **values: object) -> str:
    return _environment().get_template(template).render(values)


def page(template: str, status: int = 200, **values: object) -> Response:
    """An HTML page that no browser caches, frames or lets run anything."""
    return Response.of_html(render(template, **values), status, _HEADERS)
