"""XML signatures as SAML allows them: enveloped, one reference to the parent, by a key that is already known.

signxml does the cryptography; what it would also accept (other places, other transforms, keys from the
document) is refused before it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from cryptography import x509
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.verifier import SignatureConfiguration, VerifyResult, XMLVerifier

from ostiary.saml.document import NAMESPACES

_EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
_TRANSFORMS = ["http://www.w3.org/2000/09/xmldsig#enveloped-signature", _EXCLUSIVE]
_SIGNATURE = f"{{{NAMESPACES['ds']}}}Signature"


class SignatureInvalid(ValueError):
    """The signature, or what it covers, is not acceptable; the message says why."""


def signatures_in(root: etree._Element, allowed: Sequence[etree._Element]) -> list[etree._Element]:
    """Find every signature of a document; each must be a direct child of another one of ``allowed``.

    Returns the parents that are signed. Raises SignatureInvalid.
    """
    parents = []
    for signature in root.iter(_SIGNATURE):
        parent = signature.getparent()
        if parent is None or parent not in allowed or parent in parents:
            raise SignatureInvalid("a signature stands where none may")
        _check_shape(signature, parent)
        parents.append(parent)
    return parents


def verified_copy(
    data: bytes, signed: etree._Element, certificates: Sequence[x509.Certificate]
) -> etree._Element:
    """Verify the signature of the element ``signed`` of document ``data`` by the key of any of ``certificates``.

    Returns a fresh tree of exactly the bytes that were signed; read nothing else. Certificates carry keys
    here: their dates do not count, as with AWS. Raises SignatureInvalid.
    """
    root = signed.getroottree().getroot()
    location = "./" if signed is root else f"./{signed.tag}/"
    why: Exception | None = None
    for certificate in certificates:
        try:
            result = XMLVerifier().verify(
                data,
                x509_cert=certificate,
                id_attribute="ID",
                expect_config=_configuration(location, certificate),
            )
        except (SignXMLException, etree.LxmlError, ValueError, TypeError) as error:
            why = error
            continue
        copy = result.signed_xml if isinstance(result, VerifyResult) else None
        if copy is None or copy.tag != signed.tag or copy.get("ID") != signed.get("ID"):
            raise SignatureInvalid("the signature covers another element")
        return copy
    raise SignatureInvalid("no key of the provider made the signature") from why


@lru_cache(maxsize=256)
def _configuration(location: str, certificate: x509.Certificate) -> SignatureConfiguration:
    return SignatureConfiguration(
        location=location,
        expect_references=1,
        signature_methods=frozenset(
            {SignatureMethod.RSA_SHA256, SignatureMethod.RSA_SHA384, SignatureMethod.RSA_SHA512}
        ),
        digest_algorithms=frozenset(
            {DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512}
        ),
        verification_time=certificate.not_valid_before_utc,
    )


def _check_shape(signature: etree._Element, parent: etree._Element) -> None:
    info = signature.findall("ds:SignedInfo", NAMESPACES)
    if len(info) != 1 or signature.find("ds:Object", NAMESPACES) is not None:
        raise SignatureInvalid("a signature has an object, or not one SignedInfo")
    method = info[0].find("ds:CanonicalizationMethod", NAMESPACES)
    references = info[0].findall("ds:Reference", NAMESPACES)
    if method is None or method.get("Algorithm") != _EXCLUSIVE:
        raise SignatureInvalid("a signature is not canonicalised by exclusive C14N")
    if len(references) != 1 or references[0].get("URI") != f"#{parent.get('ID')}":
        raise SignatureInvalid("a signature does not refer to its parent")
    transforms = references[0].findall("ds:Transforms/ds:Transform", NAMESPACES)
    if [transform.get("Algorithm") for transform in transforms] != _TRANSFORMS:
        raise SignatureInvalid(
            "a signature uses other transforms than enveloped and exclusive C14N"
        )
