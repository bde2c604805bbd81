"""The end-user dashboard: a tile for each app that the person has."""

from __future__ import annotations

from html import escape

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import apps, pages, sessions, sign_in
from ostiary.sandbox.okta.call import PUBLIC, Call, Route

_COLOURS = ("#0b5cad", "#8a3ffc", "#007d79", "#9f1853", "#8a5a00", "#3a4a5e")


def start(call: Call) -> Response:
    entered = sign_in.enter(call, mfa=False)
    if isinstance(entered, Response):
        return Response(302, headers=(("location", call.href(sign_in.LOGIN)),))
    return Response(302, headers=(("location", call.href(sign_in.HOME)),))


def home(call: Call) -> Response:
    entered = sign_in.enter(call, mfa=False)
    if isinstance(entered, Response):
        return entered
    tiles = [
        {"label": app.label, "href": apps.tile(app), "logo": f"/img/logos/{app.key}.svg"}
        for app in sessions.links_of(call, entered.user)
    ]
    return pages.render(call, "home.html", user=entered.user, tiles=tiles)


def style(_call: Call) -> Response:
    return Response(200, pages.style(), (("content-type", "text/css; charset=utf-8"),))


def script(call: Call) -> Response:
    """Names the dashboard's client, as Okta's does; tokendito reads it there."""
    text = f'"use strict";\nwindow.dashboard = {{clientId: "{call.org.dashboard.id}"}};\n'
    return Response(200, text.encode(), (("content-type", "text/javascript; charset=utf-8"),))


def logo(call: Call) -> Response:
    """A plain square with the first letters of the app's name."""
    name = call.params["name"].removesuffix(".svg")
    letters = "aws" if name.startswith("amazon") else name[:2]
    colour = "#232f3e" if letters == "aws" else _COLOURS[len(name) % len(_COLOURS)]
    text = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96">'
        f'<rect width="96" height="96" rx="18" fill="{colour}"/>'
        '<text x="48" y="58" fill="#fff" font-family="sans-serif" font-size="30"'
        f' font-weight="700" text-anchor="middle">{escape(letters)}</text></svg>'
    )
    return Response(200, text.encode(), (("content-type", "image/svg+xml"),))


ROUTES = (
    Route("GET", "/", PUBLIC, start),
    Route("GET", sign_in.HOME, PUBLIC, home),
    Route("GET", "/assets/style.css", PUBLIC, style),
    Route("GET", pages.SCRIPT, PUBLIC, script),
    Route("GET", "/img/logos/{name}", PUBLIC, logo),
    *sign_in.ROUTES,
)
