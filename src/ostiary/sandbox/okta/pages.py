"""HTML pages: Jinja2 with autoescape, one style sheet, no script."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta.call import Call

FOLDER = Path(__file__).parent / "templates"
SECURITY = (
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
)


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(call: Call, template: str, status: int = 200, **values: Any) -> Response:
    """A page of the org. ``user`` is the signed-in person, ``problem`` a line about what went wrong."""
    defaults = {"org": call.org.name, "user": None, "problem": ""}
    text = _environment().get_template(template).render({**defaults, **values})
    return Response.of_html(text, status, SECURITY)


def style() -> bytes:
    return (FOLDER / "style.css").read_bytes()
