"""Signing in in a browser on this machine: a code that only this process can redeem.

Sources: RFC 7636 (PKCE), RFC 8252 section 7.3 (loopback), OpenID Connect Core 1.0, 3.1.2.1. Okta takes ``acr_values`` and
``max_age`` at ``/authorize`` only, so a step-up goes this way.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from ostiary.doors.servers.client.bounded_http import Place
from ostiary.doors.servers.client.issuer import Issuer, Tokens, failed, fetch, refused, tokens_in
from ostiary.errors import Denied


@dataclass(frozen=True, slots=True)
class Code:
    """One way through a browser: the address to open, and what redeems the code that comes back."""

    url: str
    redirect: str
    state: str
    nonce: str
    verifier: str = field(repr=False)


def begin_code(
    issuer: Issuer, redirect: str, acr_values: str = "", max_age: int | None = None
) -> Code:
    """``redirect`` is the loopback address where the browser is sent back to; it is registered with the app."""
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    digest = hashlib.sha256(verifier.encode()).digest()
    query = {
        "response_type": "code",
        "client_id": issuer.settings.client_id,
        "scope": " ".join(issuer.settings.scopes),
        "redirect_uri": redirect,
        "state": state,
        "nonce": nonce,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    if acr_values:
        query["acr_values"] = acr_values
    if max_age is not None:
        query["max_age"] = str(max_age)
    Place(issuer.authorization)  # what is opened in a browser is a URL, and of https
    return Code(f"{issuer.authorization}?{urlencode(query)}", redirect, state, nonce, verifier)


def redeem(issuer: Issuer, code: Code, answer: Mapping[str, str]) -> Tokens:
    """The tokens for what the browser brought back. Denied when it is the answer to another question."""
    settings = issuer.settings
    if not hmac.compare_digest(answer.get("state", "").encode(), code.state.encode()):
        raise Denied(
            f"cannot sign in at {settings.issuer}",
            why="what the browser brought back was not asked for by this run",
            fix="run: ostiary login --browser",
            code="foreign-state",
        )
    if "code" not in answer:
        raise refused(settings, answer, 400)
    asked = {
        "grant_type": "authorization_code",
        "client_id": settings.client_id,
        "code": answer["code"],
        "redirect_uri": code.redirect,
        "code_verifier": code.verifier,
    }
    status, said = fetch(issuer.token, asked)
    if status != http.client.OK:
        raise refused(settings, said, status)
    tokens = tokens_in(settings, said)
    if _claims(tokens.id_token).get("nonce") != code.nonce:
        raise failed(settings, "the ID token was made for another run")
    return tokens


def _claims(id_token: str) -> Mapping[str, Any]:
    """What an ID token says. It is not verified here: the control plane does that."""
    try:
        part = id_token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, IndexError):
        return {}
    return claims if isinstance(claims, dict) else {}
