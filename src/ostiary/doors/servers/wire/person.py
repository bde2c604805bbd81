"""Between client and control plane.

    GET  /v1/sign-in                          -> SignInSettings
    POST /v1/sign-in        SignIn            -> Session
    GET  /v1/servers                          -> Servers
    POST /v1/certificates   CertificateRequest -> Issued

All but the first two carry ``Authorization: Bearer <Session.token>``. A refusal is ``Refusal`` with 4xx or 5xx.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Tuple  # noqa: UP035 - as host.py


@dataclass(frozen=True)
class SignInSettings:
    """Where and as whom the client signs in: device flow, or code with PKCE, at the Okta org's authorization server."""

    issuer: str
    client_id: str
    scopes: Tuple[str, ...]  # noqa: UP006


@dataclass(frozen=True)
class SignIn:
    id_token: str = field(repr=False)
    device: str  # name of the device, told not trusted


@dataclass(frozen=True)
class Session:
    """``login`` is the LocalUser name that this person has on servers."""

    token: str = field(repr=False)
    expires: float
    login: str
    person: str  # the Okta login


@dataclass(frozen=True)
class ServerEntry:
    server_id: str
    name: str
    project: str
    address: str
    port: int
    bastion: str  # name of the server to go through, or ""
    labels: Dict[str, str]  # noqa: UP006
    last_seen: float
    may: Tuple[str, ...]  # noqa: UP006 - login, admin, forward, sftp, hop


@dataclass(frozen=True)
class Servers:
    servers: Tuple[ServerEntry, ...]  # noqa: UP006


@dataclass(frozen=True)
class CertificateRequest:
    """One certificate for one connection. ``purpose``: ``login`` for a shell, ``hop`` to pass through a bastion only."""

    server: str  # name or id
    public_key: str  # authorized_keys form
    purpose: str
    forward_to: str = ""  # of a hop: the server behind it


@dataclass(frozen=True)
class Issued:
    """``certificate`` in authorized_keys form; ``host_authorities`` sign the host's certificate, which names ``server_id``."""

    certificate: str
    login: str
    server: ServerEntry
    host_authorities: Tuple[str, ...]  # noqa: UP006


@dataclass(frozen=True)
class Refusal:
    """``code`` is stable (not-entitled, no-server, step-up, busy, audit-unavailable…); ``fix`` says what to ask for, of whom."""

    code: str
    why: str
    fix: str = ""
