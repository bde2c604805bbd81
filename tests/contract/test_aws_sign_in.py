"""From an assertion to a caller identity, by the adapter and the embedded STS."""

import base64

import pytest
from aws_world import CORE, small_organization
from saml_metadata import certificate, key
from test_aws_faults import PROVIDER, Estate

from ostiary.aws import propagation
from ostiary.aws.sts_saml import assume_role_with_saml, caller_identity
from ostiary.errors import AssertionRefused
from ostiary.saml import assertion

ROLE = f"arn:aws:iam::{CORE}:role/Ops"


@pytest.fixture
def site(monkeypatch):
    return small_organization(monkeypatch)


def signed(site, number=1):
    sign_in = "https://signin.aws.amazon.com/saml"
    text = assertion.issue(
        issuer="http://www.okta.com/x",
        destination=sign_in,
        recipient=sign_in,
        audience="urn:amazon:webservices",
        name_id="ana@acme.example",
        role_values=[f"{PROVIDER},{ROLE}"],
        session_name="ana@acme.example",
        session_duration=3600,
        key=key(number),
        certificate=certificate(number),
        now=site.world.clock.datetime(),
    )
    return base64.b64encode(text).decode()


def test_a_person_enters_the_role_that_was_built(site, monkeypatch):
    Estate(site.aws).build()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")  # nobody's credentials are needed for this
    credentials = assume_role_with_saml(site.again(), ROLE, PROVIDER, signed(site), 900)
    identity = caller_identity(site.again(), credentials)
    assert identity.account_id == CORE
    assert identity.arn.endswith(":assumed-role/Ops/ana@acme.example")
    assert credentials.expires == pytest.approx(site.world.clock.now() + 900, abs=5)


def test_a_refusal_bears_the_code_and_never_the_assertion(site):
    Estate(site.aws).build()
    forged = signed(site, number=2)
    with pytest.raises(AssertionRefused) as caught:
        assume_role_with_saml(site.aws, ROLE, PROVIDER, forged)
    assert caught.value.code == "InvalidIdentityToken"
    assert caught.value.exit_code == 4
    shown = f"{caught.value!r} {caught.value.as_json()} {caught.value.__cause__!r}"
    assert forged[:80] not in shown


def test_too_long_a_session_is_explained(site):
    Estate(site.aws).build()
    with pytest.raises(AssertionRefused) as caught:
        assume_role_with_saml(site.aws, ROLE, PROVIDER, signed(site), 43200)
    assert "shorter session" in caught.value.fix


def test_a_fresh_role_is_asked_again(site, monkeypatch):
    monkeypatch.setattr(propagation, "LONGEST_STEP", 0.05)
    Estate(site.aws).build()
    shelf, seen_from = site.core.roles, site.world.clock.now() + 0.5
    role = shelf["Ops"]
    shelf.remove("Ops")
    shelf.put(role, seen_from=seen_from)
    with pytest.raises(AssertionRefused):
        assume_role_with_saml(site.aws, ROLE, PROVIDER, signed(site))
    assert assume_role_with_saml(site.aws, ROLE, PROVIDER, signed(site), fresh=True)
