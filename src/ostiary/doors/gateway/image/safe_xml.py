"""XML of strangers: parsed without DTD, entities or network, and bounded. Elements are found by their local names."""

from __future__ import annotations

from lxml import etree

MOST_BYTES = 8 * 1024 * 1024
_MOST_TEXT = 256


class UnsafeXml(Exception):
    """It could name files, fetch, or grow without end."""


def parse_tree(data: bytes) -> etree._Element:
    """The root element. UnsafeXml for what must not be read, ValueError for what cannot."""
    if len(data) > MOST_BYTES:
        raise UnsafeXml(f"it is longer than {MOST_BYTES} bytes")
    # In any encoding of which a parser would see one; NULs are half of UTF-16.
    plain = data.replace(b"\0", b"")
    if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
        raise UnsafeXml("it has a document type, which can name files")
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data.lstrip(), parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(str(error)[:160]) from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise UnsafeXml("it has a document type, which can name files")
    return root


def local_name(element: etree._Element) -> str:
    return etree.QName(element).localname


def attribute(element: etree._Element, name: str) -> str:
    """An attribute by its local name: tools disagree about the prefix."""
    for key, value in element.attrib.items():
        if etree.QName(key).localname == name:
            return str(value)
    return ""


def text_of(element: etree._Element, path: str) -> str:
    """The text at a path below; "" when there is nothing."""
    found = element.find(path)
    return (found.text or "").strip()[:_MOST_TEXT] if found is not None else ""


def integer(text: str) -> int:
    """A number as descriptors write it; 0 for anything else, a property such as ``${size}`` included."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else 0  # noqa: PLR2004 - 2^64 has 20 digits
