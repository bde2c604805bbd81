"""Issue a SAML response in the shape of Okta's ``amazon_aws`` app.

The text is written in pieces and then canonicalised by lxml, so that what is signed is what a verifier reads.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from xml.sax.saxutils import escape

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from lxml import etree

from ostiary.saml import document
from ostiary.saml.document import NAMESPACES, format_time
from ostiary.saml.metadata import pem_body

EXCLUSIVE_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
_XS = "http://www.w3.org/2001/XMLSchema"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_SIGNATURE_HERE = "<!--signature-->"


def issue(
    *,
    issuer: str,
    destination: str,
    recipient: str,
    audience: str,
    name_id: str,
    role_values: Sequence[str],
    session_name: str,
    session_duration: int,
    key: rsa.RSAPrivateKey,
    certificate: x509.Certificate,
    now: datetime,
    principal_tags: Mapping[str, str] | None = None,
    more_attributes: Mapping[str, Sequence[str]] | None = None,
    lifetime: timedelta = timedelta(minutes=5),
    sign_response: bool = True,
) -> bytes:
    """Return the signed ``saml2p:Response`` (UTF-8 XML, not base64).

    ``role_values`` are ``provider-arn,role-arn`` pairs; without any there is no Role attribute.
    ``session_duration`` is in seconds; ``more_attributes`` are further attribute statements by full name. The
    assertion is valid from ``lifetime`` before ``now`` until ``lifetime`` after it, as Okta's is. Both the
    assertion and, by default, the response are signed.
    """
    attributes = {
        document.ROLE: list(role_values),
        document.ROLE_SESSION_NAME: [session_name],
        document.SESSION_DURATION: [str(session_duration)],
        **{
            document.PRINCIPAL_TAG + name: [value] for name, value in (principal_tags or {}).items()
        },
        **(more_attributes or {}),
    }
    assertion = _assertion(
        issuer=issuer,
        recipient=recipient,
        audience=audience,
        name_id=name_id,
        attributes=attributes,
        now=now,
        lifetime=lifetime,
    )
    response = _response(
        issuer=issuer,
        destination=destination,
        now=now,
        assertion=_signed(assertion, key, certificate),
    )
    if sign_response:
        response = _signed(response, key, certificate)
    return f'<?xml version="1.0" encoding="UTF-8"?>{response.replace(_SIGNATURE_HERE, "")}'.encode()


def _response(*, issuer: str, destination: str, now: datetime, assertion: str) -> str:
    return (
        f'<saml2p:Response Destination="{_attribute(destination)}" ID="{_new_id()}"'
        f' IssueInstant="{format_time(now)}" Version="2.0" xmlns:saml2p="{NAMESPACES["samlp"]}"'
        f' xmlns:xs="{_XS}">{_issuer(issuer)}{_SIGNATURE_HERE}'
        f'<saml2p:Status xmlns:saml2p="{NAMESPACES["samlp"]}">'
        '<saml2p:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></saml2p:Status>'
        f"{assertion}</saml2p:Response>"
    )


def _assertion(
    *,
    issuer: str,
    recipient: str,
    audience: str,
    name_id: str,
    attributes: Mapping[str, Sequence[str]],
    now: datetime,
    lifetime: timedelta,
) -> str:
    namespace = f'xmlns:saml2="{NAMESPACES["saml"]}"'
    start, end = format_time(now - lifetime), format_time(now + lifetime)
    statements = "".join(
        f'<saml2:Attribute Name="{_attribute(name)}"'
        f' NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:{_name_format(name)}">'
        + "".join(
            f'<saml2:AttributeValue xmlns:xs="{_XS}" xmlns:xsi="{_XSI}" xsi:type="xs:string">'
            f"{escape(value)}</saml2:AttributeValue>"
            for value in values
        )
        + "</saml2:Attribute>"
        for name, values in attributes.items()
        if values
    )
    return (
        f'<saml2:Assertion ID="{_new_id()}" IssueInstant="{format_time(now)}" Version="2.0"'
        f' {namespace} xmlns:xs="{_XS}">{_issuer(issuer)}{_SIGNATURE_HERE}'
        f"<saml2:Subject {namespace}>"
        '<saml2:NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified">'
        f"{escape(name_id)}</saml2:NameID>"
        '<saml2:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">'
        f'<saml2:SubjectConfirmationData NotOnOrAfter="{end}" Recipient="{_attribute(recipient)}"/>'
        "</saml2:SubjectConfirmation></saml2:Subject>"
        f'<saml2:Conditions NotBefore="{start}" NotOnOrAfter="{end}" {namespace}>'
        f"<saml2:AudienceRestriction><saml2:Audience>{escape(audience)}</saml2:Audience>"
        "</saml2:AudienceRestriction></saml2:Conditions>"
        f'<saml2:AuthnStatement AuthnInstant="{format_time(now)}" SessionIndex="{_new_id()}" {namespace}>'
        "<saml2:AuthnContext><saml2:AuthnContextClassRef>"
        "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
        "</saml2:AuthnContextClassRef></saml2:AuthnContext></saml2:AuthnStatement>"
        f"<saml2:AttributeStatement {namespace}>{statements}</saml2:AttributeStatement>"
        "</saml2:Assertion>"
    )


def _signed(element: str, key: rsa.RSAPrivateKey, certificate: x509.Certificate) -> str:
    """Put an enveloped signature over the whole element at its place, which is the first marker."""
    unsigned = etree.fromstring(element.replace(_SIGNATURE_HERE, "").encode())
    digest = hashlib.sha256(_canonical(unsigned, ["xs"])).digest()
    signed_info = (
        f'<ds:SignedInfo xmlns:ds="{NAMESPACES["ds"]}">'
        f'<ds:CanonicalizationMethod Algorithm="{EXCLUSIVE_C14N}"/>'
        f'<ds:SignatureMethod Algorithm="{RSA_SHA256}"/>'
        f'<ds:Reference URI="#{unsigned.get("ID")}"><ds:Transforms>'
        f'<ds:Transform Algorithm="{ENVELOPED}"/><ds:Transform Algorithm="{EXCLUSIVE_C14N}">'
        f'<ec:InclusiveNamespaces PrefixList="xs" xmlns:ec="{EXCLUSIVE_C14N}"/></ds:Transform>'
        f'</ds:Transforms><ds:DigestMethod Algorithm="{SHA256}"/>'
        f"<ds:DigestValue>{_base64(digest)}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
    )
    value = key.sign(
        _canonical(etree.fromstring(signed_info.encode()), None),
        padding.PKCS1v15(),
        hashes.SHA256(),
    )
    signature = (
        f'<ds:Signature xmlns:ds="{NAMESPACES["ds"]}">{signed_info}'
        f"<ds:SignatureValue>{_base64(value)}</ds:SignatureValue><ds:KeyInfo><ds:X509Data>"
        f"<ds:X509Certificate>{pem_body(certificate)}</ds:X509Certificate>"
        "</ds:X509Data></ds:KeyInfo></ds:Signature>"
    )
    return element.replace(_SIGNATURE_HERE, signature, 1)


def _canonical(element: etree._Element, prefixes: list[str] | None) -> bytes:
    """Exclusive C14N. Parsed text only: on hand-built trees lxml may silently drop the inclusive prefixes."""
    return etree.tostring(element, method="c14n", exclusive=True, inclusive_ns_prefixes=prefixes)


def _name_format(attribute: str) -> str:
    """Okta names the Role attribute as a URI and all others as basic, as a recorded response shows."""
    return "uri" if attribute == document.ROLE else "basic"


def _issuer(issuer: str) -> str:
    return (
        '<saml2:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity"'
        f' xmlns:saml2="{NAMESPACES["saml"]}">{escape(issuer)}</saml2:Issuer>'
    )


def _attribute(value: str) -> str:
    return escape(value, {'"': "&quot;", "\n": "&#10;", "\t": "&#9;"})


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _new_id() -> str:
    return f"id{secrets.randbelow(10**26):026d}"
