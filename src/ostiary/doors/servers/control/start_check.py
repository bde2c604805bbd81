"""What ``ostiary serve`` was told of the org, tried before it serves: the issuer, the app of the sign-in, the group of administrators.

Only an issuer that says of itself that it is another one ends the start. An org that is away, or an app or a group that
is not there, is a warning: hosts, sessions and the audit of a control plane that served until now go on without it.
Sources: OpenID Connect Discovery 1.0, 4.3; RFC 6749, 5.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx2

from ostiary.doors.servers.control.unanswered import reason
from ostiary.errors import NotFound, OstiaryError, Unreachable, UsageError
from ostiary.okta.client import OktaClient
from ostiary.okta.group import find_group

SECONDS = 5.0  # for each answer: a start during an outage is not held up by it
PAUSE = 2.0  # longest pause that Okta's limits may ask for
NO_TOKEN = "a-start-of-ostiary-serve"  # noqa: S105 - a refresh token that nobody was given
NO_CLIENT = "invalid_client"


def warnings(
    http: httpx2.Client, issuer: str, client_id: str, admin_group: str, okta: OktaClient | None
) -> Iterator[str]:
    """What will not work, one line each; nothing where all is well, or cannot be told.

    UsageError or NotFound when ``issuer`` is none, or calls itself otherwise: no ID token of it would ever be taken.
    """
    try:
        described = _described(http, issuer)
    except Unreachable as away:
        yield f"nobody can sign in until {issuer} answers: {away.why}"
        return
    if _is_unknown(http, described, client_id):
        yield (
            f"nobody can sign in: {issuer} knows no client {client_id} that needs no secret:"
            " --client-id is the id of an active native OIDC app"
        )
    if okta is not None and (text := _of_group(okta, admin_group)):
        yield text


def _described(http: httpx2.Client, issuer: str) -> Mapping[str, Any]:
    what = f"cannot use {issuer} as issuer"
    fix = "correct --issuer: https://ORG.okta.com, or the issuer of a custom authorization server"
    if not _is_address(issuer):
        raise UsageError(what, why="it is not https://HOST", fix=fix)
    try:
        answer = http.get(f"{issuer}/.well-known/openid-configuration", timeout=SECONDS)
    except httpx2.HTTPError as error:
        raise Unreachable(what, why=reason(error)) from error
    if answer.status_code == httpx2.codes.NOT_FOUND:
        raise NotFound(what, why="there is no OpenID Connect discovery document there", fix=fix)
    try:
        found = answer.raise_for_status().json()
    except (httpx2.HTTPError, ValueError) as error:
        why = f"HTTP status {answer.status_code}, and no discovery document"
        raise Unreachable(what, why=why) from error
    named = found.get("issuer") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(named, str):
        raise Unreachable(what, why="its discovery document names no issuer")
    if named != issuer:
        raise UsageError(
            what,
            why=f"its discovery document is of the issuer {named[:200]!r}",
            fix=f"start with: --issuer {named}"
            if named.isprintable() and " " not in named
            else fix,
        )
    return found


def _is_address(issuer: str) -> bool:
    try:
        url = httpx2.URL(issuer)
    except httpx2.InvalidURL:
        return False
    return url.scheme in ("https", "http") and bool(url.host)


def _is_unknown(http: httpx2.Client, described: Mapping[str, Any], client_id: str) -> bool:
    """Whether the issuer says that it has no such client: a token that nobody was given is asked for news.

    Of a client that it knows it says ``invalid_grant`` or ``unauthorized_client``. Okta has the code in either key.
    """
    form = {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": NO_TOKEN}
    try:
        answer = http.post(str(described["token_endpoint"]), data=form, timeout=SECONDS)
        found = answer.json()
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, KeyError):
        return False
    return isinstance(found, dict) and NO_CLIENT in (found.get("error"), found.get("errorCode"))


def _of_group(okta: OktaClient, name: str) -> str:
    """What is wrong with the group of administrators, "" for nothing."""
    asked = okta.impatient(PAUSE, SECONDS)
    try:
        if find_group(asked, name) is not None:
            return ""
    except OstiaryError as error:
        return f"cannot tell whether there is a group {name} (--admin-group): {error.why}"
    finally:
        asked.close()
    return f"nobody can administer: the org has no group of exactly the name {name} (--admin-group)"
