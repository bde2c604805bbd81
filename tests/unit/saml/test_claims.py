"""Validly signed responses that AWS refuses for what they say, each with AWS's code."""

import copy
from datetime import UTC, datetime, timedelta

import pytest

from ostiary.errors import AssertionRefused

NS = {
    "samlp": "urn:oasis:names:tc:SAML:2.0:protocol",
    "saml": "urn:oasis:names:tc:SAML:2.0:assertion",
}
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BAD, EXPIRED, DENIED = "InvalidIdentityToken", "ExpiredTokenException", "AccessDenied"


def refusal_of(idp, response, **how):
    with pytest.raises(AssertionRefused) as refusal:
        idp.judge(response, **how)
    return refusal.value.code, refusal.value.why


@pytest.mark.parametrize(
    ("changes", "code", "why"),
    [
        ({"issuer": "http://www.okta.com/exk2"}, BAD, "Issuer not present in specified provider"),
        ({"audience": "urn:amazon:webservices:govcloud"}, BAD, "required audience"),
        ({"recipient": "https://signin.evil.example/saml"}, BAD, "Recipient"),
        ({"destination": "https://signin.evil.example/saml"}, BAD, "destination"),
        (
            {"now": NOW - timedelta(minutes=6)},
            EXPIRED,
            "Token must be redeemed within 5 minutes of issuance",
        ),
        (
            {"now": NOW - timedelta(seconds=61), "lifetime": timedelta(seconds=30)},
            EXPIRED,
            "Response has expired",
        ),
        ({"now": NOW + timedelta(minutes=6)}, BAD, "not yet valid"),
        ({"name_id": ""}, DENIED, "Not authorized to perform sts:AssumeRoleWithSAML"),
        ({"session_name": ""}, BAD, "RoleSessionName is required in AuthnResponse"),
        ({"session_name": "a"}, BAD, "RoleSessionName in AuthnResponse must match"),
        ({"session_name": "ada lovelace"}, BAD, "RoleSessionName in AuthnResponse must match"),
        ({"session_name": "ada\n"}, None, ""),
        ({"session_name": "ädä@acme"}, BAD, "RoleSessionName in AuthnResponse must match"),
        ({"session_name": "a" * 65}, BAD, "RoleSessionName in AuthnResponse must match"),
        ({"session_duration": 60}, BAD, "SessionDuration"),
        ({"session_duration": 43_201}, BAD, "SessionDuration"),
        ({"principal_tags": {"k" * 129: "v"}}, BAD, "Session tags"),
        ({"principal_tags": {f"k{n}": "v" for n in range(51)}}, BAD, "Session tags"),
    ],
)
def test_what_is_said(idp, changes, code, why):
    response = idp.issue(**changes)
    if code is None:
        assert idp.judge(response).session_name == "ada"
        return
    assert refusal_of(idp, response)[0] == code
    assert why in refusal_of(idp, response)[1]


def remove(path):
    def change(root):
        element = root.find(f".//saml:{path}", NS)
        element.getparent().remove(element)

    return change


def set_on(path, **attributes):
    def change(root):
        element = root.find(path, NS)
        for name, value in attributes.items():
            element.attrib.pop(name, None) if value is None else element.set(name, value)

    return change


def double(path):
    def change(root):
        element = root.find(f".//saml:{path}", NS)
        element.addnext(copy.deepcopy(element))

    return change


DATA = ".//saml:SubjectConfirmationData"
CHANGES = {
    "no NameID": (remove("NameID"), DENIED),
    "no subject": (remove("Subject"), BAD),
    "no conditions": (remove("Conditions"), BAD),
    "no audience restriction": (remove("AudienceRestriction"), BAD),
    "no confirmation": (remove("SubjectConfirmation"), BAD),
    "no confirmation data": (remove("SubjectConfirmationData"), BAD),
    "two confirmations": (double("SubjectConfirmation"), BAD),
    "two confirmation data": (double("SubjectConfirmationData"), BAD),
    "two issuers of the response": (double("Issuer"), BAD),
    "two issuers of the assertion": (double("Assertion/saml:Issuer"), BAD),
    "two subjects": (double("Subject"), BAD),
    "no NotOnOrAfter": (set_on(DATA, NotOnOrAfter=None), BAD),
    "no Recipient": (set_on(DATA, Recipient=None), BAD),
    "not bearer": (set_on(".//saml:SubjectConfirmation", Method="urn:x"), BAD),
    "NotOnOrAfter is no time": (set_on(DATA, NotOnOrAfter="tomorrow"), BAD),
    "NotOnOrAfter has no zone": (set_on(DATA, NotOnOrAfter="2026-11-23T12:05:00"), BAD),
    "confirmation not before": (set_on(DATA, NotBefore="2026-11-23T12:10:00Z"), BAD),
    "session ended": (
        set_on(".//saml:AuthnStatement", SessionNotOnOrAfter="2026-11-23T11:00:00Z"),
        EXPIRED,
    ),
    "status not success": (
        set_on(".//samlp:StatusCode", Value="urn:oasis:names:tc:SAML:2.0:status:Responder"),
        BAD,
    ),
    "answers a request": (set_on(".", InResponseTo="idrequest"), BAD),
    "confirmation answers a request": (set_on(DATA, InResponseTo="idrequest"), BAD),
    "version": (set_on(".", Version="1.1"), BAD),
    "attribute twice": (double("Attribute"), BAD),
    "session name twice": (
        lambda root: root.findall(".//saml:Attribute", NS)[1].append(
            copy.deepcopy(root.findall(".//saml:AttributeValue", NS)[-1])
        ),
        BAD,
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_missing_or_doubled(name, idp):
    change, code = CHANGES[name]
    assert refusal_of(idp, idp.sign_changed(change))[0] == code


def test_source_identity_may_not_begin_with_aws(idp):
    def change(root):
        duration = root.findall(".//saml:Attribute", NS)[2]
        duration.set("Name", "https://aws.amazon.com/SAML/Attributes/SourceIdentity")
        duration[0].text = "aws:root"

    assert "Source Identity must match" in refusal_of(idp, idp.sign_changed(change))[1]
