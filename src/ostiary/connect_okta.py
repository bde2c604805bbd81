"""Clients of Okta orgs, and the kinds of objects that are bound to them: by a service app, or an API token.

A part of the composition root, ``connect.py``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import httpx2

from ostiary.errors import UsageError
from ostiary.model.estate import Estate, OrgSettings, resolve
from ostiary.okta.auth import Secret, ServiceApp, Ssws
from ostiary.okta.client import OktaClient
from ostiary.okta.every_org import InEveryOrg
from ostiary.okta.kinds import okta_kinds
from ostiary.plan.resource import Kind
from ostiary.settings import Settings

Purpose = Literal["plan", "apply"]

SCOPES: Mapping[Purpose, tuple[str, ...]] = {
    "plan": (
        "okta.apps.read",
        "okta.groups.read",
        "okta.users.read",
        "okta.policies.read",
    ),
    "apply": (
        "okta.apps.manage",
        "okta.groups.manage",
        "okta.users.read",
        "okta.policies.read",
    ),
}


def okta_client(
    org: OrgSettings,
    purpose: Purpose,
    settings: Settings,
    transport: httpx2.BaseTransport | None,
    environ: Mapping[str, str],
) -> OktaClient:
    """The client of one org. Raises UsageError for what is missing; sends nothing."""
    url, auth = _url(org, environ), _auth(org, purpose, environ)
    try:
        return OktaClient(url, auth, transport=transport, share=settings.share)
    except OSError as error:
        raise _untrusting(error) from error


def check_trust() -> None:
    """UsageError unless the CA file or folder, which is read when a client is made, can be read."""
    try:
        httpx2.Client().close()
    except OSError as error:
        raise _untrusting(error) from error


def _untrusting(error: OSError) -> UsageError:
    named = (os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    where = next((f" in {one}" for one in named if one), "")
    return UsageError(
        f"cannot read the certificate authorities to trust{where}",
        why=str(error.strerror or error).lower(),
        fix="correct SSL_CERT_FILE or SSL_CERT_DIR, or unset it",
    )


def _url(org: OrgSettings, environ: Mapping[str, str]) -> str:
    """The address of the org; a token goes nowhere but by https, and an address holds no password."""
    url = resolve(org.url, environ)
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
        raise UsageError(
            f"cannot use the url of Okta org {org.name}",
            why="it is not https://HOST",
            fix=f"correct orgs.{org.name}.url, or the variable that it names",
        )
    return url


def _auth(org: OrgSettings, purpose: Purpose, environ: Mapping[str, str]) -> httpx2.Auth:
    auth = org.auth
    if auth is None:
        names = (f"OSTIARY_OKTA_TOKEN_{org.name.upper().replace('-', '_')}", "OKTA_CLIENT_TOKEN")
        token = next((environ[name] for name in names if environ.get(name)), "")
        if not token:
            raise UsageError(
                f"no credentials for Okta org {org.name}",
                why=f"the estate names no service app, and neither {' nor '.join(names)} is set",
                fix=f"export {names[1]}=… or give orgs.{org.name} an auth section",
            )
        if not re.fullmatch(r"[\x21-\x7e]+", token.strip()):
            raise UsageError(
                f"cannot use the API token of Okta org {org.name}",
                why="it holds blanks, line ends or letters outside ASCII",
                fix=f"copy it again: export {names[1]}=…",
            )
        return Ssws(Secret(token.strip()))
    return ServiceApp(
        resolve(auth.client_id, environ),
        Secret(_private_key(org, environ)),
        auth.scopes or SCOPES[purpose],
        dpop=auth.dpop,
        key_id=resolve(auth.key_id, environ) if auth.key_id else None,
    )


def _private_key(org: OrgSettings, environ: Mapping[str, str]) -> str:
    auth = org.auth
    if auth is not None and auth.private_key is not None:
        return resolve(auth.private_key, environ)
    path = Path(resolve(auth.private_key_file, environ) if auth and auth.private_key_file else "")
    try:
        return path.expanduser().read_text()
    except OSError as error:
        raise UsageError(
            f"cannot read the private key of Okta org {org.name}",
            why=f"{path}: {str(error.strerror).lower()}",
            fix=f"correct private_key_file in orgs.{org.name}.auth",
        ) from error


def okta_kinds_of(estate: Estate, clients: Mapping[str, OktaClient]) -> tuple[Kind, ...]:
    """App and group first; rule, members and assignment come after the AWS kinds."""
    by_org = {org: okta_kinds(client, org, estate.name) for org, client in clients.items()}
    return tuple(
        InEveryOrg(dict(zip(by_org, members, strict=True)))
        for members in zip(*by_org.values(), strict=True)
    )
