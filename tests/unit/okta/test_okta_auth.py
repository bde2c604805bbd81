"""Service apps: private_key_jwt, DPoP, renewal, a wrong clock, and secrets that do not show."""

import copy
import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from joserfc.jwk import ECKey, RSAKey
from okta_world import make_client

from ostiary.errors import Denied, UsageError
from ostiary.okta.auth import Secret, ServiceApp, private_key

READ = ("okta.groups.read", "okta.users.read")


@pytest.fixture(scope="module")
def key():
    return ECKey.generate_key("P-256", parameters={"kid": "k1"})


@pytest.fixture
def service_app(world, key):
    public = key.as_dict(private=False)
    return world.okta.add_service_app("Ostiary plan", [public], scopes=READ, dpop=True)


def auth_of(world, app, key, *, skew=0.0, **settings):
    settings = {"scopes": READ, "dpop": True} | settings
    scopes = settings.pop("scopes")
    clock = lambda: world.clock.now() + skew  # noqa: E731 - three characters of difference
    return ServiceApp(app.id, key.as_dict(private=True), scopes, clock=clock, **settings)


def tokens(world):
    return sum(operation == "POST /oauth2/v1/token" for _, operation, _ in world.calls)


@pytest.mark.parametrize("skew", [-90.0, 0.0, 90.0, 3600.0])
def test_dpop_with_a_clock_that_is_off(world, service_app, key, skew):
    client = make_client(world, auth=auth_of(world, service_app, key, skew=skew), skew=skew)
    assert client.get("/groups", {"limit": 1})
    assert client.get("/groups", {"limit": 1})
    assert tokens(world) <= 3  # nonce, perhaps the clock, the token


def test_bearer(world, key):
    app = world.okta.add_service_app("plain", [key.as_dict(private=False)], scopes=READ)
    client = make_client(world, auth=auth_of(world, app, key, dpop=False))
    assert client.get("/groups", {"limit": 1})
    assert tokens(world) == 1


def test_bearer_with_a_clock_an_hour_behind(world, key):
    app = world.okta.add_service_app("plain", [key.as_dict(private=False)], scopes=READ)
    auth = auth_of(world, app, key, dpop=False, skew=-3600)
    assert make_client(world, auth=auth).get("/groups", {"limit": 1})
    assert tokens(world) == 2


def test_the_token_is_renewed_before_it_expires(world, service_app, key):
    client = make_client(world, auth=auth_of(world, service_app, key))
    client.get("/groups")
    before = tokens(world)
    world.clock.advance(3000)
    client.get("/groups")
    assert tokens(world) == before
    world.clock.advance(400)
    client.get("/groups")
    assert tokens(world) == before + 1


def test_a_token_that_was_revoked_is_replaced_once(world, service_app, key):
    client = make_client(world, auth=auth_of(world, service_app, key))
    client.get("/groups")
    world.okta.tokens.clear()
    assert client.get("/groups")


def test_a_scope_that_was_not_granted_is_named(world, service_app, key):
    auth = auth_of(world, service_app, key, scopes=("okta.groups.manage",))
    with pytest.raises(Denied) as caught:
        make_client(world, auth=auth).get("/groups")
    assert caught.value.code == "invalid_scope"
    assert "okta.groups.manage" in caught.value.fix


def test_a_key_that_okta_does_not_know(world, service_app):
    other = ECKey.generate_key("P-256")
    with pytest.raises(Denied) as caught:
        make_client(world, auth=auth_of(world, service_app, other)).get("/groups")
    assert caught.value.code == "invalid_client"
    assert "public key" in caught.value.fix


def test_keys_as_pem_jwk_text_and_object(key):
    made = rsa.generate_private_key(65537, 2048)
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    assert isinstance(private_key(Secret(pem), "k9"), RSAKey)
    assert private_key(pem, "k9").kid == "k9"
    assert isinstance(private_key(key.as_pem(private=True).decode()), ECKey)
    assert private_key(key.as_dict(private=True)).kid == "k1"


@pytest.mark.parametrize(
    "bad",
    [
        "no key",
        '{"kty": "EC"',
        '{"kty": "oct", "k": "c2VjcmV0LWNhbmFyeQ"}',
        "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----",
    ],
)
def test_a_bad_key_is_not_quoted(bad):
    with pytest.raises(UsageError) as caught:
        private_key(bad)
    assert bad not in f"{caught.value}{caught.value.as_json()}"
    assert caught.value.__cause__ is None


def test_a_public_key_is_no_private_key(key):
    with pytest.raises(UsageError):
        private_key(key.as_dict(private=False))


def test_secrets_do_not_show(world, service_app, key):
    secret = Secret("canary")
    auth = auth_of(world, service_app, key)
    make_client(world, auth=auth).get("/groups")
    private = key.as_dict(private=True)["d"]
    for shown in (repr(secret), str(secret), f"{secret}", repr([secret]), repr(auth), str(auth)):
        assert "canary" not in shown
        assert private not in shown
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert copy.copy(auth) is not auth
