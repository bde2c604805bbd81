"""The sign-in page as browsers and command-line clients meet it."""

import base64
from urllib.parse import urlencode

import lxml.html
import pytest
from lxml import etree

from ostiary.sandbox.aws.signin import handle, serves
from ostiary.sandbox.http import Request

PROD, TEST, GOV = "111111111111", "222222222222", "333333333333"
PATH = "/signin.aws.amazon.com/saml"
ORIGIN = "https://localhost:8443"


def post(small, response, path=PATH, host="localhost:8443", **form):
    body = urlencode({"SAMLResponse": response, "RelayState": "", **form}).encode()
    return handle(small.world, Request("POST", path, (("host", host),), body, ORIGIN))


def html(response):
    return lxml.html.fromstring(response.body)


def every_role(small):
    pairs = small.pair(PROD), small.pair(PROD, "ReadOnly"), small.pair(TEST)
    return small.response(*pairs)


def test_the_picker_as_clients_scrape_it(small):
    response = post(small, every_role(small))
    assert response.status == 200
    page = html(response)
    form = page.forms[0]
    assert (form.get("name"), form.get("method"), form.get("action")) == ("saml_form", "post", PATH)
    accounts = page.find(".//fieldset").findall("div[@class='saml-account']")
    found = {}
    for account in accounts:
        (name,) = account.xpath(".//div[@class='saml-account-name']")
        (inner,) = account.xpath("./div[@class='saml-account']")
        found[name.text] = [
            (role.find("input").get("id"), role.find("label").get("for"), role.find("label").text)
            for role in inner.findall("div[@class='saml-role']")
        ]
    ops, read_only = small.arns(PROD)[0], small.arns(PROD, "ReadOnly")[0]
    assert found == {
        f"Account: acme-prod ({PROD})": [(ops, ops, "Ops"), (read_only, read_only, "ReadOnly")],
        f"Account: {TEST}": [(small.arns(TEST)[0], small.arns(TEST)[0], "Ops")],
    }


def test_the_friendly_name_as_the_first_div_in_the_first_div(small):
    """gimme-aws-creds: role.parent.parent.find("div").find("div")."""
    page = html(post(small, every_role(small)))
    role = page.xpath("//div[@class='saml-role']")[0]
    outer = role.getparent().getparent()
    assert outer.xpath("(.//div)[1]/descendant::div[1]")[0].text == f"Account: acme-prod ({PROD})"


def test_account_texts_alone_begin_with_account(small):
    """tokendito: every text with "Account:" is split at spaces into name and number."""
    page = html(post(small, every_role(small)))
    texts = [text for text in page.xpath("//text()") if "Account:" in text]
    table = {str(text.split(" ")[-1]).strip("()"): text.split(" ")[1] for text in texts}
    assert table == {PROD: "acme-prod", TEST: TEST}


def enter(small, response, **form):
    redirect = post(small, response, **form)
    assert redirect.status == 302, redirect.body.decode()
    headers = dict(redirect.headers)
    cookie = headers["set-cookie"].partition(";")[0]
    shown = handle(
        small.world,
        Request("GET", headers["location"], (("cookie", f"a=b; {cookie}"),), b"", ORIGIN),
    )
    return headers, shown


def identity(page):
    return {dd.get("id"): dd.text for dd in html(page).xpath("//dl[@id='caller-identity']/dd")}


def test_one_role_enters_at_once(small):
    headers, shown = enter(small, small.response())
    assert headers["location"] == "/console/home"
    assert "; HttpOnly; SameSite=Lax; Secure" in headers["set-cookie"]
    role = small.cloud.account(PROD).roles["Ops"]
    assert identity(shown) == {
        "account": PROD,
        "alias": "acme-prod",
        "role": "Ops",
        "arn": f"arn:aws:sts::{PROD}:assumed-role/Ops/ada@acme.example",
        "user-id": f"{role.id}:ada@acme.example",
        "session-name": "ada@acme.example",
        "expires": "2026-11-23 13:00:00 UTC",
        "policies": "none",
    }


def test_the_chosen_role_enters(small):
    _, shown = enter(small, every_role(small), roleIndex=small.arns(TEST)[0])
    assert identity(shown)["account"] == TEST


def test_the_picker_posts_what_it_needs(small):
    page = html(
        post(small, every_role(small), RelayState="https://console.aws.amazon.com/ec2/home")
    )
    fields = dict(page.forms[0].form_values())
    _, shown = enter(small, fields.pop("SAMLResponse"), roleIndex=small.arns(PROD)[0], **fields)
    assert identity(shown)["role"] == "Ops"


@pytest.mark.parametrize(
    ("relay_state", "where"),
    [
        ("https://console.aws.amazon.com/ec2/home", "/console/ec2/home"),
        ("https://eu-west-1.console.aws.amazon.com/s3/home?x=1", "/console/s3/home"),
        ("https://evil.example/ec2", "/console/home"),
        ("//evil.example/", "/console/home"),
        ("https://console.aws.amazon.com.evil.example/x", "/console/home"),
        ("https://console.aws.amazon.com//evil.example\r\nx: y", "/console/evil.examplex%3A%20y"),
        ("javascript:alert(1)", "/console/home"),
    ],
)
def test_the_relay_state_never_leads_elsewhere(small, relay_state, where):
    headers, _ = enter(small, small.response(), RelayState=relay_state)
    assert headers["location"] == where


def test_the_session_duration_attribute_counts_in_the_console(small):
    _, shown = enter(small, small.response(session_duration=7200))
    assert identity(shown)["expires"] == "2026-11-23 14:00:00 UTC"
    refused = post(small, small.response(session_duration=7201))
    assert b"The requested DurationSeconds exceeds the MaxSessionDuration" in refused.body


def test_the_session_ends(small):
    headers, _ = enter(small, small.response())
    cookie = headers["set-cookie"].partition(";")[0]
    small.world.clock.advance(3601)
    ended = handle(small.world, Request("GET", "/console/home", (("cookie", cookie),), b"", ORIGIN))
    assert ended.status == 401


@pytest.mark.parametrize("cookie", ["", "aws-console-session=x.y", "aws-console-session="])
def test_no_session_no_console(small, cookie):
    request = Request("GET", "/console/home", (("cookie", cookie),), b"", ORIGIN)
    assert handle(small.world, request).status == 401


def test_a_guessed_token(small):
    access_key = small.assume()["Credentials"]["AccessKeyId"]
    cookie = f"aws-console-session={access_key}.guess"
    request = Request("GET", "/console/home", (("cookie", cookie),), b"", ORIGIN)
    assert handle(small.world, request).status == 401


def test_logout(small):
    answer = handle(small.world, Request("GET", "/console/logout", (), b"", ORIGIN))
    assert "Max-Age=0" in dict(answer.headers)["set-cookie"]


def test_no_roles(small):
    answer = post(small, small.response(role_values=()))
    assert answer.status == 400
    assert "Your request included an invalid SAML response." in html(answer).text_content()
    assert "To logout, click here." in html(answer).text_content()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"session_name": ""},
            "RoleSessionName is required in AuthnResponse (Service: AWSSecurityTokenService; Status Code: 400; Error Code: InvalidIdentityToken). Please try again.",
        ),
        (
            {"issuer": "http://www.okta.com/exk2"},
            "Error Code: AuthSamlInvalidSamlResponseException",
        ),
        ({"name_id": ""}, "Status Code: 403; Error Code: AccessDenied"),
        ({"audience": "urn:x"}, "Response does not contain the required audience"),
    ],
)
def test_refusals_say_why(small, changes, text):
    assert text in html(post(small, small.response(**changes))).text_content()


def test_forgery_shows_no_role(small, stranger):
    forged = small.response(small.pair(PROD), small.pair(TEST), idp=stranger)
    answer = post(small, forged)
    assert answer.status == 400
    assert "Response signature invalid" in html(answer).text_content()


def test_a_role_that_was_not_offered(small):
    assert post(small, every_role(small), roleIndex=small.arns(GOV)[0]).status == 400
    assert post(small, small.response(), roleIndex=small.arns(TEST)[0]).status == 400


def test_accounts_without_the_provider_are_not_offered(small):
    small.cloud.account(TEST).saml_providers.remove("Okta")
    names = html(post(small, every_role(small))).xpath("//div[@class='saml-account-name']/text()")
    assert names == [f"Account: acme-prod ({PROD})"]


def test_a_trust_that_refuses_shows_when_the_role_is_entered(small, make_trust):
    small.change_role(PROD, "Ops", trust=make_trust(PROD, audience="https://other.example"))
    answer = post(small, every_role(small), roleIndex=small.arns(PROD)[0])
    assert answer.status == 403
    assert "Not authorized to perform sts:AssumeRoleWithSAML" in html(answer).text_content()


def test_nothing_from_the_form_is_markup(small):
    answer = post(small, every_role(small), RelayState='"><script>alert(1)</script>')
    assert b"<script" not in answer.body
    assert "default-src 'none'" in dict(answer.headers)["content-security-policy"]


@pytest.mark.parametrize(
    "form", [b"", b"SAMLResponse=%25%25", b"SAMLResponse=AAAA", b"SAMLResponse=\xff"]
)
def test_junk(small, form):
    answer = handle(small.world, Request("POST", PATH, (), form, ORIGIN))
    assert answer.status == 400


def test_the_real_host_without_a_prefix(small):
    answer = post(small, small.response(), path="/saml", host="signin.aws.amazon.com")
    assert answer.status == 302


def test_govcloud_has_its_own_endpoint(small):
    url = "https://signin.amazonaws-us-gov.com/saml"
    response = small.response(
        small.pair(GOV), recipient=url, destination=url, audience="urn:amazon:webservices:govcloud"
    )
    assert post(small, response, path="/signin.amazonaws-us-gov.com/saml").status == 302
    assert post(small, response).status == 400


def test_service_provider_metadata(small):
    path = "/eu-central-1.signin.aws.amazon.com/static/saml-metadata.xml"
    answer = handle(small.world, Request("GET", path, (), b"", ORIGIN))
    root = etree.fromstring(answer.body)
    assert root.get("entityID") == "urn:amazon:webservices"
    (service,) = root.iter("{*}AssertionConsumerService")
    assert service.get("Location") == "https://eu-central-1.signin.aws.amazon.com/saml"


@pytest.mark.parametrize(
    ("path", "host", "ours"),
    [
        (PATH, "", True),
        ("/us-east-1.signin.aws.amazon.com/saml", "", True),
        ("/saml", "signin.amazonaws-us-gov.com", True),
        ("/console/home", "", True),
        ("/", "", False),
        ("/saml", "sts.amazonaws.com", False),
        ("/signin.aws.amazon.com.evil.example/saml", "", False),
        ("/consoles", "", False),
    ],
)
def test_what_is_served(path, host, ours):
    assert serves(Request("POST", path, (("host", host),))) is ours


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", PATH, 405),
        ("GET", "/signin.aws.amazon.com/other", 404),
        ("POST", "/nowhere-1.signin.aws.amazon.com/saml", 404),
    ],
)
def test_other_pages(small, method, path, status):
    assert handle(small.world, Request(method, path, (), b"", ORIGIN)).status == status


def test_base64_in_lines_as_tokendito_sends_it(small):
    lines = base64.encodebytes(base64.b64decode(every_role(small))).decode()
    assert len(html(post(small, lines)).xpath("//div[@class='saml-role']")) == 3
