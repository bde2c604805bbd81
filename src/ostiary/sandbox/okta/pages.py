"""HTML pages: Jinja2 with autoescape, one style sheet; the only script is the one that names the dashboard's client."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ostiary.sandbox.http import Request, Response
from ostiary.sandbox.okta.call import Call

FOLDER = Path(__file__).parent / "templates"
SCRIPT = "/assets/enduser-v1/enduser.js"
SECURITY = (
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'",
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
    defaults = {"org": call.org.name, "user": None, "problem": "", "script": call.href(SCRIPT)}
    text = _environment().get_template(template).render({**defaults, **values})
    return Response.of_html(text, status, SECURITY)


def wants_page(request: Request) -> bool:
    """Whether a person at a browser asks, and not a program."""
    api = request.path.startswith(("/api/", "/oauth2/"))
    return not api and "text/html" in request.header("accept")


def no_page(call: Call) -> Response:
    text = f"There is no page {call.request.path} here."
    return render(call, "message.html", 404, title="Page not found", text=text)


def style() -> bytes:
    return (FOLDER / "style.css").read_bytes()
