"""Responses that AWS takes, our signatures before a second judge, and bit flips."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
import xmlsec
from cryptography.hazmat.primitives import serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from ostiary.errors import AssertionRefused
from ostiary.saml import metadata, verify

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NS = {
    "saml": "urn:oasis:names:tc:SAML:2.0:assertion",
    "ds": "http://www.w3.org/2000/09/xmldsig#",
}


def pairs(count):
    accounts = [f"{100000000000 + n}" for n in range(count)]
    return [f"arn:aws:iam::{a}:saml-provider/Okta,arn:aws:iam::{a}:role/Ops" for a in accounts]


def test_everything_is_read(idp):
    said = idp.judge(idp.issue(principal_tags={"team": "a&b <c>"}, role_values=pairs(3)))
    assert said.role_values == tuple(pairs(3))
    assert said.issuer == "http://www.okta.com/exk1acmeacmeacmeacme"
    assert said.name_id == said.session_name == "ada@acme.example"
    assert said.name_id_format.endswith(":unspecified")
    assert said.recipient == "https://signin.aws.amazon.com/saml"
    assert said.audience == ("urn:amazon:webservices",)
    assert said.session_duration == 3600
    assert said.principal_tags == {"team": "a&b <c>"}
    assert (said.issued_at, said.not_on_or_after) == (NOW, NOW + timedelta(minutes=5))
    assert said.source_identity is None
    assert said.assertion_id.startswith("id")


@pytest.mark.parametrize("count", [0, 1, 20, 200])
@pytest.mark.parametrize("sign_response", [True, False])
def test_a_second_judge_accepts_our_signatures(idp, count, sign_response):
    response = idp.issue(role_values=pairs(count), sign_response=sign_response)
    root = etree.fromstring(response)
    pem = idp.certificate.public_bytes(serialization.Encoding.PEM)
    xmlsec.tree.add_ids(root, ["ID"])
    signatures = list(root.iter(f"{{{NS['ds']}}}Signature"))
    for signature in signatures:
        context = xmlsec.SignatureContext()
        context.key = xmlsec.Key.from_memory(pem, xmlsec.constants.KeyDataFormatCertPem)
        context.verify(signature)
    assert len(signatures) == (2 if sign_response else 1)
    assert idp.judge(response).role_values == tuple(pairs(count))


def test_no_role_attribute_without_roles(idp):
    assert b'Attributes/Role"' not in idp.issue(role_values=[])


def test_only_the_response_is_signed(idp):
    root = etree.fromstring(idp.issue())
    for signature in root.findall(".//ds:Signature", NS):
        signature.getparent().remove(signature)
    idp.sign(root)
    assert idp.judge(etree.tostring(root)).session_name == "ada@acme.example"


def test_either_key_of_a_rotation(idp, stranger):
    both = metadata.render(
        "http://www.okta.com/exk1acmeacmeacmeacme",
        [stranger.certificate, idp.certificate],
        "https://acme.okta.com/sso",
    )
    for signer in (idp, stranger):
        assert idp.judge(signer.issue(), text=both).session_name == "ada@acme.example"


def test_the_key_counts_not_the_dates(idp):
    expired = type(idp).new(start=datetime(2015, 1, 1, tzinfo=UTC), days=30)
    assert expired.judge(expired.issue()).session_name == "ada@acme.example"


def test_another_certificate_of_the_same_key(idp):
    again = type(idp)(idp.key, type(idp).new().certificate)
    with pytest.raises(AssertionRefused):
        again.judge(idp.issue())
    assert idp.judge(again.issue()).session_name == "ada@acme.example"


@pytest.mark.parametrize("seconds", [-29, 29, 299])
def test_clocks_may_differ_a_little(idp, seconds):
    issued = NOW - timedelta(seconds=seconds)
    assert idp.judge(idp.issue(now=issued, lifetime=timedelta(minutes=5))).issued_at == issued


def test_it_is_not_used_up(idp):
    response = idp.issue()
    assert idp.judge(response) == idp.judge(response, at=NOW + timedelta(minutes=4))


def test_claimed_roles_need_no_key(idp):
    assert verify.claimed_role_values(idp.issue()) == tuple(pairs(2))


def test_base64_in_lines(idp):
    response = idp.issue()
    assert verify.decode(base64.encodebytes(response).decode()) == response


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_means_the_same(idp, place, bit):
    """Only bytes that canonicalisation drops (a spare namespace prefix, a CDATA mark) may differ and be accepted."""
    response = bytearray(RESPONSES.setdefault("", idp.issue()))
    honest = idp.judge(bytes(response))
    start = response.index(b"<saml2p:Response")
    signature = slice(response.index(b"<ds:SignatureValue>"), response.index(b"<saml2p:Status"))
    signed = [n for n in range(start, len(response)) if not signature.start <= n < signature.stop]
    response[signed[int(place * len(signed))]] ^= 1 << bit
    try:
        accepted = idp.judge(bytes(response))
    except AssertionRefused:
        return
    assert accepted == honest


RESPONSES = {}
