"""XML as SAML needs it: one strict parser for the whole product, the namespaces, the times."""

from __future__ import annotations

from datetime import UTC, datetime

from lxml import etree

NAMESPACES = {
    "samlp": "urn:oasis:names:tc:SAML:2.0:protocol",
    "saml": "urn:oasis:names:tc:SAML:2.0:assertion",
    "md": "urn:oasis:names:tc:SAML:2.0:metadata",
    "ds": "http://www.w3.org/2000/09/xmldsig#",
}
ROLE = "https://aws.amazon.com/SAML/Attributes/Role"
ROLE_SESSION_NAME = "https://aws.amazon.com/SAML/Attributes/RoleSessionName"
SESSION_DURATION = "https://aws.amazon.com/SAML/Attributes/SessionDuration"
SOURCE_IDENTITY = "https://aws.amazon.com/SAML/Attributes/SourceIdentity"
TRANSITIVE_TAG_KEYS = "https://aws.amazon.com/SAML/Attributes/TransitiveTagKeys"
PRINCIPAL_TAG = "https://aws.amazon.com/SAML/Attributes/PrincipalTag:"


class NotStrictXml(ValueError):
    """The text is not the plain XML that is accepted here; the message says why."""


def parse_xml(data: bytes, *, comments: bool = False) -> etree._Element:
    """Parse UTF-8 without BOM, DTD, entities, processing instructions, XInclude or network access.

    A comment may split a text in two and so hide its end from a careless reader, therefore it is refused
    unless ``comments`` allows it. Raises NotStrictXml.
    """
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise NotStrictXml("starts with a byte order mark")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise NotStrictXml("has a document type declaration")
    try:
        data.decode("utf-8")
        root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True))
    except (UnicodeDecodeError, etree.XMLSyntaxError) as error:
        raise NotStrictXml(f"is not well-formed UTF-8 XML ({error})") from error
    tree = root.getroottree()
    if (tree.docinfo.encoding or "UTF-8").upper() not in {"UTF-8", "ASCII", "US-ASCII"}:
        raise NotStrictXml(f"declares encoding {tree.docinfo.encoding}, not UTF-8")
    if tree.docinfo.internalDTD is not None:
        raise NotStrictXml("has a document type declaration")
    _refuse_extras(root, comments=comments)
    return root


def _refuse_extras(root: etree._Element, *, comments: bool) -> None:
    trees = [root, *root.itersiblings(preceding=True), *root.itersiblings()]
    if any(True for tree in trees for _ in tree.iter(etree.ProcessingInstruction, etree.Entity)):
        raise NotStrictXml("has a processing instruction or an entity")
    if not comments and any(True for tree in trees for _ in tree.iter(etree.Comment)):
        raise NotStrictXml("has a comment")


def text_of(element: etree._Element) -> str:
    """The whole text of an element, stripped; an element with children has no text of its own."""
    return "" if len(element) else (element.text or "").strip()


def parse_time(text: str) -> datetime:
    """Parse an xs:dateTime as SAML uses it: always UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time without zone: {text}")
    return moment.astimezone(UTC)


def format_time(moment: datetime) -> str:
    """Format as Okta does: UTC, milliseconds, Z."""
    return (
        moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    )
