"""How a machine proves who it is: its pipeline's token, its AWS role, or a key of its own.

With a key, that is a JWT which is good once, for two minutes. Source: RFC 7523, 3.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from pathlib import Path

from joserfc import jwk, jwt
from joserfc.errors import JoseError

from ostiary.errors import UsageError

SECONDS = 120
ALGORITHMS = {"RSA": "RS256", "P-256": "ES256", "P-384": "ES384", "Ed25519": "Ed25519"}
MOST_TOKEN = 64 * 1024


def proof(
    machine: str, control: str, token_file: str | None, key_file: str | None
) -> tuple[str, str]:
    """Kind and proof; without token and key, that of the AWS role that this runs in."""
    if token_file:
        return "oidc", _token(token_file)
    if key_file:
        return "private-key-jwt", by_own_key(machine, control, Path(key_file))
    from ostiary.aws.caller_proof import presigned_caller  # noqa: PLC0415

    return "aws", presigned_caller(control)


def _token(file: str) -> str:
    try:
        if file == "-":
            return sys.stdin.read(MOST_TOKEN).strip()
        with Path(file).open(encoding="utf-8") as stream:
            return stream.read(MOST_TOKEN).strip()
    except (OSError, UnicodeDecodeError) as error:
        why = str(getattr(error, "strerror", None) or error).lower()
        raise UsageError(
            f"cannot read the token in {file}",
            why=why,
            fix="name the file with the pipeline's OIDC token, or give it to: --token-file -",
        ) from error


def by_own_key(name: str, control: str, file: Path) -> str:
    """For the machine ``name`` at the control plane of this URL; ``file`` holds its private key, a JWK with ``kid``."""
    try:
        with file.open(encoding="utf-8") as stream:
            described = json.loads(stream.read(MOST_TOKEN))
        kind = described.get("crv") or described["kty"]
        header = {"alg": ALGORITHMS[kind], "kid": described["kid"]}
        key = jwk.import_key(described)
    except OSError as error:
        raise _unusable(file, str(error.strerror).lower()) from error
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unusable(
            file, "it is no private JWK (RSA, P-256, P-384, Ed25519) with kid"
        ) from error
    if not key.is_private:
        raise _unusable(file, "it is the public half")
    now, me = int(time.time()), f"machine:{name}"
    claims = {"iss": me, "sub": me, "aud": control, "iat": now, "exp": now + SECONDS}
    return jwt.encode(header, {**claims, "jti": secrets.token_urlsafe(24)}, key, [header["alg"]])


def _unusable(file: Path, why: str) -> UsageError:
    return UsageError(
        f"cannot use {file} as the key of this machine",
        why=why,
        fix="give the private JWK whose public half the estate names",
    )
