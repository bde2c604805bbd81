"""Who signs in: an ID token of the Okta org, checked against the keys that the org publishes.

Source: OpenID Connect Core 1.0, 3.1.3.7; Okta, "Validate ID tokens". Only RS256 and ES256 by a key of the issuer's own
list are taken, so that neither ``none`` nor an HMAC with the public key passes.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

from joserfc import jwk, jws, jwt
from joserfc.errors import JoseError

from ostiary.errors import Denied

ALGORITHMS = ["RS256", "ES256"]
SKEW = 60  # seconds that the org's clock may differ from ours
MOST_AGE = 3600  # seconds after which a token no longer proves a sign-in
KEYS_KEPT = (
    3600.0  # seconds that a key is believed: one that the org withdrew is believed no longer
)
KEYS_SECONDS = 30  # least time between two readings of the keys: tokens with strange kids cannot make us ask more


@dataclass(frozen=True, slots=True)
class Identity:
    """What the token says. ``methods`` is ``amr`` (pwd, otp, mfa, …), ``strength`` is ``acr``.

    ``signed_in`` is 0.0 where the token does not say when: that is long ago. ``mark`` stands for the token, whose
    signature may be written in more than one way. ``groups`` is None where the token has no claim of that name; it is true as of ``issued``.
    """

    person_id: str
    login: str
    signed_in: float
    methods: tuple[str, ...]
    strength: str
    groups: tuple[str, ...] | None = None
    issued: float = 0.0
    mark: str = ""


class TokenVerifier:
    """Verifies ID tokens of one issuer for one client. ``read_keys`` fetches the JWK set of the issuer."""

    def __init__(
        self,
        issuer: str,
        client_id: str,
        read_keys: Callable[[], Mapping[str, Any]],
        clock: Callable[[], float],
    ) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._read_keys = read_keys
        self._clock = clock
        self._keys: dict[str, Any] = {}
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def verify(self, token: str) -> Identity:
        """Denied with the reason when the token is not one of ours, whole, and of now."""
        try:
            key = self._key(str(_header(token).get("kid", "")))
            claims = jwt.decode(token, key, algorithms=ALGORITHMS).claims
        except (JoseError, ValueError, TypeError) as error:
            raise _refused("its signature is not the org's") from error
        return replace(self._judged(claims), mark=mark_of(token))

    def _judged(self, claims: Mapping[str, Any]) -> Identity:
        now = self._clock()
        audience = claims.get("aud")
        expires, issued = claims.get("exp"), claims.get("iat")
        if claims.get("iss") != self._issuer:
            raise _refused("another issuer made it")
        if audience not in (self._client_id, [self._client_id]):
            raise _refused("it is for another client")
        if not _number(expires) or not _number(issued):
            raise _refused("it says neither when it was made nor when it ends")
        if expires <= now - SKEW or issued < now - MOST_AGE:
            raise _refused("it has expired")
        begins = claims.get("nbf", issued)
        if issued > now + SKEW or not _number(begins) or begins > now + SKEW:
            raise _refused("it is from the future")
        person, login = claims.get("sub"), claims.get("preferred_username") or _email(claims)
        if not isinstance(person, str) or not person or not isinstance(login, str) or not login:
            raise _refused("it names nobody")
        methods, groups = claims.get("amr"), claims.get("groups")
        signed_in = claims.get("auth_time")
        return Identity(
            person,
            login,
            float(min(signed_in, now)) if _number(signed_in) else 0.0,
            tuple(map(str, methods)) if isinstance(methods, list) else (),
            str(claims.get("acr", "")),
            tuple(map(str, groups)) if isinstance(groups, list) else None,
            float(min(issued, now)),
        )

    def _key(self, kid: str) -> Any:
        """Who has a key that is known does not wait while somebody with another makes us ask."""
        known = self._keys.get(kid)
        if known is not None and self._clock() - self._read_at < KEYS_KEPT:
            return known
        with self._lock:
            now = self._clock()
            age = now - self._read_at
            if age >= KEYS_KEPT or (kid not in self._keys and age >= KEYS_SECONDS):
                self._read_at = now
                self._keys = self._keys if age < KEYS_KEPT else {}
                listed = self._read_keys().get("keys") or ()
                self._keys = {str(one.get("kid", "")): jwk.import_key(one) for one in listed}
            if kid not in self._keys:
                raise ValueError("unknown key")
            return self._keys[kid]


def mark_of(token: str) -> str:
    """What stands for a JWT that was verified: the SHA-256 of what is signed. Source: RFC 7515, 5.1.

    Of an ECDSA signature (r, s) everybody can make another good one, (r, n - s).
    """
    return hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()


def _header(token: str) -> Mapping[str, Any]:
    headers: Mapping[str, Any] = jws.extract_compact(token.encode()).headers()
    return headers


def _email(claims: Mapping[str, Any]) -> Any:
    """The address, unless the issuer says that nobody has proven it: then whoever likes may have it."""
    return None if claims.get("email_verified") in (False, "false") else claims.get("email")


def _number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refused(why: str) -> Denied:
    return Denied(
        "cannot sign in with this ID token",
        why=why,
        fix="run: ostiary login",
        code="invalid-token",
    )
