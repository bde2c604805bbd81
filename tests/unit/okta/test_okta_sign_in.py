"""Really signing in: password and code, and the device flow, up to the SAML response."""

import base64

import pytest
from okta_world import make_client, user_id

from ostiary.errors import Denied, Unreachable
from ostiary.okta.app import AppKind
from ostiary.okta.device_flow import DeviceFlow
from ostiary.okta.saml_form import saml_form
from ostiary.okta.sign_in import SignIn, totp
from ostiary.plan.resource import Key
from ostiary.sandbox.adapters import OktaTransport
from ostiary.sandbox.okta.objects import Proven

SECRET = "JBSWY3DPEHPK3PXP"
GRANTS = [
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:token-exchange",
]


@pytest.fixture
def aws(world):
    """An AWS app and a native app as the product makes them, both for platform."""
    org, kind = world.okta, AppKind(make_client(world), "main", "acme")
    native = kind.create(
        Key("okta-app", "main", "AWS CLI"),
        {"name": "oidc_client", "grant_types": GRANTS, "policy": "Strong"},
    )
    settings = {"useGroupMapping": True, "webSSOAllowedClient": native.ids["client_id"]}
    kind.create(
        Key("okta-app", "main", "AWS"),
        {"name": "amazon_aws", "settings": settings, "policy": "Strong"},
    )
    by_label = {app.label: app for app in org.apps.values()}
    client = make_client(world)
    for app in by_label.values():
        client.put(f"/apps/{app.id}/groups/{org.group('platform').id}", {})
    return by_label


def sign_in_to(world):
    return SignIn(
        world.okta.url,
        transport=OktaTransport(world),
        clock=world.clock.now,
        sleep=world.clock.advance,
    )


def device_flow_of(world, client_id):
    return DeviceFlow(
        world.okta.url,
        client_id,
        transport=OktaTransport(world),
        clock=world.clock.now,
        sleep=world.clock.advance,
    )


def confirm(world, code, name):
    """What the person does in the browser meanwhile."""
    grant = next(
        one for one in world.okta.device_grants.values() if one.user_code == code.user_code
    )
    grant.proven = Proven(user_id(world, name), True, world.clock.now())


def test_password_and_code_lead_to_a_saml_response(world, aws):
    session = sign_in_to(world).with_password("ann@acme.example", "ann-password-1", SECRET)
    (link,) = session.app_links()
    assert (link.label, link.name, link.app_id) == ("AWS", "amazon_aws", aws["AWS"].id)
    form = session.open_app(link)
    assert form.action == "https://signin.aws.amazon.com/saml"
    assert b"Response" in base64.b64decode(form.response)
    assert form.response not in repr(form)


def test_twice_in_the_same_half_minute(world, aws):
    for _ in range(2):
        session = sign_in_to(world).with_password("ann@acme.example", "ann-password-1", SECRET)
        assert session.user_id == user_id(world, "ann")


def test_a_wrong_password(world):
    with pytest.raises(Denied) as caught:
        sign_in_to(world).with_password("ann@acme.example", "wrong", SECRET)
    assert caught.value.code == "E0000004"
    assert "wrong" not in str(caught.value)


def test_a_second_factor_that_nobody_gave(world):
    with pytest.raises(Denied, match="token:software:totp"):
        sign_in_to(world).with_password("ann@acme.example", "ann-password-1")


def test_an_app_that_is_not_assigned(world, aws):
    session = sign_in_to(world).with_password("cara@acme.example", "cara-password-1", SECRET)
    assert session.app_links() == ()
    with pytest.raises(Denied, match="not assigned"):
        session.open_app(world.okta.url + f"/home/amazon_aws/{aws['AWS'].id}/272")


def test_an_app_that_does_not_exist(world, aws):
    session = sign_in_to(world).with_password("ann@acme.example", "ann-password-1", SECRET)
    with pytest.raises(Denied, match="no such app"):
        session.open_app(world.okta.url + "/home/amazon_aws/0oa00000000000000000/272")


def test_the_device_flow(world, aws):
    flow = device_flow_of(world, aws["AWS CLI"].id)
    code = flow.begin()
    assert code.verification_uri_complete.endswith(f"?user_code={code.user_code}")
    confirm(world, code, "ann")
    tokens = flow.wait(code)
    assert tokens.access_token not in repr(tokens)
    form = flow.saml(tokens, aws["AWS"].id)
    assert b"Response" in base64.b64decode(form.response)


def test_nobody_confirms(world, aws):
    flow = device_flow_of(world, aws["AWS CLI"].id)
    with pytest.raises(Denied):
        flow.wait(flow.begin())


@pytest.mark.parametrize("cause", ["client", "policy", "assignment"])
def test_the_three_causes_of_a_400(world, aws, cause):
    flow = device_flow_of(world, aws["AWS CLI"].id)
    code = flow.begin()
    confirm(world, code, "ann")
    tokens = flow.wait(code)
    if cause == "client":
        aws["AWS"].options["webSSOAllowedClient"] = None
    elif cause == "policy":
        aws["AWS CLI"].policy_id = world.okta.default_policy.id
    else:
        aws["AWS"].groups.clear()
    with pytest.raises(Denied) as caught:
        flow.saml(tokens, aws["AWS"].id)
    assert "webSSOAllowedClient" in caught.value.fix
    assert caught.value.why


def test_no_answer(world, aws):
    class Down(OktaTransport):
        def handle_request(self, request):
            import httpx2  # noqa: PLC0415 - only here

            raise httpx2.ConnectError("refused", request=request)

    with pytest.raises(Unreachable):
        SignIn(world.okta.url, transport=Down(world)).with_password("ann@acme.example", "x")


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(59, "287082"), (1111111109, "081804"), (2000000000, "279037")],
)
def test_rfc_6238_vectors(seconds, code):
    assert totp("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", seconds // 30) == code


def test_forms():
    page = """<form action="/out"><input name="x"></form>
    <form action="https://signin.aws.amazon.com/saml">
    <input name="SAMLResponse" value="PHg&#x2b;"><input name="RelayState" value="r"></form>"""
    form = saml_form(page)
    assert (form.action, form.response, form.relay_state) == (
        "https://signin.aws.amazon.com/saml",
        "PHg+",
        "r",
    )
    assert saml_form("<form><input name=SAMLResponse></form>") is None
