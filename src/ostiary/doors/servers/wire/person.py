"""Between client and control plane.

    GET  /v1/sign-in                          -> SignInSettings
    POST /v1/sign-in        SignIn            -> Session
    GET  /v1/servers                          -> Servers
    POST /v1/certificates   CertificateRequest -> Issued
    POST /v1/sign-out                         -> 204
    POST /v1/machines/sign-in MachineSignIn   -> Session

All but the sign-ins carry ``Authorization: Bearer <Session.token>``, and a person's the proof of ``session_proof.py`` too.
A refusal is ``Refusal`` with 4xx or 5xx.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Dict, Tuple  # noqa: UP035 - as host.py

SIGN_IN_NAMESPACE = "ostiary-sign-in@v1"
LOGIN, HOP, X509 = "login", "hop", "x509"  # purposes of a certificate
NEEDS = (
    "needs-preauthorization"  # nothing yet, though rules let in; with hop: they let pass through
)


@dataclass(frozen=True)
class SignInSettings:
    """Where and as whom the client signs in: device flow, or code with PKCE, at the Okta org's authorization server."""

    issuer: str
    client_id: str
    scopes: Tuple[str, ...]  # noqa: UP006


@dataclass(frozen=True)
class SignIn:
    """Who signs in, and from where.

    ``device_proof`` is the base64 body of ``ssh-keygen -Y sign -n ostiary-sign-in@v1`` over ``sign_in_message``, by the Ed25519
    key of the device that the session is to be of. ``refresh_token`` lets the control plane see that the person is still
    active; "" where the org gives none.
    """

    id_token: str = field(repr=False)
    device: str  # name of the device, told not trusted
    device_proof: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)


def sign_in_message(control: str, id_token: str, refresh_token: str, device: str) -> bytes:
    """What a device signs: ``CONTROL LF sha256-hex(id_token) LF sha256-hex(refresh_token) LF device``, in UTF-8.

    CONTROL is the URL of the control plane, without a slash at its end: what one is shown is no sign-in at another.
    """
    digests = (hashlib.sha256(one.encode()).hexdigest() for one in (id_token, refresh_token))
    return "\n".join((control, *digests, device)).encode()


@dataclass(frozen=True)
class MachineSignIn:
    """A machine's proof of who it is. ``kind``: private-key-jwt, oidc (GitHub, GitLab) or aws (presigned GetCallerIdentity)."""

    name: str
    kind: str
    proof: str = field(repr=False)


@dataclass(frozen=True)
class Session:
    """``login`` is the LocalUser name that this person has on all servers, for good: certificates are for it.

    ``device`` and ``proof_key`` are "" for a machine.
    """

    token: str = field(repr=False)
    expires: float
    login: str
    person: str  # the Okta login, or machine:NAME
    device: str = ""  # id of the registered device
    proof_key: str = field(default="", repr=False)


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
    may: Tuple[str, ...]  # noqa: UP006 - login, admin, forward, sftp, hop; NEEDS


@dataclass(frozen=True)
class Servers:
    servers: Tuple[ServerEntry, ...]  # noqa: UP006


@dataclass(frozen=True)
class CertificateRequest:
    """One certificate for one connection. ``purpose``: ``login`` for a shell, ``hop`` to pass through a bastion only."""

    server: str  # name or id
    public_key: str  # authorized_keys form
    purpose: str
    forward_to: str = ""  # of a hop: name or id of the server behind it
    project: str = ""  # where two projects have a server of this name


@dataclass(frozen=True)
class Issued:
    """``certificate`` in authorized_keys form (x509: PEM, leaf first); ``host_authorities`` sign the host's certificate,

    which names ``server_id`` first and then the server's name. ``serial`` is decimal text.
    """

    certificate: str
    login: str
    server: ServerEntry
    host_authorities: Tuple[str, ...]  # noqa: UP006
    serial: str = ""


@dataclass(frozen=True)
class Refusal:
    """``code`` is stable (not-entitled, no-server, step-up, busy, audit-unavailable…); ``fix`` says what to ask for, of whom."""

    code: str
    why: str
    fix: str = ""
    acr_values: str = ""  # of step-up: sign in again with these
    max_age: int = 0  # of step-up: seconds since the sign-in at most; 0 for no bound
