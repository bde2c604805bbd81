"""Classic sign-in: password, code, lockout, sessions, cookies."""

import pytest

from ostiary.sandbox.okta import totp

MAX = {"username": "max@acme.example", "password": "pass-max"}
ADA = {"username": "ada@acme.example", "password": "pass-ada"}


def verify_path(answer):
    return answer["_embedded"]["factors"][0]["_links"]["verify"]["href"].removeprefix(
        "https://acme.okta.com"
    )


def test_a_password_is_enough_without_a_factor(browser):
    found = browser.json("POST", "/api/v1/authn", ADA)
    assert found["status"] == "SUCCESS"
    assert found["sessionToken"].startswith("20111")
    assert found["_embedded"]["user"]["profile"]["login"] == "ada@acme.example"
    assert browser.json("POST", "/api/v1/authn", {**ADA, "username": "ADA"})["status"] == "SUCCESS"


@pytest.mark.parametrize(
    "body",
    [
        {**ADA, "password": "wrong"},
        {**ADA, "password": ""},
        {**ADA, "username": "nobody@acme.example"},
    ],
)
def test_wrong_names_and_passwords_answer_alike(browser, body):
    found = browser.refused("POST", "/api/v1/authn", body, status=401, code="E0000004")
    assert found["errorSummary"] == "Authentication failed"


def test_a_body_without_credentials_is_refused(browser):
    browser.refused("POST", "/api/v1/authn", {"username": "x"}, status=400, code="E0000001")


@pytest.mark.parametrize("status", ["SUSPENDED", "DEPROVISIONED", "STAGED", "LOCKED_OUT"])
def test_who_may_not_sign_in_is_refused_like_a_wrong_password(org, browser, status):
    org.user("ada").status = status
    browser.refused("POST", "/api/v1/authn", ADA, status=401, code="E0000004")


def test_the_tenth_wrong_password_locks_the_account(org, api, browser):
    for _ in range(10):
        browser.send("POST", "/api/v1/authn", {**ADA, "password": "wrong"})
    assert org.user("ada").status == "LOCKED_OUT"
    browser.refused("POST", "/api/v1/authn", ADA, status=401, code="E0000004")
    api.json("POST", f"/api/v1/users/{org.user('ada').id}/lifecycle/unlock")
    assert browser.json("POST", "/api/v1/authn", ADA)["status"] == "SUCCESS"


def test_a_factor_must_be_verified(browser):
    found = browser.json("POST", "/api/v1/authn", MAX)
    assert found["status"] == "MFA_REQUIRED"
    assert "sessionToken" not in found
    (factor,) = found["_embedded"]["factors"]
    assert (factor["factorType"], factor["provider"]) == ("token:software:totp", "GOOGLE")
    state = {"stateToken": found["stateToken"]}
    assert browser.json("POST", "/api/v1/authn", state)["status"] == "MFA_REQUIRED"
    challenge = browser.json("POST", verify_path(found), state)
    assert challenge["status"] == "MFA_CHALLENGE"
    assert challenge["_embedded"]["factor"]["provider"] == "GOOGLE"
    body = {**state, "passCode": browser.passcode()}
    path = verify_path(found) + "?rememberDevice=false"
    done = browser.json("POST", path, body)
    assert done["status"] == "SUCCESS"
    browser.refused("POST", verify_path(found), body, status=401, code="E0000011")


def test_a_code_may_be_called_an_answer(browser):
    found = browser.json("POST", "/api/v1/authn", MAX)
    body = {"stateToken": found["stateToken"], "answer": browser.passcode()}
    assert browser.json("POST", verify_path(found), body)["status"] == "SUCCESS"


def test_wrong_and_repeated_codes_are_refused(browser):
    found = browser.json("POST", "/api/v1/authn", MAX)
    body = {"stateToken": found["stateToken"], "passCode": "000000"}
    browser.refused("POST", verify_path(found), body, status=403, code="E0000068")
    body["passCode"] = browser.passcode()
    browser.json("POST", verify_path(found), body)
    again = browser.json("POST", "/api/v1/authn", MAX)
    body["stateToken"] = again["stateToken"]
    found = browser.refused("POST", verify_path(again), body, status=403, code="E0000068")
    assert "only be used once" in found["errorCauses"][0]["errorSummary"]
    body["passCode"] = browser.passcode(1)
    assert browser.json("POST", verify_path(again), body)["status"] == "SUCCESS"


def test_a_code_of_another_time_is_refused(browser):
    found = browser.json("POST", "/api/v1/authn", MAX)
    for steps in (-3, 3):
        body = {"stateToken": found["stateToken"], "passCode": browser.passcode(steps)}
        browser.refused("POST", verify_path(found), body, status=403, code="E0000068")


def test_five_wrong_codes_lock_the_account(org, browser):
    found = browser.json("POST", "/api/v1/authn", MAX)
    body = {"stateToken": found["stateToken"], "passCode": "000000"}
    for _ in range(5):
        browser.refused("POST", verify_path(found), body, status=403, code="E0000068")
    assert org.user("max").status == "LOCKED_OUT"
    body["passCode"] = browser.passcode()
    browser.refused("POST", verify_path(found), body, status=403, code="E0000069")


def test_a_state_token_ends(browser, world):
    found = browser.json("POST", "/api/v1/authn", MAX)
    body = {"stateToken": found["stateToken"], "passCode": browser.passcode()}
    browser.refused("POST", verify_path(found), {}, status=401, code="E0000011")
    world.clock.advance(301)
    browser.refused("POST", verify_path(found), body, status=401, code="E0000011")


def test_an_org_that_demands_a_factor_lets_people_enrol_one(org, browser, world):
    org.require_mfa = True
    found = browser.json("POST", "/api/v1/authn", ADA)
    assert found["status"] == "MFA_ENROLL"
    state = {"stateToken": found["stateToken"]}
    wrong = {**state, "factorType": "sms", "provider": "OKTA"}
    browser.refused("POST", "/api/v1/authn/factors", wrong, status=400, code="E0000001")
    body = {**state, "factorType": "token:software:totp", "provider": "GOOGLE"}
    found = browser.json("POST", "/api/v1/authn/factors", body)
    assert found["status"] == "MFA_ENROLL_ACTIVATE"
    factor = found["_embedded"]["factor"]
    secret = factor["_embedded"]["activation"]["sharedSecret"]
    path = f"/api/v1/authn/factors/{factor['id']}/lifecycle/activate"
    code = totp.code(secret, int(world.clock.now()) // 30)
    assert browser.json("POST", path, {**state, "passCode": code})["status"] == "SUCCESS"
    assert browser.json("POST", "/api/v1/authn", ADA)["status"] == "MFA_REQUIRED"


def test_a_transaction_can_be_cancelled_and_not_verified_in_the_wrong_state(org, browser):
    found = browser.json("POST", "/api/v1/authn", MAX)
    state = {"stateToken": found["stateToken"]}
    browser.refused("POST", "/api/v1/authn/factors", state, status=403, code="E0000079")
    browser.json("POST", "/api/v1/authn/cancel", state)
    browser.refused("POST", "/api/v1/authn", state, status=401, code="E0000011")


def test_a_session_token_is_good_for_one_session(browser, world):
    token = browser.json("POST", "/api/v1/authn", ADA)["sessionToken"]
    session = browser.json("POST", "/api/v1/sessions", {"sessionToken": token})
    assert session["login"] == "ada@acme.example"
    assert browser.cookies["sid"] == session["id"]
    browser.refused(
        "POST", "/api/v1/sessions", {"sessionToken": token}, status=401, code="E0000004"
    )
    assert browser.json("GET", "/api/v1/sessions/me")["id"] == session["id"]
    world.clock.advance(7201)
    browser.refused("GET", "/api/v1/users/me", status=403, code="E0000005")


def test_cookies_name_no_domain_and_the_device_stays(browser):
    token = browser.json("POST", "/api/v1/authn", ADA)["sessionToken"]
    path = f"/login/sessionCookieRedirect?token={token}&redirectUrl=/app/UserHome"
    response = browser.send("GET", path)
    cookies = [value for name, value in response.headers if name == "set-cookie"]
    assert len(cookies) == 2
    assert all("domain" not in cookie.lower() for cookie in cookies)
    assert all("Secure; HttpOnly" in cookie for cookie in cookies)
    device = browser.cookies["DT"]
    again = browser.send("GET", path)
    assert again.status == 302
    assert browser.cookies["DT"] == device


def test_the_cookie_redirect_leads_nowhere_else(browser):
    token = browser.json("POST", "/api/v1/authn", ADA)["sessionToken"]
    outward = ("//evil.example/", "///evil.example", "/%5cevil.example", "/%0d%0aevil", "/%09/evil")
    for goal in ("http://localhost:8080/login", "javascript:x", "", *outward):
        path = f"/login/sessionCookieRedirect?token={token}&redirectUrl={goal}"
        response = browser.send("GET", path)
        assert browser.header(response, "location") == "https://acme.okta.com/app/UserHome"
    browser.cookies.clear()
    spent = "/login/sessionCookieRedirect?token=made-up&redirectUrl=/app/UserHome"
    response = browser.send("GET", spent)
    assert browser.header(response, "location").endswith("/login/login.htm")


def test_a_session_can_be_refreshed_and_ended(browser, world):
    path = "/api/v1/sessions/me"
    for method, target in (("POST", f"{path}/lifecycle/refresh"), ("DELETE", path), ("GET", path)):
        browser.refused(method, target, status=404, code="E0000007")
    token = browser.json("POST", "/api/v1/authn", ADA)["sessionToken"]
    first = browser.json("POST", "/api/v1/sessions", {"sessionToken": token})
    world.clock.advance(7000)
    again = browser.json("POST", f"{path}/lifecycle/refresh")
    assert (again["id"], again["expiresAt"] > first["expiresAt"]) == (first["id"], True)
    browser.json("DELETE", path, status=204)
    browser.refused("GET", "/api/v1/users/me", status=403, code="E0000005")


def test_a_tile_signs_in_by_a_session_token(org, browser):
    app = org.add_app("amazon_aws", "AWS", groups=("sre",))
    token = browser.json("POST", "/api/v1/authn", ADA)["sessionToken"]
    path = f"/home/amazon_aws/{app.id}/272"
    page = browser.follow(browser.send("GET", f"{path}?sessionToken={token}"))
    assert browser.form(page).fields["SAMLResponse"]
    browser.cookies.clear()
    again = browser.send("GET", f"{path}?sessionToken={token}")
    assert browser.header(again, "location").endswith("/login/login.htm")


def test_people_see_their_own_apps(org, api, browser):
    app = org.add_app("amazon_aws", "AWS", groups=("sre",))
    org.add_app("amazon_aws", "Not mine")
    org.add_native_app()
    token = browser.json("POST", "/api/v1/authn", ADA)["sessionToken"]
    browser.json("POST", "/api/v1/sessions", {"sessionToken": token})
    (link,) = browser.json("GET", "/api/v1/users/me/appLinks")
    assert (link["label"], link["appName"], link["appInstanceId"]) == ("AWS", "amazon_aws", app.id)
    assert link["linkUrl"] == f"https://acme.okta.com/home/amazon_aws/{app.id}/272"
    tabs = "/api/v1/users/me/home/tabs?type=all&expand=items&expand=items.resource"
    (tab,) = browser.json("GET", tabs)
    assert tab["_embedded"]["items"][0]["_embedded"]["resource"]["linkUrl"] == link["linkUrl"]
    path = f"/api/v1/users/{org.user('ada').id}/appLinks"
    assert api.json("GET", path) == [link]
    browser.refused("GET", path, status=403, code="E0000006")
    browser.refused("GET", "/api/v1/users", status=403, code="E0000006")


def test_well_known_documents(org, browser):
    assert browser.json("GET", "/.well-known/okta-organization")["pipeline"] == "v1"
    org.pipeline = "idx"
    assert browser.json("GET", "/.well-known/okta-organization")["pipeline"] == "idx"
    finger = "/.well-known/webfinger?resource=okta:acct:ada&rel=okta:idp"
    found = browser.json("GET", finger)
    assert found["links"][0]["properties"]["okta:idp:type"] == "OKTA"
    browser.refused("GET", "/.well-known/webfinger?resource=x", status=400, code="E0000001")
    server = browser.json("GET", "/.well-known/oauth-authorization-server")
    assert server["issuer"] == "https://acme.okta.com"
    assert server["token_endpoint"].endswith("/oauth2/v1/token")
