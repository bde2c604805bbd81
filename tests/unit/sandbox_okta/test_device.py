"""Device flow to a SAML form, as okta-aws-cli and gimme-aws-creds walk it."""

import base64
import hashlib
import json
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
TOKEN_TYPE = "urn:ietf:params:oauth:token-type:"


@pytest.fixture
def native(org):
    return org.add_native_app(groups=("sre",))


@pytest.fixture
def app(org, native):
    options = {"webSSOAllowedClient": native.id}
    return org.add_app("amazon_aws", "AWS", options=options, groups=("sre",))


@pytest.fixture
def machine(browser):
    return type(browser)(browser.world)


def begin(machine, native, scope="openid okta.apps.sso"):
    form = {"client_id": native.id, "scope": scope}
    return machine.json("POST", "/oauth2/v1/device/authorize", form=form)


def poll(machine, native, code, status=200):
    form = {"client_id": native.id, "device_code": code["device_code"], "grant_type": DEVICE}
    return machine.json("POST", "/oauth2/v1/token", form=form, status=status)


def sign_in(browser, name="ada"):
    form = {"username": f"{name}@acme.example", "password": f"pass-{name}"}
    page = browser.send("POST", "/login/login.htm", form=form)
    if page.status == 200:
        fields = {**browser.form(page).fields, "passCode": browser.passcode()}
        browser.send("POST", "/login/verify.htm", form=fields)


def allow(browser, code, decision="allow"):
    page = browser.follow(browser.send("GET", f"/activate?user_code={code['user_code']}"))
    form = {**browser.form(page).fields, "decision": decision}
    return browser.send("POST", "/activate", form=form)


def exchange(machine, native, app, tokens, **changes):
    form = {
        "client_id": native.id,
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "actor_token": tokens["access_token"],
        "actor_token_type": f"{TOKEN_TYPE}access_token",
        "subject_token": tokens["id_token"],
        "subject_token_type": f"{TOKEN_TYPE}id_token",
        "requested_token_type": "urn:okta:oauth:token-type:web_sso_token",
        "audience": f"urn:okta:apps:{app.id}",
        **changes,
    }
    response = machine.send("POST", "/oauth2/v1/token", form=form)
    return response.status, json.loads(response.body)


@pytest.fixture
def tokens(machine, browser, native, app):
    code = begin(machine, native)
    sign_in(browser)
    allow(browser, code)
    return poll(machine, native, code)


def test_the_whole_way(machine, browser, native, app, world):
    code = begin(machine, native)
    assert code["verification_uri_complete"] == (
        f"https://acme.okta.com/activate?user_code={code['user_code']}"
    )
    assert poll(machine, native, code, 400)["error"] == "authorization_pending"
    sign_in(browser)
    assert b"Device activated" in allow(browser, code).body
    world.clock.advance(5)
    tokens = poll(machine, native, code)
    assert poll(machine, native, code, 400)["error"] == "invalid_grant"
    status, found = exchange(machine, native, app, tokens)
    assert status == 200
    page = machine.send("GET", f"/login/token/sso?token={found['access_token']}")
    assert machine.form(page).fields["SAMLResponse"]


def test_the_id_token_is_signed_by_the_published_key(machine, native, tokens, org):
    keys = KeySet.import_key_set(machine.json("GET", "/oauth2/v1/keys"))
    claims = jwt.decode(tokens["id_token"], keys).claims
    assert claims["aud"] == native.id
    assert claims["sub"] == org.user("ada").id
    assert claims["iss"] == "https://acme.okta.com"
    assert claims["amr"] == ["pwd"]


def test_polling_too_fast_slows_down(machine, native, app, world):
    code = begin(machine, native)
    assert poll(machine, native, code, 400)["error"] == "authorization_pending"
    assert poll(machine, native, code, 400)["error"] == "slow_down"
    world.clock.advance(2)
    assert poll(machine, native, code, 400)["error"] == "authorization_pending"


def test_a_code_expires_and_can_be_denied(machine, browser, native, app, world):
    sign_in(browser)
    code = begin(machine, native)
    allow(browser, code, "deny")
    assert poll(machine, native, code, 400)["error"] == "access_denied"
    code = begin(machine, native)
    world.clock.advance(601)
    assert poll(machine, native, code, 400)["error"] == "expired_token"
    page = browser.send("GET", f"/activate?user_code={code['user_code']}")
    assert page.status == 400


def test_the_code_can_be_typed(machine, browser, native, app):
    sign_in(browser)
    code = begin(machine, native)
    assert browser.form(browser.send("GET", "/activate")).action == "/activate"
    page = browser.send("POST", "/activate", form={"user_code": code["user_code"].lower()})
    assert b"Allow Ostiary?" in page.body
    wrong = browser.send("POST", "/activate", form={"user_code": "XXXXXXXX"})
    assert wrong.status == 400


def test_nobody_allows_a_device_without_signing_in(machine, browser, native, app):
    code = begin(machine, native)
    form = {"user_code": code["user_code"], "decision": "allow"}
    assert browser.send("POST", "/activate", form=form).status == 302
    assert poll(machine, native, code, 400)["error"] == "authorization_pending"


def test_who_is_not_assigned_to_the_native_app_cannot_allow(machine, browser, native, app):
    sign_in(browser, "eve")
    code = begin(machine, native)
    page = browser.send("GET", f"/activate?user_code={code['user_code']}")
    assert page.status == 403
    form = {"user_code": code["user_code"], "decision": "allow"}
    assert browser.send("POST", "/activate", form=form).status == 403
    assert poll(machine, native, code, 400)["error"] == "authorization_pending"


def test_a_native_app_with_mfa_wants_the_code_first(machine, browser, native, app, org):
    native.policy_id = org.add_policy("Strong", mfa=True).id
    code = begin(machine, native)
    sign_in(browser, "ada")
    page = browser.send("GET", f"/activate?user_code={code['user_code']}")
    assert page.status == 403
    assert b"second factor" in page.body
    other = type(browser)(browser.world)
    sign_in(other, "max")
    assert b"Device activated" in allow(other, code).body


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_id": "0oaNone"}, 401, "invalid_client"),
        ({"scope": ""}, 400, "invalid_scope"),
        ({"scope": "openid okta.users.manage"}, 400, "invalid_scope"),
    ],
)
def test_wrong_beginnings(machine, native, form, status, error):
    sent = {"client_id": native.id, "scope": "openid", **form}
    found = machine.json("POST", "/oauth2/v1/device/authorize", form=sent, status=status)
    assert found["error"] == error


def test_the_grant_must_be_enabled(machine, native):
    native.client["grant_types"] = ["authorization_code"]
    sent = {"client_id": native.id, "scope": "openid"}
    found = machine.json("POST", "/oauth2/v1/device/authorize", form=sent, status=400)
    assert found["error"] == "unauthorized_client"


def test_only_the_allowed_client_gets_a_web_sso_token(machine, native, app, tokens):
    app.options["webSSOAllowedClient"] = None
    status, found = exchange(machine, native, app, tokens)
    assert (status, found["error"]) == (400, "invalid_request")


def test_a_stricter_policy_of_the_aws_app_refuses_the_exchange(machine, native, app, tokens, org):
    app.policy_id = org.add_policy("Strong", mfa=True).id
    status, found = exchange(machine, native, app, tokens)
    assert (status, found["error"]) == (400, "invalid_grant")
    assert found["error_description"] == (
        "The application's assurance requirements are not met by the 'subject_token'."
    )


def test_the_second_factor_alone_is_not_enough_when_the_policies_differ(
    machine, browser, native, app, org
):
    strong = org.add_policy("Strong", mfa=True)
    app.policy_id = strong.id
    code = begin(machine, native)
    sign_in(browser, "max")
    allow(browser, code)
    tokens = poll(machine, native, code)
    assert exchange(machine, native, app, tokens)[0] == 400
    native.policy_id = strong.id
    assert exchange(machine, native, app, tokens)[0] == 200


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"actor_token": "made-up"}, "invalid_grant"),
        ({"subject_token": "made-up"}, "invalid_grant"),
        ({"subject_token_type": f"{TOKEN_TYPE}access_token"}, "invalid_request"),
        ({"requested_token_type": f"{TOKEN_TYPE}access_token"}, "invalid_request"),
        ({"audience": "urn:okta:apps:0oaNone"}, "invalid_target"),
        ({"audience": "api://default"}, "invalid_target"),
        ({"client_id": "0oaNone"}, "invalid_client"),
    ],
)
def test_wrong_exchanges(machine, app, tokens, changes, error):
    native = machine.world.okta.apps[app.options["webSSOAllowedClient"]]
    assert exchange(machine, native, app, tokens, **changes)[1]["error"] == error


def test_without_the_sso_scope_or_the_app_there_is_no_token(machine, browser, native, app, org):
    code = begin(machine, native, "openid")
    sign_in(browser)
    allow(browser, code)
    plain = poll(machine, native, code)
    assert exchange(machine, native, app, plain)[1]["error"] == "invalid_scope"
    code = begin(machine, native)
    allow(browser, code)
    tokens = poll(machine, native, code)
    app.groups.clear()
    assert exchange(machine, native, app, tokens)[1]["error"] == "access_denied"
    org.assign(app, "ada@acme.example")
    org.user("ada").status = "SUSPENDED"
    assert exchange(machine, native, app, tokens)[1]["error"] == "invalid_grant"


def test_a_web_sso_token_ends(machine, native, app, tokens, world):
    found = exchange(machine, native, app, tokens)[1]
    world.clock.advance(301)
    page = machine.send("GET", f"/login/token/sso?token={found['access_token']}")
    assert page.status == 400
    assert machine.send("GET", "/login/token/sso?token=made-up").status == 400


def test_a_person_s_token_lists_the_apps_of_that_person(machine, browser, native, app, org):
    org.add_app("amazon_aws", "Other")
    code = begin(machine, native, "openid okta.apps.sso okta.apps.read okta.users.read.self")
    sign_in(browser)
    allow(browser, code)
    machine.token = poll(machine, native, code)["access_token"]
    machine.scheme = "Bearer"
    labels = [item["label"] for item in machine.json("GET", "/api/v1/apps")]
    assert labels == ["Ostiary", "AWS"]
    assert machine.json("GET", "/api/v1/users/me")["profile"]["firstName"] == "Ada"
    machine.refused("GET", "/api/v1/users", status=403, code="E0000006")


REDIRECT = "http://localhost:8080/callback"
VERIFIER = "v" * 43


@pytest.fixture
def coded(native):
    native.client["grant_types"].append("authorization_code")
    native.client["redirect_uris"] = [REDIRECT]
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    return {
        "client_id": native.id,
        "redirect_uri": REDIRECT,
        "response_type": "code",
        "scope": "openid",
        "state": "s1",
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }


def ask(browser, query):
    response = browser.send("GET", f"/oauth2/v1/authorize?{urlencode(query)}")
    found = parse_qs(urlsplit(browser.header(response, "location")).query)
    return {name: value[0] for name, value in found.items()}


def test_a_code_with_its_verifier_becomes_a_token_once(machine, browser, native, coded):
    silent = ask(browser, {**coded, "prompt": "none"})
    assert (silent["error"], silent["state"]) == ("login_required", "s1")
    sign_in(browser)
    found = ask(browser, coded)
    form = {
        "grant_type": "authorization_code",
        "client_id": native.id,
        "redirect_uri": REDIRECT,
        "code": found["code"],
        "code_verifier": VERIFIER,
    }
    assert machine.json("POST", "/oauth2/v1/token", form=form)["id_token"]
    again = machine.json("POST", "/oauth2/v1/token", form=form, status=400)
    assert again["error"] == "invalid_grant"
    other = {**form, "code": ask(browser, coded)["code"], "code_verifier": "x"}
    assert machine.json("POST", "/oauth2/v1/token", form=other, status=400)["error"] == (
        "invalid_grant"
    )


def test_the_dashboard_has_a_client_of_its_own(machine, browser, coded, org):
    sign_in(browser)
    query = {**coded, "client_id": org.dashboard.id, "prompt": "none"}
    query["redirect_uri"] = "https://acme.okta.com/enduser/callback"
    anonymous = ask(machine, query)
    assert anonymous["error"] == "login_required"
    assert machine.send("GET", "/enduser/callback?error=login_required").status == 200
    form = {
        "grant_type": "authorization_code",
        "client_id": org.dashboard.id,
        "redirect_uri": query["redirect_uri"],
        "code": ask(browser, query)["code"],
        "code_verifier": VERIFIER,
    }
    assert machine.json("POST", "/oauth2/v1/token", form=form)["id_token"]


def test_a_code_goes_only_where_the_client_registered(machine, browser, coded):
    sign_in(browser)
    query = urlencode({**coded, "redirect_uri": "https://evil.example"})
    browser.refused("GET", f"/oauth2/v1/authorize?{query}", status=400, code="E0000001")
    assert ask(browser, {**coded, "code_challenge": ""})["error"] == "invalid_request"
