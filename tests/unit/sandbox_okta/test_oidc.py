"""What a native app gets: thin ID tokens, groups of a custom server, step-up, refresh tokens and their end."""

import base64
import hashlib
import json
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

BACK = "http://127.0.0.1:8400/callback"
VERIFIER = "v" * 50
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=")
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
TWO = "urn:okta:loa:2fa:any"


@pytest.fixture
def native(org):
    org.add_authorization_server("default", groups=r"sre|Every.*")
    return org.add_native_app("Servers", groups=("sre",), redirect_uris=(BACK,), refresh="STATIC")


@pytest.fixture
def machine(browser):
    return type(browser)(browser.world)


def sign_in(browser, name="ada"):
    form = {"username": f"{name}@acme.example", "password": f"pass-{name}"}
    page = browser.send("POST", "/login/login.htm", form=form)
    if page.status == 200:
        fields = {**browser.form(page).fields, "passCode": browser.passcode()}
        browser.send("POST", "/login/verify.htm", form=fields)


def ask(browser, native, *, server="", scope="openid profile offline_access", **more):
    """Where the browser is sent: path and query of the answer."""
    query = {
        "client_id": native.id,
        "response_type": "code",
        "scope": scope,
        "redirect_uri": BACK,
        "state": "s1",
        "code_challenge": CHALLENGE.decode(),
        "code_challenge_method": "S256",
        **more,
    }
    response = browser.send("GET", f"/oauth2/{server}v1/authorize?{urlencode(query)}")
    assert response.status == 302, response.body
    parts = urlsplit(dict(response.headers)["location"])
    return parts.path, {key: value[0] for key, value in parse_qs(parts.query).items()}


def redeem(machine, native, code, *, server="", status=200):
    form = {
        "client_id": native.id,
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": BACK,
        "code_verifier": VERIFIER,
    }
    return machine.json("POST", f"/oauth2/{server}v1/token", form=form, status=status)


def refresh(machine, native, token, *, server="", status=200, **more):
    form = {
        "client_id": native.id,
        "grant_type": "refresh_token",
        "refresh_token": token,
        **more,
    }
    return machine.json("POST", f"/oauth2/{server}v1/token", form=form, status=status)


def claims(machine, token, server=""):
    keys = KeySet.import_key_set(machine.json("GET", f"/oauth2/{server}v1/keys"))
    return jwt.decode(token, keys).claims


def tokens(machine, browser, native, name="ada", **more):
    sign_in(browser, name)
    path, found = ask(browser, native, **more)
    assert path == "/callback", found
    return redeem(machine, native, found["code"], server=more.get("server", ""))


def test_the_orgs_own_id_token_is_thin(machine, browser, native, org, world):
    scope = "openid profile email groups offline_access"
    found = tokens(machine, browser, native, scope=scope, nonce="n-1")
    told = claims(machine, found["id_token"])
    assert told["iss"] == "https://acme.okta.com"
    assert told["preferred_username"] == told["email"] == "ada@acme.example"
    assert (told["nonce"], told["amr"]) == ("n-1", ["pwd"])
    assert "groups" not in told
    assert "acr" not in told
    assert told["auth_time"] == int(world.clock.now())
    bare = claims(machine, tokens(machine, browser, native, scope="openid")["id_token"])
    assert not {"name", "email", "preferred_username"} & bare.keys()


def test_a_custom_server_tells_the_groups_of_its_claim(machine, browser, native, org):
    org.join("ada@acme.example", "aws-admins")
    found = tokens(machine, browser, native, server="default/")
    told = claims(machine, found["id_token"], "default/")
    assert told["iss"] == "https://acme.okta.com/oauth2/default"
    assert told["groups"] == ["Everyone", "sre"]
    access = claims(machine, found["access_token"], "default/")
    assert (access["aud"], access["sub"]) == ("api://default", "ada@acme.example")


def told(machine, access, server="", status=200):
    """What ``/userinfo`` says."""
    headers = [("authorization", f"Bearer {access}")]
    return machine.json("GET", f"/oauth2/{server}v1/userinfo", headers=headers, status=status)


def test_the_whole_profile_and_the_groups_are_told_at_userinfo(machine, browser, org):
    native = org.add_native_app(
        "Claims", groups=("sre",), redirect_uris=(BACK,), groups_claim=r"sre|other"
    )
    scope = "openid profile email groups"
    given = tokens(machine, browser, native, scope=scope)
    found = told(machine, given["access_token"])
    assert (found["groups"], found["given_name"]) == (["sre"], "Ada")
    assert found["sub"] == org.user("ada@acme.example").id
    less = tokens(machine, browser, native, scope="openid")
    assert told(machine, less["access_token"]).keys() == {"sub"}
    assert told(machine, "x", status=401)["error"] == "invalid_token"
    assert told(machine, given["id_token"], status=401)["error"] == "invalid_token"


def test_userinfo_of_a_custom_server_takes_its_own_tokens(machine, browser, native, org, api):
    given = tokens(machine, browser, native, server="default/")
    assert told(machine, given["access_token"], "default/")["groups"] == ["Everyone", "sre"]
    assert told(machine, given["access_token"], status=401)["error"] == "invalid_token"
    user = org.user("ada@acme.example")
    api.json("POST", f"/api/v1/users/{user.id}/lifecycle/deactivate", {})
    assert told(machine, given["access_token"], "default/", status=401)


def test_what_one_server_gave_no_other_takes(machine, browser, native, org):
    sign_in(browser)
    _, at_default = ask(browser, native, server="default/")
    assert redeem(machine, native, at_default["code"], status=400)["error"] == "invalid_grant"
    found = tokens(machine, browser, native)
    refused = refresh(machine, native, found["refresh_token"], server="default/", status=400)
    assert refused["error"] == "invalid_grant"
    org.add_authorization_server("other")
    machine.refused("GET", "/oauth2/nowhere/v1/keys", status=404, code="E0000007")
    api = type(machine)(
        machine.world, tokens(machine, browser, native, server="default/")["access_token"]
    )
    api.scheme = "Bearer"
    api.refused("GET", "/api/v1/users/me", status=401, code="E0000011")


def test_the_orgs_scopes_are_not_those_of_a_custom_server(machine, native):
    form = {"client_id": native.id, "scope": "openid groups"}
    assert machine.json("POST", "/oauth2/v1/device/authorize", form=form)["user_code"]
    refused = machine.json("POST", "/oauth2/default/v1/device/authorize", form=form, status=400)
    assert refused["error"] == "invalid_scope"


def test_discovery_names_the_endpoints_of_each_server(machine, native):
    own = machine.json("GET", "/.well-known/openid-configuration")
    assert own["issuer"] == "https://acme.okta.com"
    assert own["token_endpoint"] == "https://acme.okta.com/oauth2/v1/token"
    custom = machine.json("GET", "/oauth2/default/.well-known/openid-configuration")
    assert custom["issuer"] == "https://acme.okta.com/oauth2/default"
    assert custom["device_authorization_endpoint"] == (
        "https://acme.okta.com/oauth2/default/v1/device/authorize"
    )
    assert "groups" in own["scopes_supported"]
    assert "groups" not in custom["scopes_supported"]


def test_step_up_asks_for_a_code_and_tells_it(machine, browser, native):
    """max is signed in with a password alone; two factors are asked for, and are then told for as long as tokens live."""
    sign_in(browser, "max")
    session = next(iter(browser.world.okta.sessions.values()))
    session.mfa = False
    path, _ = ask(browser, native, acr_values=TWO)
    assert path == "/login/verify.htm"
    page = browser.send("GET", "/login/verify.htm?fromURI=/app/UserHome")
    browser.world.clock.advance(60)
    fields = {**browser.form(page).fields, "passCode": browser.passcode()}
    browser.send("POST", "/login/verify.htm", form=fields)
    path, found = ask(browser, native, acr_values=TWO)
    assert path == "/callback"
    given = redeem(machine, native, found["code"])
    told = claims(machine, given["id_token"])
    assert (told["acr"], told["amr"]) == (TWO, ["pwd", "otp", "mfa"])
    at = told["auth_time"]
    browser.world.clock.advance(1000)
    later = claims(machine, refresh(machine, native, given["refresh_token"])["id_token"])
    assert (later["acr"], later["auth_time"]) == (TWO, at)


@pytest.mark.parametrize(
    "case",
    [
        ("v1", TWO, "ada", "unmet_authentication_requirements"),
        ("idx", "phr", "max", "unmet_authentication_requirements"),
        ("v1", "phr", "max", ""),
        ("v1", "urn:unknown:1 urn:okta:loa:1fa:pwd", "ada", "urn:okta:loa:1fa:pwd"),
        ("idx", f"{TWO}:ifpossible", "ada", f"{TWO}:ifpossible"),
        ("v1", f"{TWO}:ifpossible", "ada", ""),
    ],
)
def test_values_of_acr(machine, browser, native, case):
    pipeline, asked, name, expected = case
    machine.world.okta.pipeline = pipeline
    sign_in(browser, name)
    path, found = ask(browser, native, acr_values=asked)
    assert path == "/callback"
    if "error" in found:
        assert found["error"] == expected
        return
    told = claims(machine, redeem(machine, native, found["code"])["id_token"])
    assert told.get("acr", "") == expected


def test_max_age_asks_for_the_password_again(machine, browser, native, world):
    sign_in(browser)
    world.clock.advance(400)
    path, query = ask(browser, native, max_age="300")
    assert path == "/login/login.htm"
    assert query["fromURI"].startswith("/oauth2/v1/authorize?")
    path, found = ask(browser, native, max_age="300", prompt="none")
    assert found["error"] == "login_required"
    assert ask(browser, native, max_age="500")[0] == "/callback"
    sign_in(browser)
    path, found = ask(browser, native, max_age="0")
    assert path == "/callback"
    told = claims(machine, redeem(machine, native, found["code"])["id_token"])
    assert told["auth_time"] == int(world.clock.now())


def test_a_static_refresh_token_serves_again_and_again(machine, browser, native, world):
    token = tokens(machine, browser, native)["refresh_token"]
    for _ in range(3):
        world.clock.advance(86400)
        assert refresh(machine, native, token)["refresh_token"] == token
    less = refresh(machine, native, token, scope="openid")
    assert less["scope"] == "openid"
    assert refresh(machine, native, token, scope="openid email", status=400)["error"] == (
        "invalid_scope"
    )
    world.clock.advance(7 * 86400 + 1)
    refused = refresh(machine, native, token, status=400)
    assert refused == {
        "error": "invalid_grant",
        "error_description": "The refresh token is invalid or expired.",
    }


def test_a_rotated_refresh_token_used_late_ends_the_family(machine, browser, native, org, world):
    native.client["refresh_token"]["rotation_type"] = "ROTATE"
    first = tokens(machine, browser, native)["refresh_token"]
    second = refresh(machine, native, first)["refresh_token"]
    assert second != first
    world.clock.advance(20)
    assert refresh(machine, native, first)["refresh_token"], "within the leeway"
    world.clock.advance(20)
    assert refresh(machine, native, first, status=400)["error"] == "invalid_grant"
    assert refresh(machine, native, second, status=400)["error"] == "invalid_grant"
    assert org.log[-1]["eventType"] == "app.oauth2.token.detect_reuse"


@pytest.mark.parametrize(
    "end", ["deactivate", "suspend", "unassign", "sessions", "revoke", "delete"]
)
def test_what_ends_a_refresh_token(machine, browser, native, api, end):
    org, token = machine.world.okta, tokens(machine, browser, native)["refresh_token"]
    user = org.user("ada@acme.example")
    if end in ("deactivate", "suspend"):
        api.json("POST", f"/api/v1/users/{user.id}/lifecycle/{end}", {})
    elif end == "unassign":
        org.leave("ada@acme.example", "sre")
    elif end == "sessions":
        api.json("DELETE", f"/api/v1/users/{user.id}/sessions", status=204)
        assert refresh(machine, native, token), "sessions alone"
        api.json("DELETE", f"/api/v1/users/{user.id}/sessions?oauthTokens=true", status=204)
    elif end == "revoke":
        form = {"client_id": native.id, "token": token}
        assert machine.send("POST", "/oauth2/v1/revoke", form=form).status == 200
    else:
        for _ in range(2):
            api.json("DELETE", f"/api/v1/users/{user.id}", status=204)
    assert refresh(machine, native, token, status=400)["error"] == "invalid_grant"


def test_without_scope_or_grant_there_is_no_refresh_token(machine, browser, native, org):
    assert "refresh_token" not in tokens(machine, browser, native, scope="openid")
    native.client["grant_types"].remove("refresh_token")
    assert "refresh_token" not in tokens(machine, browser, native)
    refused = refresh(machine, native, "x", status=400)
    assert refused["error"] == "unauthorized_client"


def test_the_device_flow_gives_one_too_and_knows_no_step_up(machine, browser, native):
    form = {"client_id": native.id, "scope": "openid profile offline_access", "acr_values": TWO}
    code = machine.json("POST", "/oauth2/v1/device/authorize", form=form)
    sign_in(browser)
    page = browser.follow(browser.send("GET", f"/activate?user_code={code['user_code']}"))
    browser.send("POST", "/activate", form={**browser.form(page).fields, "decision": "allow"})
    poll = {"client_id": native.id, "device_code": code["device_code"], "grant_type": DEVICE}
    given = machine.json("POST", "/oauth2/v1/token", form=poll)
    told = claims(machine, given["id_token"])
    assert "acr" not in told
    assert refresh(machine, native, given["refresh_token"])["access_token"]
    again = machine.json("POST", "/oauth2/v1/token", form=poll, status=400)
    assert again["error"] == "invalid_grant", "a device code is good once"


def test_a_device_code_of_another_client_or_of_somebody_deactivated_gives_nothing(
    machine, browser, native, org, api
):
    form = {"client_id": native.id, "scope": "openid"}
    code = machine.json("POST", "/oauth2/v1/device/authorize", form=form)
    other = org.add_native_app("Other", groups=("sre",))
    poll = {"device_code": code["device_code"], "grant_type": DEVICE}
    stolen = machine.json(
        "POST", "/oauth2/v1/token", form={**poll, "client_id": other.id}, status=400
    )
    assert stolen["error"] == "invalid_grant"
    sign_in(browser)
    page = browser.follow(browser.send("GET", f"/activate?user_code={code['user_code']}"))
    browser.send("POST", "/activate", form={**browser.form(page).fields, "decision": "allow"})
    user = org.user("ada@acme.example")
    api.json("POST", f"/api/v1/users/{user.id}/lifecycle/deactivate", {})
    late = machine.json(
        "POST", "/oauth2/v1/token", form={**poll, "client_id": native.id}, status=400
    )
    assert late["error"] == "invalid_grant"


def test_events_can_be_read_after_their_delay(org, api, world):
    user = org.user("ada@acme.example")
    api.json("POST", f"/api/v1/users/{user.id}/lifecycle/suspend", {})
    org.log_delay = 30
    query = urlencode({"filter": 'eventType sw "user.lifecycle."', "sortOrder": "ASCENDING"})
    first = api.send("GET", f"/api/v1/logs?{query}")
    assert json.loads(first.body) == []
    world.clock.advance(31)
    later = api.send("GET", api.links(first)["next"])
    assert [event["eventType"] for event in json.loads(later.body)] == ["user.lifecycle.suspend"]
