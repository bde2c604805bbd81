"""Proof of possession for OAuth tokens (RFC 9449): nonce at the token endpoint, hash of the token at the API."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from joserfc import jwk, jws, jwt
from joserfc.errors import JoseError

from ostiary.sandbox.okta.call import Call
from ostiary.sandbox.okta.errors import OAuthError, bad_token

ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"]
NONCE_LIFE = 86400
PROOF_LIFE = 300


def check_token_request(call: Call) -> str | None:
    """The thumbprint of the proof on a token request, or None without one. Challenges for a nonce first."""
    proof = call.request.header("dpop")
    if not proof:
        return None
    thumbprint, claims = _read(call, proof)
    nonce = claims.get("nonce")
    if nonce is None:
        fresh = call.org.secret("", 32)
        call.org.nonces[fresh] = call.now + NONCE_LIFE
        raise OAuthError(
            "use_dpop_nonce",
            "Authorization server requires nonce in DPoP proof.",
            headers=[("dpop-nonce", fresh)],
        )
    if call.org.nonces.get(nonce, 0) <= call.now:
        raise OAuthError("invalid_dpop_proof", "The nonce in the DPoP proof is not valid.")
    return thumbprint


def check_call(call: Call, token: str, thumbprint: str) -> None:
    """Raise unless the API call carries a proof by the token's key over this token."""
    headers = [("www-authenticate", 'DPoP error="invalid_dpop_proof"')]
    try:
        found, claims = _read(call, call.request.header("dpop"))
    except OAuthError as error:
        raise bad_token(headers) from error
    digest = hashlib.sha256(token.encode()).digest()
    expected = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    if found != thumbprint or claims.get("ath") != expected:
        raise bad_token(headers)


def _read(call: Call, proof: str) -> tuple[str, dict[str, Any]]:
    """Verify a proof against the key in its own header; returns the key's thumbprint and the claims."""
    try:
        header = jws.extract_compact(proof.encode()).headers()
        key = jwk.import_key(header["jwk"])
        claims = jwt.decode(proof, key, algorithms=ALGORITHMS).claims
    except (JoseError, KeyError, ValueError, TypeError) as error:
        raise OAuthError("invalid_dpop_proof", "The DPoP proof is not a valid JWT.") from error
    url = call.origin + call.request.path
    problem = ""
    if header.get("typ") != "dpop+jwt" or key.is_private:
        problem = "The DPoP proof header is not valid."
    elif claims.get("htm") != call.request.method or claims.get("htu") != url:
        problem = "The DPoP proof is for another request."
    elif not _number(claims.get("iat")) or abs(call.now - claims["iat"]) > PROOF_LIFE:
        problem = "The DPoP proof is not of now."
    elif not isinstance(claims.get("jti"), str) or not remember(
        call, "dpop", claims["jti"], PROOF_LIFE * 2
    ):
        problem = "The DPoP proof has been used."
    if problem:
        raise OAuthError("invalid_dpop_proof", problem)
    return key.thumbprint(), claims


def remember(call: Call, issuer: str, jti: str, life: float) -> bool:
    """Note that a token id was used; False when it was used before and could still be valid."""
    seen = call.org.seen_jtis
    if seen.get((issuer, jti), 0) > call.now:
        return False
    if len(seen) > 10_000:  # noqa: PLR2004 - forget what has expired
        for known in [known for known, until in seen.items() if until <= call.now]:
            del seen[known]
    seen[issuer, jti] = call.now + life
    return True


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
