"""Whose ID tokens open a session, and which do not: facts of RFC 8725 and the negative list of the server door."""

import base64
import hmac
import json

import pytest
from joserfc import jwk, jwt

from ostiary.doors.servers.control.identity import TokenVerifier
from ostiary.errors import Denied

NOW = 1_800_000_000
ISSUER, CLIENT = "https://acme.okta.example", "0oaclient"
KEY = jwk.RSAKey.generate_key(2048, {"kid": "k1"})
OTHER = jwk.RSAKey.generate_key(2048, {"kid": "k1"})
CURVE = jwk.ECKey.generate_key("P-256", {"kid": "k2"})


def claims(**changes):
    return {
        "iss": ISSUER,
        "aud": CLIENT,
        "sub": "00u1",
        "preferred_username": "ada@acme.example",
        "iat": NOW,
        "exp": NOW + 3600,
        "auth_time": NOW - 5,
        "amr": ["pwd", "otp", "mfa"],
    } | changes


def token(key=KEY, alg="RS256", kid="k1", **changes):
    return jwt.encode({"alg": alg, "kid": kid}, claims(**changes), key, algorithms=[alg])


@pytest.fixture
def verifier():
    keys = {"keys": [KEY.as_dict(private=False), CURVE.as_dict(private=False)]}
    return TokenVerifier(ISSUER, CLIENT, lambda: keys, lambda: NOW)


def test_a_token_of_the_org_says_who_signed_in(verifier):
    found = verifier.verify(token())
    assert (found.person_id, found.login) == ("00u1", "ada@acme.example")
    assert found.methods == ("pwd", "otp", "mfa")
    assert found.signed_in == NOW - 5
    assert verifier.verify(token(CURVE, "ES256", "k2")).person_id == "00u1"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"iss": "https://evil.okta.example"}, "another issuer made it"),
        ({"aud": "0oaother"}, "it is for another client"),
        ({"aud": [CLIENT, "0oaother"]}, "it is for another client"),
        ({"exp": NOW - 61}, "it has expired"),
        ({"iat": NOW - 3601}, "it has expired"),
        ({"iat": NOW + 61}, "it is from the future"),
        ({"nbf": NOW + 61}, "it is from the future"),
        ({"exp": "never"}, "it says neither when it was made nor when it ends"),
        ({"exp": True}, "it says neither when it was made nor when it ends"),
        ({"sub": ""}, "it names nobody"),
        ({"sub": 7}, "it names nobody"),
        ({"preferred_username": None}, "it names nobody"),
    ],
)
def test_a_wrong_claim_is_refused(verifier, changes, why):
    with pytest.raises(Denied) as refused:
        verifier.verify(token(**changes))
    assert refused.value.why == why


def by_hand(header, sign):
    """A token as a forger writes it, whom no library stops."""

    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    text = part(json.dumps(header).encode()) + b"." + part(json.dumps(claims()).encode())
    return (text + b"." + part(sign(text))).decode()


def test_a_signature_of_anybody_else_is_refused(verifier):
    public = KEY.as_pem(private=False)
    confused = by_hand(
        {"alg": "HS256", "kid": "k1"}, lambda text: hmac.digest(public, text, "sha256")
    )
    unsigned = by_hand({"alg": "none", "kid": "k1"}, lambda _: b"")
    other = jwt.encode({"alg": "RS256", "kid": "k1"}, claims(), OTHER)
    forged = [confused, unsigned, other, token()[:-4] + "AAAA", "", "a.b.c", "a.b.c.d", "é"]
    forged += [token(kid="../../etc/passwd"), token(kid="")]
    for one in forged:
        with pytest.raises(Denied):
            verifier.verify(one)


def test_strange_keys_do_not_make_us_ask_the_org_again_and_again():
    asked = []

    def read():
        asked.append(1)
        return {"keys": []}

    verifier = TokenVerifier(ISSUER, CLIENT, read, lambda: NOW)
    for number in range(20):
        with pytest.raises(Denied):
            verifier.verify(token(kid=f"k{number}"))
    assert len(asked) == 1


def test_a_key_that_the_org_withdrew_is_believed_for_an_hour_at_most():
    """Also while nobody comes with the new one: whoever stole the old one would not."""
    now, keys = [NOW], {"keys": [KEY.as_dict(private=False)]}
    verifier = TokenVerifier(ISSUER, CLIENT, lambda: keys, lambda: now[0])
    assert verifier.verify(token())
    keys["keys"] = [CURVE.as_dict(private=False)]
    assert verifier.verify(token())
    now[0] += 3600
    with pytest.raises(Denied):
        verifier.verify(token(iat=now[0], exp=now[0] + 60))
    assert verifier.verify(token(CURVE, "ES256", "k2", iat=now[0], exp=now[0] + 60))
