"""What is wrong with a machine principal that somebody wants to set. Pure.

A token of GitHub's or GitLab's issuer proves only that some pipeline of theirs runs. So whoever may sign in by one is
told by exact claims, ``sub`` always among them: without it every pipeline of everybody would be this machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from joserfc import jwk
from joserfc.errors import JoseError

from ostiary.doors.servers.wire.admin import Machine

PRIVATE_KEY_JWT, OIDC, AWS = "private-key-jwt", "oidc", "aws"
KINDS = (PRIVATE_KEY_JWT, OIDC, AWS)
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,54}")
ROLE = re.compile(
    r"arn:aws[a-z-]*:iam::([0-9]{12}):role/(?:[\x21-\x7e]{1,510}/)?([\w+=,.@-]{1,64})"
)
ROLE_ID = "role-id"  # the one claim that a machine of kind aws may have
MOST_RATE = 100_000
MOST_KEYS = 10
LEAST_BITS = 2048
CURVES = {"EC": ("P-256", "P-384"), "OKP": ("Ed25519",)}


def faults(machine: Machine) -> list[str]:
    """Everything at once; nothing when the machine may be set."""
    found = list(_of_all(machine))
    of_kind = {PRIVATE_KEY_JWT: _of_keys, OIDC: _of_oidc, AWS: _of_aws}.get(machine.kind)
    if of_kind is None:
        found.append(f"kind {machine.kind[:40]!r} is none of {', '.join(KINDS)}")
    else:
        found += of_kind(machine)
    return [f"machine {machine.name[:64]!r}: {one}" for one in found]


def _of_all(machine: Machine) -> Iterable[str]:
    if not NAME.fullmatch(machine.name):
        yield "a name is of a-z, 0-9 and -, at most 55 long"
    if not machine.owner or not machine.owner.isprintable() or "@" not in machine.owner:
        yield "owner is not the Okta login of a person"
    if not machine.until > 0:
        yield "until is missing: a machine ends on a day"
    if not 1 <= machine.rate <= MOST_RATE:
        yield f"rate is outside 1 to {MOST_RATE} certificates an hour"


def _of_oidc(machine: Machine) -> Iterable[str]:
    parts = urlsplit(machine.issuer)
    if parts.scheme != "https" or not parts.hostname or parts.query or "@" in parts.netloc:
        yield f"issuer {machine.issuer[:80]!r} is not https://HOST"
    if not machine.audience or not machine.audience.isprintable():
        yield "audience is missing"
    claims = {one.key: one.value for one in machine.claims}
    if len(claims) != len(machine.claims):
        yield "a claim is named twice"
    if not claims.get("sub"):
        yield "claims name no sub: every pipeline of the issuer would be this machine"
    for key, value in claims.items():
        if not key or not value or not value.isprintable():
            yield f"the claim {key[:40]!r} is not one exact value"
        elif "*" in value or "?" in value:
            yield f"the claim {key[:40]!r} has a wildcard, and claims are compared exactly"
    if machine.public_keys or machine.arn:
        yield "public_keys and arn are of other kinds"


def _of_keys(machine: Machine) -> Iterable[str]:
    if machine.issuer or machine.audience or machine.claims or machine.arn:
        yield "issuer, audience, claims and arn are of other kinds"
    try:
        keys = key_set(machine.public_keys)
    except ValueError as error:
        yield f"public_keys: {error}"
        return
    if not keys:
        yield "public_keys holds no key"


def _of_aws(machine: Machine) -> Iterable[str]:
    if not ROLE.fullmatch(machine.arn):
        yield f"arn {machine.arn[:120]!r} is not that of an IAM role"
    for one in machine.claims:
        if one.key != ROLE_ID or not re.fullmatch(r"AROA[A-Z0-9]{12,124}", one.value):
            yield f"the only claim is {ROLE_ID}, of the form AROA…"
    if machine.issuer or machine.audience or machine.public_keys:
        yield "issuer, audience and public_keys are of other kinds"


def key_set(text: str) -> Mapping[str, Any]:
    """The public keys of a JWK set as JSON, by ``kid``. ValueError with what is wrong."""
    try:
        listed = json.loads(text)["keys"]
        keys = {str(one["kid"]): _key(one) for one in listed}
    except (JoseError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError("not a JWK set whose keys have a kid each") from error
    if len(keys) != len(listed) or len(keys) > MOST_KEYS:
        raise ValueError(f"more than {MOST_KEYS} keys, or two of one kid")
    return keys


def _key(told: Mapping[str, Any]) -> Any:
    kind = told["kty"]
    if kind not in ("RSA", *CURVES):
        raise ValueError(f"a key of type {str(kind)[:20]} signs nothing here")
    if "d" in told or "k" in told:
        raise ValueError("it holds a private key")
    if kind in CURVES and told["crv"] not in CURVES[kind]:
        raise ValueError(f"the curve {str(told['crv'])[:20]} is none of P-256, P-384, Ed25519")
    if kind == "RSA" and len(str(told["n"])) * 6 < LEAST_BITS:
        raise ValueError(f"an RSA key is shorter than {LEAST_BITS} bits")
    return jwk.import_key(dict(told))
