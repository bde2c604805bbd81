"""Issue and verify a SAML response beside libxmlsec1, which signs and checks the same assertion."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial

import xmlsec
from cryptography.hazmat.primitives import serialization
from identity import ISSUER, identity
from lxml import etree
from measure import Bar

from ostiary.saml import assertion, metadata, verify

SIGN_IN = "https://signin.aws.amazon.com/saml"
AUDIENCE = "urn:amazon:webservices"
NS = {"a": "urn:oasis:names:tc:SAML:2.0:assertion", "ds": "http://www.w3.org/2000/09/xmldsig#"}
ROLES = (1, 20, 200)


def bars() -> Iterator[Bar]:
    own = identity()
    seen = metadata.parse(own.metadata)
    pem = own.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    theirs = xmlsec.Key.from_memory(pem, xmlsec.constants.KeyDataFormatPem)
    for number in ROLES:
        now = datetime.now(UTC)

        def issue(number: int = number, now: datetime = now) -> bytes:
            return assertion.issue(
                issuer=ISSUER,
                destination=SIGN_IN,
                recipient=SIGN_IN,
                audience=AUDIENCE,
                name_id="ada@acme.example",
                role_values=[_pair(account) for account in range(number)],
                session_name="ada@acme.example",
                session_duration=3600,
                key=own.key,
                certificate=own.certificate,
                now=now,
                sign_response=False,
            )

        text = issue()

        def judge(text: bytes = text, now: datetime = now) -> object:
            return verify.verify(text, seen, now=now, recipients=(SIGN_IN,), audiences=(AUDIENCE,))

        signed, checked = _cpu(partial(_sign, text, theirs)), _cpu(partial(_verify, text, theirs))
        yield Bar(
            f"SAML, {number} roles",
            f"issue {_cpu(issue):.2f} ms, verify {_cpu(judge):.2f} ms",
            f"sign {signed:.2f} ms, verify {checked:.2f} ms: xmlsec, signature only",
        )


def _pair(account: int) -> str:
    arn = f"arn:aws:iam::{100_000_000_000 + account}"
    return f"{arn}:saml-provider/Okta,{arn}:role/Administrator"


def _assertion_of(text: bytes) -> etree._Element:
    found = etree.fromstring(text).find("a:Assertion", NS)
    assert found is not None
    xmlsec.tree.add_ids(found, ["ID"])
    return found


def _sign(text: bytes, key: xmlsec.Key) -> None:
    """Sign the same assertion anew."""
    element = _assertion_of(text)
    old = element.find("ds:Signature", NS)
    assert old is not None
    element.remove(old)
    signature = xmlsec.template.create(
        element, xmlsec.constants.TransformExclC14N, xmlsec.constants.TransformRsaSha256
    )
    element.insert(1, signature)
    reference = xmlsec.template.add_reference(
        signature, xmlsec.constants.TransformSha256, uri="#" + str(element.get("ID"))
    )
    xmlsec.template.add_transform(reference, xmlsec.constants.TransformEnveloped)
    xmlsec.template.add_transform(reference, xmlsec.constants.TransformExclC14N)
    context = xmlsec.SignatureContext()
    context.key = key
    context.sign(signature)


def _verify(text: bytes, key: xmlsec.Key) -> None:
    context = xmlsec.SignatureContext()
    context.key = key
    signature = _assertion_of(text).find("ds:Signature", NS)
    assert signature is not None
    context.verify(signature)


def _cpu(work: Callable[[], object], seconds: float = 0.4) -> float:
    """CPU milliseconds of one call, the mean of as many as fit."""
    work()
    times, started = 0, time.process_time()
    while time.process_time() - started < seconds:
        work()
        times += 1
    return (time.process_time() - started) * 1000 / times
