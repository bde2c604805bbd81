"""What is wrong with a machine principal is said when it is set, all of it at once."""

import json
from dataclasses import replace

import pytest
from joserfc import jwk

from ostiary.doors.servers.control.machine_faults import faults
from ostiary.doors.servers.wire.admin import Label, Machine

GITHUB = Machine(
    name="ci",
    kind="oidc",
    owner="ada@acme.example",
    until=2_000_000_000,
    issuer="https://token.actions.githubusercontent.com",
    audience="https://control.example",
    claims=(Label("sub", "repo:acme/infra:ref:refs/heads/main"),),
)
AWS = Machine(
    "ansible", "aws", "ada@acme.example", 2e9, arn="arn:aws:iam::210000000001:role/build/ci"
)


def public(kind="EC", size="P-256", **more):
    key = {
        "EC": lambda: jwk.ECKey.generate_key(size, {"kid": "k1"}),
        "RSA": lambda: jwk.RSAKey.generate_key(size, {"kid": "k1"}),
        "OKP": lambda: jwk.OKPKey.generate_key(size, {"kid": "k1"}),
    }[kind]()
    return {**key.as_dict(private=False), **more}


def own(*keys):
    text = json.dumps({"keys": list(keys)})
    return Machine("robot", "private-key-jwt", "ada@acme.example", 2e9, public_keys=text)


@pytest.mark.parametrize(
    "machine",
    [
        GITHUB,
        AWS,
        replace(AWS, claims=(Label("role-id", "AROA0123456789ABCDEF0"),)),
        replace(AWS, arn="arn:aws-us-gov:iam::310000000001:role/ci"),
        own(public()),
        own(public("RSA", 2048), {**public("OKP", "Ed25519"), "kid": "k2"}),
    ],
)
def test_a_whole_one_has_no_faults(machine):
    assert faults(machine) == []


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (replace(GITHUB, claims=()), "name no sub"),
        (replace(GITHUB, claims=(Label("repository", "acme/infra"),)), "name no sub"),
        (replace(GITHUB, claims=(Label("sub", ""),)), "name no sub"),
        (replace(GITHUB, claims=(Label("sub", "repo:acme/*"),)), "wildcard"),
        (replace(GITHUB, claims=(Label("sub", "a"), Label("sub", "b"))), "named twice"),
        (replace(GITHUB, claims=(Label("sub", "a\nb"),)), "not one exact value"),
        (replace(GITHUB, audience=""), "audience is missing"),
        (replace(GITHUB, issuer="http://token.actions.githubusercontent.com"), "not https"),
        (replace(GITHUB, issuer="https://user@evil.example"), "not https"),
        (replace(GITHUB, issuer=""), "not https"),
        (replace(GITHUB, until=0), "ends on a day"),
        (replace(GITHUB, owner=""), "owner is not"),
        (replace(GITHUB, owner="sre"), "owner is not"),
        (replace(GITHUB, rate=0), "rate is outside"),
        (replace(GITHUB, rate=10**6), "rate is outside"),
        (replace(GITHUB, name="CI"), "a name is of"),
        (replace(GITHUB, name="ci/../x"), "a name is of"),
        (replace(GITHUB, name="x" * 56), "a name is of"),
        (replace(GITHUB, kind="password"), "is none of"),
        (replace(GITHUB, arn=AWS.arn), "of other kinds"),
        (replace(AWS, arn="arn:aws:iam::210000000001:user/ci"), "not that of an IAM role"),
        (replace(AWS, arn="arn:aws:iam::210000000001:role/*"), "not that of an IAM role"),
        (replace(AWS, arn="arn:aws:sts::210000000001:assumed-role/ci/x"), "not that of an IAM"),
        (replace(AWS, claims=(Label("sub", "x"),)), "only claim is role-id"),
        (replace(AWS, issuer="https://x.example"), "of other kinds"),
        (own(), "holds no key"),
        (replace(own(), public_keys="x"), "public_keys"),
        (replace(own(), public_keys="[]"), "public_keys"),
        (own(public(), public()), "two of one kid"),
        (own({"kty": "oct", "k": "AAAA", "kid": "k1"}), "signs nothing"),
        (own(public("EC", "P-521")), "the curve"),
        (own(public("OKP", "X25519")), "the curve"),
        (own({"kty": "EC", "kid": "k1"}), "not a JWK set"),
        (own(jwk.ECKey.generate_key("P-256", {"kid": "k1"}).as_dict(private=True)), "private key"),
        (replace(own(public()), audience="x"), "of other kinds"),
    ],
)
def test_each_fault_is_told(machine, said):
    assert any(said in one for one in faults(machine)), faults(machine)


def test_a_short_rsa_key_is_refused():
    short = {"kty": "RSA", "kid": "k1", "e": "AQAB", "n": "v" * 171}
    assert any("shorter than 2048" in one for one in faults(own(short)))


def test_everything_is_said_at_once():
    found = faults(replace(GITHUB, name="", owner="", until=0, claims=(), audience=""))
    assert len(found) == 5
