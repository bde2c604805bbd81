"""Every known way to get a wrong SAML response accepted, and the code with which it is refused."""

import base64
import copy

import pytest
import xmlsec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lxml import etree

from ostiary.errors import AssertionRefused
from ostiary.saml import verify

NS = {
    "samlp": "urn:oasis:names:tc:SAML:2.0:protocol",
    "saml": "urn:oasis:names:tc:SAML:2.0:assertion",
    "ds": "http://www.w3.org/2000/09/xmldsig#",
}
ADMIN = "arn:aws:iam::100000000000:saml-provider/Okta,arn:aws:iam::100000000000:role/Admin"
SIGNATURE_INVALID = "Response signature invalid"
ONE_ASSERTION = "exactly one assertion"


def make_evil(element):
    """Another ID and another role than what was signed."""
    element.set("ID", "idevil")
    inner = element if element.tag.endswith("Assertion") else element.find("saml:Assertion", NS)
    inner.set("ID", "idevilassertion")
    inner.find(".//saml:AttributeValue", NS).text = ADMIN
    return element


def strip(element):
    for signature in element.findall(".//ds:Signature", NS):
        signature.getparent().remove(signature)
    return element


def wrapped(number, idp):
    """XSW 1 to 8 as published (Somorovsky et al., "On Breaking SAML"): 1, 2 on the response, 3-8 on the assertion."""
    root = etree.fromstring(idp.issue(sign_response=number < 3))
    original = copy.deepcopy(root)
    if number < 3:
        signature = root.find("ds:Signature", NS)
        evil = make_evil(strip(copy.deepcopy(root)))
        evil.insert(1, signature)
        if number == 1:
            signature.append(original)
        else:
            signature.addprevious(original)
        return etree.tostring(evil)
    good = root.find("saml:Assertion", NS)
    evil = make_evil(copy.deepcopy(good))
    if number in (3, 4, 7):
        strip(evil)
    if number == 3:
        good.addprevious(evil)
    elif number == 4:
        root.replace(good, evil)
        evil.append(good)
    elif number == 7:
        extensions = etree.Element(f"{{{NS['samlp']}}}Extensions")
        extensions.append(evil)
        good.addprevious(extensions)
    else:
        root.replace(good, evil)
        signature = evil.find("ds:Signature", NS)
        if number == 5:
            root.append(strip(good))
        elif number == 6:
            signature.append(strip(good))
        else:
            etree.SubElement(signature, f"{{{NS['ds']}}}Object").append(strip(good))
    return etree.tostring(root)


@pytest.mark.parametrize("number", range(1, 9))
def test_signature_wrapping(number, idp):
    with pytest.raises(AssertionRefused, match=ONE_ASSERTION) as refusal:
        idp.judge(wrapped(number, idp))
    assert refusal.value.code == "InvalidIdentityToken"


def edited(idp, old, new, **changes):
    response = idp.issue(**changes)
    assert old in response
    return response.replace(old, new, 1)


def unsigned(idp):
    return etree.tostring(strip(etree.fromstring(idp.issue())))


def outer_signature_only(idp):
    """The response's signature stays, the signed bytes lose the assertion's."""
    root = etree.fromstring(idp.issue())
    strip(root.find("saml:Assertion", NS))
    return etree.tostring(root)


def signature_elsewhere(idp):
    root = etree.fromstring(idp.issue())
    root.find("samlp:Status", NS).append(root.find("ds:Signature", NS))
    return etree.tostring(root)


def two_assertions(idp):
    def double(root):
        other = copy.deepcopy(root.find("saml:Assertion", NS))
        other.set("ID", "idother")
        root.append(other)

    return idp.sign_changed(double)


def same_id(idp):
    return idp.sign_changed(lambda root: root.set("ID", root.find("saml:Assertion", NS).get("ID")))


def hmac_by_public_key(idp):
    public = idp.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secret = xmlsec.Key.from_binary_data(xmlsec.constants.KeyDataHmac, public)
    return idp.sign_changed(lambda _: None, method=xmlsec.constants.TransformHmacSha256, key=secret)


def filtered_by_xpath(idp):
    """A valid signature that leaves the attributes out: the role could be changed at will."""

    def leave_out(reference):
        transform = xmlsec.template.add_transform(reference, xmlsec.constants.TransformXPath)
        path = etree.SubElement(transform, f"{{{NS['ds']}}}XPath")
        path.text = "not(ancestor-or-self::*[local-name() = 'AttributeStatement'])"

    response = idp.sign_changed(lambda _: None, transforms=[leave_out])
    return response.replace(b":role/Ops", b":role/Admin")


def transformed_by_xslt(idp):
    exclusive = b'<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#">'
    xslt = b'<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"></ds:Transform>'
    return edited(idp, exclusive, xslt + exclusive)


def prologue(idp, text):
    return idp.issue().replace(b"?>", b"?>" + text, 1)


FORGERIES = {
    "unsigned": (unsigned, SIGNATURE_INVALID),
    "inner signature stripped": (outer_signature_only, SIGNATURE_INVALID),
    "signature elsewhere": (signature_elsewhere, SIGNATURE_INVALID),
    "two assertions, both signed": (two_assertions, ONE_ASSERTION),
    "same ID twice": (same_id, "repeats an ID"),
    "role tampered": (lambda i: edited(i, b":role/Ops", b":role/Adm"), SIGNATURE_INVALID),
    "status tampered": (
        lambda i: edited(i, b"status:Success", b"status:Requester"),
        SIGNATURE_INVALID,
    ),
    "comment in role": (lambda i: edited(i, b":role/Ops", b":role/<!---->Ops"), "has a comment"),
    "comment in name": (lambda i: edited(i, b">ada@", b">ada@<!--x-->"), "has a comment"),
    "processing instruction": (
        lambda i: edited(i, b">ada@", b">ada@<?x?>"),
        "processing instruction",
    ),
    "HMAC keyed by public key": (hmac_by_public_key, SIGNATURE_INVALID),
    "no signature algorithm": (
        lambda i: edited(i, b"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", b"none"),
        SIGNATURE_INVALID,
    ),
    "SHA-1 signature": (
        lambda i: i.sign_changed(lambda _: None, method=xmlsec.constants.TransformRsaSha1),
        SIGNATURE_INVALID,
    ),
    "SHA-1 digest": (
        lambda i: i.sign_changed(lambda _: None, digest=xmlsec.constants.TransformSha1),
        SIGNATURE_INVALID,
    ),
    "XPath transform": (filtered_by_xpath, SIGNATURE_INVALID),
    "XSLT transform": (transformed_by_xslt, SIGNATURE_INVALID),
    "external entity": (
        lambda i: prologue(i, b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>'),
        "document type",
    ),
    "entity bomb": (
        lambda i: prologue(i, b'<!DOCTYPE a [<!ENTITY a "aa"><!ENTITY b "&a;&a;&a;">]>'),
        "document type",
    ),
    "external DTD": (
        lambda i: prologue(i, b'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/x.dtd">'),
        "document type",
    ),
    "UTF-16": (
        lambda i: i.issue().decode().replace("UTF-8", "UTF-16").encode("utf-16"),
        "byte order",
    ),
    "not XML": (lambda _: b"hello", "not well-formed"),
    "not a response": (lambda _: b"<a/>", "not a SAML 2.0 response"),
    "encrypted assertion": (
        lambda i: edited(
            i,
            b"<saml2p:Status ",
            b'<saml2:EncryptedAssertion xmlns:saml2="%s"/><saml2p:Status ' % NS["saml"].encode(),
        ),
        "encrypted",
    ),
    "larger than AWS takes": (lambda i: i.issue(name_id="a" * 80_000), "longer than 100,000"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forgery(name, idp):
    forge, why = FORGERIES[name]
    with pytest.raises(AssertionRefused, match=why) as refusal:
        idp.judge(forge(idp))
    assert refusal.value.code == "InvalidIdentityToken"


def test_a_stranger_brings_the_key_along(idp, stranger):
    with pytest.raises(AssertionRefused, match=SIGNATURE_INVALID):
        idp.judge(stranger.issue())


def test_a_stranger_states_the_key_as_key_value(idp, stranger):
    root = etree.fromstring(stranger.sign_changed(lambda _: None))
    signature = root.find(".//ds:Signature", NS)
    numbers = stranger.key.public_key().public_numbers()
    info = etree.SubElement(signature, f"{{{NS['ds']}}}KeyInfo")
    value = etree.SubElement(
        etree.SubElement(info, f"{{{NS['ds']}}}KeyValue"), f"{{{NS['ds']}}}RSAKeyValue"
    )
    for name, number in (("Modulus", numbers.n), ("Exponent", numbers.e)):
        raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
        etree.SubElement(value, f"{{{NS['ds']}}}{name}").text = base64.b64encode(raw).decode()
    with pytest.raises(AssertionRefused, match=SIGNATURE_INVALID):
        idp.judge(etree.tostring(root))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("&&&&", "Invalid base64"),
        ("abc", "Invalid base64"),
        ("é" * 8, "Invalid base64"),
        ("A" * 100_001, "longer"),
    ],
)
def test_not_base64(text, why):
    with pytest.raises(AssertionRefused, match=why) as refusal:
        verify.decode(text)
    assert refusal.value.code == "InvalidIdentityToken"
