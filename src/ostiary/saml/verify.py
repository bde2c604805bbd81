"""Verify a SAML response as AWS does, and read it only from what was signed.

Codes and texts are AWS's own where they are known (IAM User Guide, "Troubleshoot SAML federation with IAM", and
public reports of STS answers); the others are named in ``docs/explanation/fidelity.md``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from datetime import datetime

from lxml import etree

from ostiary.saml import claims
from ostiary.saml.claims import VerifiedAssertion, refused
from ostiary.saml.document import NAMESPACES, ROLE, NotStrictXml, parse_xml, text_of
from ostiary.saml.metadata import Metadata
from ostiary.saml.signature import SignatureInvalid, signatures_in, verified_copy

MOST_CHARACTERS = 100_000  # of base64: STS API Reference, AssumeRoleWithSAML, SAMLAssertion
_SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
_DISCOVERY = (
    " (Service: AWSOpenIdDiscoveryService; Status Code: 400;"
    " Error Code: AuthSamlInvalidSamlResponseException)"
)


def decode(text: str) -> bytes:
    """Base64 of a SAMLResponse form field or SAMLAssertion parameter; line breaks are allowed.

    Raises AssertionRefused (InvalidIdentityToken), also above 100,000 characters.
    """
    if len(text) > MOST_CHARACTERS:
        raise refused(f"SAMLResponse is longer than {MOST_CHARACTERS:,} characters")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise refused(f"Invalid base64 SAMLResponse{_DISCOVERY}") from error


def claimed_role_values(response_xml: bytes) -> tuple[str, ...]:
    """Read the Role values of a response that is not verified: only good to know whose keys to verify it by."""
    root = _parse(response_xml)
    return tuple(
        text_of(value)
        for attribute in root.iterfind(
            "saml:Assertion/saml:AttributeStatement/saml:Attribute", NAMESPACES
        )
        if attribute.get("Name") == ROLE
        for value in attribute.findall("saml:AttributeValue", NAMESPACES)
    )


def verify(
    response_xml: bytes,
    metadata: Metadata,
    *,
    now: datetime,
    recipients: Collection[str],
    audiences: Collection[str],
) -> VerifiedAssertion:
    """Verify a response against the provider's metadata and return what its assertion says.

    ``recipients`` are the sign-in URLs, ``audiences`` the names under which the service answers. Raises
    AssertionRefused with AWS's code (``InvalidIdentityToken``, ``ExpiredTokenException``, ``AccessDenied``)
    and AWS's text in ``why``.
    """
    root = _parse(response_xml)
    assertion = _only_assertion(root)
    _check_ids(root)
    try:
        signed = signatures_in(root, (root, assertion))
        copies = {part: verified_copy(response_xml, part, metadata.certificates) for part in signed}
    except SignatureInvalid as error:
        raise refused("Response signature invalid") from error
    if not copies:
        raise refused("Response signature invalid")
    response = copies.get(root, root)
    _check_response(response, metadata, recipients)
    trusted = copies[assertion] if assertion in copies else _only_assertion(response)
    verified = claims.read(trusted)
    claims.check(verified, metadata.entity_id, now=now, recipients=recipients, audiences=audiences)
    return verified


def _parse(response_xml: bytes) -> etree._Element:
    if len(response_xml) > MOST_CHARACTERS * 3 // 4:
        raise refused(f"SAMLResponse is longer than {MOST_CHARACTERS:,} characters")
    try:
        root = parse_xml(response_xml)
    except NotStrictXml as error:
        raise refused(f"SAMLResponse {error}") from error
    if root.tag != f"{{{NAMESPACES['samlp']}}}Response" or root.get("Version") != "2.0":
        raise refused("SAMLResponse is not a SAML 2.0 response")
    return root


def _only_assertion(root: etree._Element) -> etree._Element:
    """Return the one assertion of the document, a direct child of the response."""
    everywhere = list(root.iter(f"{{{NAMESPACES['saml']}}}Assertion"))
    if root.find(".//saml:EncryptedAssertion", NAMESPACES) is not None:
        raise refused("SAMLResponse has an encrypted assertion and the provider has no private key")
    if len(everywhere) != 1 or everywhere[0].getparent() is not root:
        raise refused("SAMLResponse must contain exactly one assertion")
    return everywhere[0]


def _check_ids(root: etree._Element) -> None:
    ids = [
        value
        for element in root.iter()
        for name, value in element.attrib.items()
        if etree.QName(name).localname.lower() == "id"
    ]
    if len(ids) != len(set(ids)):
        raise refused("SAMLResponse repeats an ID")


def _check_response(
    response: etree._Element, metadata: Metadata, recipients: Collection[str]
) -> None:
    status = response.findall("samlp:Status/samlp:StatusCode", NAMESPACES)
    if [code.get("Value") for code in status] != [_SUCCESS]:
        raise refused("SAMLResponse status is not Success")
    if response.get("InResponseTo") is not None:
        raise refused("SAMLResponse answers a request that was never sent")
    if response.get("Destination", next(iter(recipients), "")) not in recipients:
        raise refused("SAMLResponse destination is not this sign-in endpoint")
    issuers = [text_of(issuer) for issuer in response.findall("saml:Issuer", NAMESPACES)]
    if issuers not in ([], [metadata.entity_id]):
        raise refused(claims.WRONG_ISSUER)


__all__ = ["VerifiedAssertion", "claimed_role_values", "decode", "verify"]
