"""The pages that people see: sign-in, code, tiles, and who is shut out."""

import re

import pytest

LOGIN, VERIFY = "/login/login.htm", "/login/verify.htm"


@pytest.fixture
def app(org):
    return org.add_app("amazon_aws", "AWS <prod>", groups=("sre",))


def sign_in(browser, name, goal="/app/UserHome"):
    form = {"username": f"{name}@acme.example", "password": f"pass-{name}", "fromURI": goal}
    return browser.send("POST", LOGIN, form=form)


def tile(app):
    return f"/home/amazon_aws/{app.id}/272"


def test_nobody_sees_anything_before_signing_in(browser, app):
    for path in ("/app/UserHome", tile(app), "/activate"):
        response = browser.send("GET", path)
        assert response.status == 302
        assert "/login/login.htm?fromURI=" in browser.header(response, "location")


def test_the_way_from_a_tile_through_password_and_code_back_to_the_tile(browser, app):
    page = browser.follow(browser.send("GET", tile(app)))
    form = browser.form(page)
    assert form.action == LOGIN
    assert form.fields["fromURI"] == tile(app)
    page = sign_in(browser, "max", form.fields["fromURI"])
    form = browser.form(page)
    assert form.action == VERIFY
    wrong = browser.send("POST", VERIFY, form={**form.fields, "passCode": "000000"})
    assert wrong.status == 403
    assert b"doesn&#39;t match our records" in wrong.body
    done = browser.send("POST", VERIFY, form={**form.fields, "passCode": browser.passcode()})
    assert done.status == 303
    page = browser.follow(done)
    assert browser.form(page).fields["SAMLResponse"]
    assert page.body.count(b"<form") == 1


def test_the_dashboard_shows_tiles_with_escaped_names(browser, app):
    page = browser.follow(sign_in(browser, "ada"))
    assert b"AWS &lt;prod&gt;" in page.body
    assert tile(app).encode() in page.body
    assert b"Ada Byron" in page.body
    assert "script" not in page.body.decode().lower()
    assert "default-src 'none'" in browser.header(page, "content-security-policy")
    nothing = browser.follow(sign_in(browser, "eve"))
    assert b"No application is assigned to you" in nothing.body


def test_a_wrong_password_says_no_more_than_that(browser, app):
    form = {"username": "ada@acme.example", "password": "x", "fromURI": "/app/UserHome"}
    page = browser.send("POST", LOGIN, form=form)
    assert page.status == 401
    assert b"Unable to sign in" in page.body
    assert "sid" not in browser.cookies


@pytest.mark.parametrize("goal", ["https://evil.example", "//evil.example", "/\\evil.example", "x"])
def test_sign_in_leads_to_this_org_only(browser, goal):
    response = sign_in(browser, "ada", goal)
    assert browser.header(response, "location") == "https://acme.okta.com/app/UserHome"


def test_signing_out_ends_the_session(browser, app):
    sign_in(browser, "ada")
    assert browser.send("POST", "/login/signout").status == 303
    assert browser.send("GET", "/app/UserHome").status == 302


def test_who_is_not_assigned_is_shut_out(org, browser, app):
    sign_in(browser, "eve")
    page = browser.send("GET", tile(app))
    assert page.status == 403
    assert b"SAMLResponse" not in page.body
    assert org.log[-1]["outcome"]["reason"] == "user_not_assigned"


def test_an_inactive_swa_or_unknown_app_gives_no_assertion(org, browser, app):
    sign_in(browser, "ada")
    swa = org.add_app("amazon_aws", "SWA", mode="BROWSER_PLUGIN", groups=("sre",))
    assert browser.send("GET", tile(swa)).status == 400
    app.status = "INACTIVE"
    assert browser.send("GET", tile(app)).status == 403
    assert browser.send("GET", "/home/amazon_aws/0oaNone/272").status == 404
    assert browser.send("GET", "/app/amazon_aws/exkNone/sso/saml").status == 404
    assert browser.send("GET", f"/home/other/{app.id}/272").status == 404


def test_somebody_suspended_loses_the_session(org, api, browser, app):
    sign_in(browser, "ada")
    assert browser.send("GET", tile(app)).status == 200
    api.json("POST", f"/api/v1/users/{org.user('ada').id}/lifecycle/suspend")
    assert browser.send("GET", tile(app)).status == 302


def test_a_policy_with_mfa_asks_for_more_than_a_password(org, browser, app):
    app.policy_id = org.add_policy("Strong", mfa=True).id
    sign_in(browser, "ada")
    page = browser.send("GET", tile(app))
    assert page.status == 403
    assert b"second factor" in page.body


def test_a_session_without_a_second_factor_can_step_up(org, browser, app):
    app.policy_id = org.add_policy("Strong", mfa=True).id
    maximum = org.user("max")
    secret, maximum.totp_secret = maximum.totp_secret, None
    sign_in(browser, "max")
    maximum.totp_secret = secret
    response = browser.send("GET", tile(app))
    assert response.status == 302
    form = browser.form(browser.follow(response))
    done = browser.send("POST", VERIFY, form={**form.fields, "passCode": browser.passcode()})
    assert browser.form(browser.follow(done)).fields["SAMLResponse"]


def test_style_and_logo(browser):
    assert browser.header(browser.send("GET", "/assets/style.css"), "content-type") == (
        "text/css; charset=utf-8"
    )
    logo = browser.send("GET", "/img/logos/%3Cscript%3E.svg")
    assert browser.header(logo, "content-type") == "image/svg+xml"
    assert b"<script" not in logo.body


def test_the_root_leads_on(browser):
    assert browser.header(browser.send("GET", "/"), "location").endswith(LOGIN)
    sign_in(browser, "ada")
    assert browser.header(browser.send("GET", "/"), "location").endswith("/app/UserHome")


def test_the_sign_in_page_leads_to_the_client_id_of_the_dashboard(browser, org):
    page = browser.follow(browser.send("GET", "/"))
    (path,) = re.findall(r'<script src="https://[^/]+([^"]+)"', page.body.decode())
    script = browser.send("GET", path)
    assert org.dashboard.id in script.body.decode()
    assert "script-src 'self'" in browser.header(page, "content-security-policy")
