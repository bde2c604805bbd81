"""OAuth service apps: signed assertions, scopes, admin roles, proof of possession."""

import base64
import hashlib

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

TOKEN = "https://acme.okta.com/oauth2/v1/token"
GROUPS = "https://acme.okta.com/api/v1/groups"


@pytest.fixture(scope="module")
def key():
    return ECKey.generate_key("P-256", {"kid": "k1"})


@pytest.fixture(scope="module")
def proof_key():
    return ECKey.generate_key("P-256")


@pytest.fixture
def app(org, key):
    scopes = ("okta.groups.manage", "okta.apps.read")
    return org.add_service_app("Ostiary", [key.as_dict(private=False)], scopes=scopes)


@pytest.fixture
def machine(browser):
    return browser


def assertion(app, key, world, **changes):
    now = int(world.clock.now())
    claims = {"iss": app.id, "sub": app.id, "aud": TOKEN, "iat": now, "exp": now + 300}
    claims |= {"jti": hashlib.sha256(repr(changes).encode()).hexdigest(), **changes}
    header = {"alg": "ES256", "kid": "k1"}
    return jwt.encode(header, {k: v for k, v in claims.items() if v is not None}, key)


def request(text, scope="okta.groups.manage"):
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": text,
        "scope": scope,
    }


def refused(machine, form, *, status, error, headers=()):
    found = machine.json("POST", "/oauth2/v1/token", form=form, status=status, headers=headers)
    assert found["error"] == error, found
    return found["error_description"]


def test_a_client_gets_a_token_for_the_scopes_that_it_was_granted(machine, app, key, world):
    both = "okta.groups.manage okta.apps.read"
    form = request(assertion(app, key, world), both)
    found = machine.json("POST", "/oauth2/v1/token", form=form)
    assert (found["token_type"], found["scope"]) == ("Bearer", both)
    machine.token, machine.scheme = found["access_token"], "Bearer"
    assert machine.send("GET", "/api/v1/groups").status == 200
    assert machine.send("GET", "/api/v1/apps").status == 200
    machine.refused("GET", "/api/v1/users", status=403, code="E0000006")
    body = {"name": "amazon_aws", "label": "AWS"}
    response = machine.send("POST", "/api/v1/apps", body)
    assert response.status == 403
    assert 'error="insufficient_scope"' in machine.header(response, "www-authenticate")


def test_a_scope_is_nothing_without_an_admin_role(machine, app, key, world):
    app.admin_roles.clear()
    form = request(assertion(app, key, world))
    machine.token = machine.json("POST", "/oauth2/v1/token", form=form)["access_token"]
    machine.scheme = "Bearer"
    machine.refused("GET", "/api/v1/groups", status=403, code="E0000006")
    app.admin_roles["irb1"] = "READ_ONLY_ADMIN"
    assert machine.send("GET", "/api/v1/groups").status == 200
    body = {"profile": {"name": "x"}}
    machine.refused("POST", "/api/v1/groups", body, status=403, code="E0000006")


def test_a_token_ends(machine, app, key, world):
    form = request(assertion(app, key, world))
    machine.token = machine.json("POST", "/oauth2/v1/token", form=form)["access_token"]
    machine.scheme = "Bearer"
    world.clock.advance(3601)
    machine.refused("GET", "/api/v1/groups", status=401, code="E0000011")


def test_a_token_of_an_inactive_client_is_refused(machine, app, key, world):
    form = request(assertion(app, key, world))
    machine.token = machine.json("POST", "/oauth2/v1/token", form=form)["access_token"]
    machine.scheme = "Bearer"
    app.status = "INACTIVE"
    machine.refused("GET", "/api/v1/groups", status=401, code="E0000011")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"aud": "https://evil.example"}, "audience"),
        ({"aud": None}, "audience"),
        ({"iss": "0oaOther"}, "issuer"),
        ({"sub": "0oaOther"}, "client_id"),
        ({"exp": 1_790_000_000 + 3700}, "one hour"),
        ({"exp": 1_790_000_000 - 1}, "expired"),
        ({"exp": None}, "expired"),
    ],
)
def test_wrong_claims_are_refused(machine, app, key, changes, word):
    world = machine.world
    form = request(assertion(app, key, world, **changes))
    assert word in refused(machine, form, status=401, error="invalid_client")


def test_a_signature_of_another_key_is_refused(machine, app, world):
    other = ECKey.generate_key("P-256", {"kid": "k1"})
    form = request(assertion(app, other, world))
    assert "signature" in refused(machine, form, status=401, error="invalid_client")


def test_an_assertion_works_once(machine, app, key, world):
    form = request(assertion(app, key, world))
    machine.json("POST", "/oauth2/v1/token", form=form)
    assert "already been used" in refused(machine, form, status=401, error="invalid_client")


@pytest.mark.parametrize("scope", ["", "okta.users.read", "okta.groups.manage okta.users.read"])
def test_scopes_that_were_not_granted_are_refused(machine, app, key, world, scope):
    form = request(assertion(app, key, world), scope)
    refused(machine, form, status=400, error="invalid_scope")


def test_other_ways_to_a_token_are_refused(machine, app, key, world):
    refused(machine, {"grant_type": "password"}, status=400, error="unsupported_grant_type")
    refused(machine, {"grant_type": "client_credentials"}, status=401, error="invalid_client")
    refused(machine, request("not.a.jwt"), status=401, error="invalid_client")
    unsigned = assertion(app, key, world).rpartition(".")[0] + "."
    refused(machine, request(unsigned), status=401, error="invalid_client")


def proof(key, world, method, url, jti, **changes):
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
    claims = {"htm": method, "htu": url, "iat": int(world.clock.now()), "jti": jti, **changes}
    return ("dpop", jwt.encode(header, claims, key))


@pytest.fixture
def bound(machine, app, key, proof_key, world):
    """A machine with a token bound to ``proof_key``, after the nonce challenge."""
    form = request(assertion(app, key, world, jti="first"))
    first = proof(proof_key, world, "POST", TOKEN, "p1")
    response = machine.send("POST", "/oauth2/v1/token", form=form, headers=[first])
    assert response.status == 400
    assert b"use_dpop_nonce" in response.body
    nonce = machine.header(response, "dpop-nonce")
    again = proof(proof_key, world, "POST", TOKEN, "p2", nonce=nonce)
    assert "already been used" in refused(
        machine, form, status=401, error="invalid_client", headers=[again]
    )
    form = request(assertion(app, key, world, jti="second"))
    found = machine.json("POST", "/oauth2/v1/token", form=form, headers=[again])
    assert found["token_type"] == "DPoP"
    machine.token, machine.scheme = found["access_token"], "DPoP"
    return machine


def ath(token):
    digest = hashlib.sha256(token.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def test_a_bound_token_works_with_its_proof(bound, proof_key, world):
    good = proof(proof_key, world, "GET", GROUPS, "a1", ath=ath(bound.token))
    assert bound.send("GET", "/api/v1/groups?limit=1", headers=[good]).status == 200
    bound.refused("GET", "/api/v1/groups", status=401, code="E0000011", headers=[good])


@pytest.mark.parametrize(
    "change",
    [
        {"ath": "wrong"},
        {"htm": "POST"},
        {"htu": "https://acme.okta.com/api/v1/users"},
        {"iat": 1_789_000_000},
    ],
)
def test_a_proof_of_something_else_is_refused(bound, proof_key, world, change):
    claims = {"ath": ath(bound.token), **change}
    sent = proof(proof_key, world, "GET", GROUPS, "a1", **claims)
    bound.refused("GET", "/api/v1/groups", status=401, code="E0000011", headers=[sent])


def test_a_proof_by_another_key_or_none_is_refused(bound, world):
    other = ECKey.generate_key("P-256")
    sent = proof(other, world, "GET", GROUPS, "a1", ath=ath(bound.token))
    bound.refused("GET", "/api/v1/groups", status=401, code="E0000011", headers=[sent])
    bound.refused("GET", "/api/v1/groups", status=401, code="E0000011")
    bound.scheme = "Bearer"
    bound.refused("GET", "/api/v1/groups", status=401, code="E0000011", headers=[sent])


def test_a_client_that_must_prove_possession_gets_no_bearer_token(machine, app, key, world):
    app.client["dpop_bound_access_tokens"] = True
    form = request(assertion(app, key, world))
    text = refused(machine, form, status=400, error="invalid_dpop_proof")
    assert text == "The DPoP proof JWT header is missing."


def test_a_made_up_nonce_is_refused(machine, app, key, proof_key, world):
    form = request(assertion(app, key, world))
    sent = proof(proof_key, world, "POST", TOKEN, "p1", nonce="made-up")
    refused(machine, form, status=400, error="invalid_dpop_proof", headers=[sent])


def test_grants_and_roles_are_given_by_a_super_administrator_only(api, org, app):
    path = f"/api/v1/apps/{app.id}/grants"
    body = {"scopeId": "okta.users.read", "issuer": "https://acme.okta.com"}
    grant = api.json("POST", path, body)
    assert "okta.users.read" in [item["scopeId"] for item in api.json("GET", path)]
    api.json("DELETE", f"{path}/{grant['id']}", status=204)
    api.refused("DELETE", f"{path}/{grant['id']}", status=404, code="E0000007")
    for wrong in ({**body, "issuer": "https://x"}, {**body, "scopeId": "openid"}):
        api.refused("POST", path, wrong, status=400, code="E0000001")
    roles = f"/oauth2/v1/clients/{app.id}/roles"
    added = api.json("POST", roles, {"type": "READ_ONLY_ADMIN"}, status=201)
    api.refused("POST", roles, {"type": "READ_ONLY_ADMIN"}, status=400, code="E0000001")
    api.refused("POST", roles, {"type": "KING"}, status=400, code="E0000001")
    api.json("DELETE", f"{roles}/{added['id']}", status=204)
    api.token = org.add_api_token("ORG_ADMIN")
    api.refused("POST", path, body, status=403, code="E0000006")
    api.refused("POST", roles, {"type": "APP_ADMIN"}, status=403, code="E0000006")


def test_a_service_app_by_the_api(api, key, world, machine):
    client = {
        "application_type": "service",
        "grant_types": ["client_credentials"],
        "response_types": ["token"],
        "jwks": {"keys": [key.as_dict(private=False)]},
    }
    body = {
        "name": "oidc_client",
        "label": "Machine",
        "signOnMode": "OPENID_CONNECT",
        "settings": {"oauthClient": client},
        "credentials": {"oauthClient": {"token_endpoint_auth_method": "private_key_jwt"}},
    }
    private = {**client, "jwks": {"keys": [key.as_dict(private=True)]}}
    wrong = {**body, "settings": {"oauthClient": private}}
    api.refused("POST", "/api/v1/apps", wrong, status=400, code="E0000001")
    app = api.json("POST", "/api/v1/apps", body)
    grant = {"scopeId": "okta.groups.read", "issuer": "https://acme.okta.com"}
    api.json("POST", f"/api/v1/apps/{app['id']}/grants", grant)
    api.json("POST", f"/oauth2/v1/clients/{app['id']}/roles", {"type": "ORG_ADMIN"}, status=201)
    form = request(assertion(world.okta.apps[app["id"]], key, world), "okta.groups.read")
    machine.token = machine.json("POST", "/oauth2/v1/token", form=form)["access_token"]
    machine.scheme = "Bearer"
    assert machine.send("GET", "/api/v1/groups").status == 200
    api.json("POST", f"/oauth2/v1/clients/{app['id']}/roles", {"type": "APP_ADMIN"}, status=201)
    for scope in ("okta.groups.manage", "okta.apps.manage"):
        grant = {"scopeId": scope, "issuer": "https://acme.okta.com"}
        api.json("POST", f"/api/v1/apps/{app['id']}/grants", grant)
    scopes = "okta.groups.manage okta.apps.manage"
    again = assertion(world.okta.apps[app["id"]], key, world, jti="second")
    form = request(again, scopes)
    machine.token = machine.json("POST", "/oauth2/v1/token", form=form)["access_token"]
    body = {"name": "bookmark", "label": "Page", "signOnMode": "BOOKMARK"}
    both = (("/api/v1/groups", {"profile": {"name": "made by two roles"}}), ("/api/v1/apps", body))
    for path, wanted in both:
        assert machine.send("POST", path, wanted).status != 403
