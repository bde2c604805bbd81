"""How a caller proves to Okta who it is: an API token, or an OAuth service app with a private key.

Sources: Okta developer docs, "Implement OAuth for Okta with a service app" (private_key_jwt is the only method
for Okta scopes) and "Configure OAuth 2.0 Demonstrating Proof-of-Possession" (RFC 9449).
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import httpx2
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeyParameters, RSAKey, import_key

from ostiary.errors import Denied, UsageError
from ostiary.okta import translate
from ostiary.okta.limits import server_time

TOKEN_PATH = "/oauth2/v1/token"  # noqa: S105 - a path
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS = 300
RENEW_BEFORE = 300.0  # seconds before expiry
CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}

SigningKey = RSAKey | ECKey
AuthFlow = Generator[httpx2.Request, httpx2.Response, None]
TokenFlow = Generator[httpx2.Request, httpx2.Response, "_Token"]


class Secret:
    """Text that does not show itself; ``reveal`` where it is sent."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")


class Ssws(httpx2.Auth):
    """An API token made in the Admin Console; it acts as the admin who made it."""

    def __init__(self, token: Secret | str) -> None:
        self._token = token if isinstance(token, Secret) else Secret(token)

    def __repr__(self) -> str:
        return "Ssws(***)"

    def auth_flow(self, request: httpx2.Request) -> AuthFlow:
        request.headers["authorization"] = f"SSWS {self._token.reveal()}"
        yield request


class _Token:
    __slots__ = ("renew_at", "text")

    def __init__(self, text: str, renew_at: float) -> None:
        self.text = text
        self.renew_at = renew_at


class ServiceApp(httpx2.Auth):
    """An OAuth service app: ``private_key_jwt`` for a token, DPoP to bind it to a key of this process.

    ``key`` is the private key as PEM, JWK text or JWK object. ``key_id`` is the ``kid`` where the key holds
    none. The token is renewed before it expires and after a 401; threads may share this object.
    """

    requires_response_body = True

    def __init__(
        self,
        client_id: str,
        key: Secret | str | Mapping[str, Any],
        scopes: Sequence[str],
        *,
        dpop: bool = True,
        key_id: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.client_id = client_id
        self.scopes = tuple(scopes)
        self._key = private_key(key, key_id)
        self._proof_key = ECKey.generate_key("P-256") if dpop else None
        self._clock = clock
        self._skew = 0.0  # Okta's clock minus ours
        self._nonce = ""
        self._token: _Token | None = None
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"ServiceApp({self.client_id!r}, scopes={self.scopes!r})"

    def only(self, *scopes: str) -> ServiceApp:
        """The same app asking for these scopes alone."""
        key = self._key.as_dict(private=True)
        return ServiceApp(
            self.client_id, key, scopes, dpop=self._proof_key is not None, clock=self._clock
        )

    def auth_flow(self, request: httpx2.Request) -> AuthFlow:
        token = yield from self._current(request)
        for attempt in (1, 2):
            self._authorize(request, token)
            response = yield request
            if attempt == 2 or response.status_code != httpx2.codes.UNAUTHORIZED:  # noqa: PLR2004
                return
            if self._learn_nonce(response):
                continue
            with self._lock:
                if self._token is token:
                    self._token = None
            token = yield from self._current(request)

    def _current(self, request: httpx2.Request) -> TokenFlow:
        with self._lock:
            if self._token is None or self._clock() >= self._token.renew_at:
                self._token = yield from self._fetch(request)
            return self._token

    def _fetch(self, request: httpx2.Request) -> TokenFlow:
        """Ask for a token; a second time when Okta hands out a nonce or our clock proves wrong."""
        url = str(request.url.copy_with(raw_path=TOKEN_PATH.encode()))
        for _ in range(3):
            assumed = self._skew
            response = yield self._token_request(url, request.headers.get("user-agent", ""))
            self._skew = server_time(response, self._clock()) - self._clock()
            if response.is_success:
                return self._accept(response)
            wrong_clock = abs(self._skew - assumed) > 30  # noqa: PLR2004 - seconds of tolerance
            if not self._learn_nonce(response) and not wrong_clock:
                break
        raise self._refused(response)

    def _accept(self, response: httpx2.Response) -> _Token:
        try:
            answer = json.loads(response.content)
            lifetime = float(answer["expires_in"])
            return _Token(
                answer["access_token"], self._clock() + max(lifetime - RENEW_BEFORE, lifetime / 2)
            )
        except (ValueError, KeyError, TypeError) as error:
            raise translate.not_json(
                response, f"cannot get a token for {self.client_id}", mutation=False
            ) from error

    def _refused(self, response: httpx2.Response) -> Denied:
        complaint = translate.Complaint.of(response)
        skewed = f"; our clock is {-self._skew:+.0f} s off Okta's" if abs(self._skew) > 60 else ""  # noqa: PLR2004
        fix = {
            "invalid_client": "add the public key of this private key to the app's JWKS in Okta",
            "invalid_scope": f"grant the app these scopes: {' '.join(self.scopes)}",
        }.get(complaint.code, "check client id, key and scopes of the service app in Okta")
        return Denied(
            f"cannot get a token for service app {self.client_id}",
            why=complaint.why + skewed,
            code=complaint.code,
            fix=fix,
        )

    def _token_request(self, url: str, agent: str) -> httpx2.Request:
        now = int(self._clock() + self._skew)
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": url,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
            "jti": secrets.token_urlsafe(24),
        }
        header = {"alg": algorithm(self._key), "typ": "JWT"}
        if self._key.kid:
            header["kid"] = self._key.kid
        form = {
            "grant_type": "client_credentials",
            "scope": " ".join(self.scopes),
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": jwt.encode(header, claims, self._key, [header["alg"]]),
        }
        headers = {
            "accept": "application/json",
            "content-type": "application/x-www-form-urlencoded",
            "user-agent": agent,
        }
        if self._proof_key is not None:
            headers["dpop"] = self._proof("POST", url)
        return httpx2.Request("POST", url, headers=headers, content=urlencode(form).encode())

    def _authorize(self, request: httpx2.Request, token: _Token) -> None:
        if self._proof_key is None:
            request.headers["authorization"] = f"Bearer {token.text}"
            return
        target = str(request.url.copy_with(query=None, fragment=None))
        request.headers["authorization"] = f"DPoP {token.text}"
        request.headers["dpop"] = self._proof(request.method, target, token.text)

    def _proof(self, method: str, url: str, token: str = "") -> str:
        """A DPoP proof for one request (RFC 9449 §4.2); with ``ath`` when a token goes along."""
        if self._proof_key is None:
            raise TypeError("no DPoP key")
        claims: dict[str, Any] = {
            "htm": method,
            "htu": url,
            "iat": int(self._clock() + self._skew),
            "jti": secrets.token_urlsafe(24),
        }
        if token:
            claims["ath"] = _base64url(hashlib.sha256(token.encode()).digest())
        if self._nonce:
            claims["nonce"] = self._nonce
        public = self._proof_key.as_dict(private=False)
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public}
        return jwt.encode(header, claims, self._proof_key, ["ES256"])

    def _learn_nonce(self, response: httpx2.Response) -> bool:
        """Whether the answer asks to repeat with a nonce that we had not used."""
        nonce = response.headers.get("dpop-nonce", "")
        if self._proof_key is None or not nonce or nonce == self._nonce:
            return False
        self._nonce = nonce
        asked = response.headers.get("www-authenticate", "") + response.text
        return "use_dpop_nonce" in asked


def private_key(key: Secret | str | Mapping[str, Any], key_id: str | None = None) -> SigningKey:
    """A private RSA or EC key from PEM, JWK text or a JWK object. Raises UsageError that never quotes the key."""
    given = key.reveal() if isinstance(key, Secret) else key
    parameters: KeyParameters = {"kid": key_id} if key_id else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = _load(given, parameters)
    except (ValueError, TypeError, JoseError):
        loaded = None
    if not isinstance(loaded, RSAKey | ECKey) or not loaded.is_private:
        raise UsageError(
            "cannot read the service app's private key",
            why="it is neither the PEM nor the JWK of a private RSA or EC key",
            fix="export the key pair as PEM or JWK, unencrypted, and name the file in the estate",
        ) from None
    return loaded


def _load(given: str | Mapping[str, Any], parameters: KeyParameters) -> object:
    if not isinstance(given, str):
        return import_key(dict(given), parameters=parameters)
    if given.lstrip().startswith("{"):
        return import_key(json.loads(given), parameters=parameters)
    pem = load_pem_private_key(given.encode(), password=None)
    if isinstance(pem, rsa.RSAPrivateKey):
        return RSAKey.import_key(pem, parameters)
    if isinstance(pem, ec.EllipticCurvePrivateKey):
        return ECKey.import_key(pem, parameters)
    return None


def algorithm(key: SigningKey) -> str:
    return "RS256" if isinstance(key, RSAKey) else CURVES[key.curve_name]


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
