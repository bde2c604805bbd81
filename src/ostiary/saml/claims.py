"""What an assertion says, read whole and then judged by AWS's rules.

Sources: IAM User Guide, "Configure SAML assertions for the authentication response" (attributes, patterns, one
SubjectConfirmation with NotOnOrAfter and Recipient) and "Troubleshoot SAML federation with IAM" (codes, texts).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lxml import etree

from ostiary.errors import AssertionRefused
from ostiary.saml import document
from ostiary.saml.document import NAMESPACES, parse_time, text_of

SKEW = timedelta(seconds=30)  # how far the clocks of identity provider and service may differ
REDEEM_WITHIN = timedelta(minutes=5)
DURATIONS = range(900, 43_201)  # seconds
NOT_AUTHORIZED = "Not authorized to perform sts:AssumeRoleWithSAML"
WRONG_ISSUER = (
    "Issuer not present in specified provider (Service: AWSOpenIdDiscoveryService; Status Code: 400;"
    " Error Code: AuthSamlInvalidSamlResponseException)"
)
_NAME = re.compile(r"[a-zA-Z_0-9+=,.@-]{2,64}", re.ASCII)
_MOST_TAGS, _LONGEST_TAG_KEY, _LONGEST_TAG_VALUE = 50, 128, 256


@dataclass(frozen=True, slots=True)
class VerifiedAssertion:
    """What a verified assertion says, every field from the signed bytes. Times are UTC; ``role_values`` are raw; ``session_duration`` is seconds or None."""

    assertion_id: str
    issuer: str
    name_id: str
    name_id_format: str
    recipient: str
    audience: tuple[str, ...]
    issued_at: datetime
    not_before: datetime | None
    not_on_or_after: datetime
    session_not_on_or_after: datetime | None
    session_name: str
    role_values: tuple[str, ...]
    session_duration: int | None
    source_identity: str | None
    principal_tags: Mapping[str, str] = field(default_factory=dict)
    transitive_tags: tuple[str, ...] = ()


def refused(why: str, code: str = "InvalidIdentityToken") -> AssertionRefused:
    """An AssertionRefused: ``why`` is the service's text, ``code`` its code."""
    return AssertionRefused("SAML response was refused", why=why, code=code)


def read(assertion: etree._Element) -> VerifiedAssertion:
    """Read an assertion that was signed. Raises AssertionRefused where something is missing or doubled."""
    data = _confirmation(assertion)
    name_id = assertion.find("saml:Subject/saml:NameID", NAMESPACES)
    conditions = assertion.find("saml:Conditions", NAMESPACES)
    statement = assertion.find("saml:AuthnStatement", NAMESPACES)
    attributes = _attributes(assertion)
    ends = [
        data.get("NotOnOrAfter"),
        None if conditions is None else conditions.get("NotOnOrAfter"),
    ]
    return VerifiedAssertion(
        assertion_id=assertion.get("ID", ""),
        issuer=text_of(_one(assertion, "saml:Issuer")),
        name_id="" if name_id is None else text_of(name_id),
        name_id_format="" if name_id is None else name_id.get("Format", ""),
        recipient=data.get("Recipient", ""),
        audience=_audience(conditions),
        issued_at=_time(assertion.get("IssueInstant")),
        not_before=_latest_start(data, conditions),
        not_on_or_after=min(_time(end) for end in ends if end is not None),
        session_not_on_or_after=_optional_time(statement, "SessionNotOnOrAfter"),
        session_name=_session_name(attributes),
        role_values=tuple(attributes.get(document.ROLE, ())),
        session_duration=_duration(attributes),
        source_identity=_source_identity(attributes),
        principal_tags=_principal_tags(attributes),
        transitive_tags=tuple(attributes.get(document.TRANSITIVE_TAG_KEYS, ())),
    )


def check(
    claims: VerifiedAssertion,
    entity_id: str,
    *,
    now: datetime,
    recipients: Collection[str],
    audiences: Collection[str],
) -> None:
    """Judge issuer, audience, recipient, times and subject, in this order. Raises AssertionRefused."""
    if claims.issuer != entity_id:
        raise refused(WRONG_ISSUER)
    if not set(claims.audience) & set(audiences):
        raise refused("Response does not contain the required audience")
    if claims.recipient not in recipients:
        raise refused("SubjectConfirmationData Recipient is not an AWS sign-in endpoint")
    if claims.issued_at > now + SKEW or (claims.not_before and claims.not_before > now + SKEW):
        raise refused("Response is not yet valid")
    if now - claims.issued_at > REDEEM_WITHIN:
        raise refused(
            "Token must be redeemed within 5 minutes of issuance", "ExpiredTokenException"
        )
    session_end = claims.session_not_on_or_after
    if claims.not_on_or_after + SKEW <= now or (session_end and session_end <= now):
        raise refused("Response has expired", "ExpiredTokenException")
    if not claims.name_id:
        raise refused(NOT_AUTHORIZED, "AccessDenied")


def _one(parent: etree._Element, path: str) -> etree._Element:
    found = parent.findall(path, NAMESPACES)
    if len(found) != 1:
        raise refused(f"Assertion must contain exactly one {path.rpartition(':')[2]}")
    return found[0]


def _confirmation(assertion: etree._Element) -> etree._Element:
    _one(assertion, "saml:Subject")
    confirmation = _one(assertion, "saml:Subject/saml:SubjectConfirmation")
    if confirmation.get("Method") != "urn:oasis:names:tc:SAML:2.0:cm:bearer":
        raise refused("SubjectConfirmation is not of method bearer")
    data = _one(confirmation, "saml:SubjectConfirmationData")
    if not data.get("NotOnOrAfter") or not data.get("Recipient"):
        raise refused("SubjectConfirmationData must have NotOnOrAfter and Recipient")
    if data.get("InResponseTo") is not None:
        raise refused("Assertion answers a request that was never sent")
    return data


def _audience(conditions: etree._Element | None) -> tuple[str, ...]:
    """The audiences that every restriction names: restrictions are ANDed, audiences in one are ORed."""
    restrictions = (
        [] if conditions is None else conditions.findall("saml:AudienceRestriction", NAMESPACES)
    )
    named = [
        [text_of(audience) for audience in each.findall("saml:Audience", NAMESPACES)]
        for each in restrictions
    ]
    if not named:
        return ()
    return tuple(name for name in named[0] if all(name in others for others in named))


def _time(text: str | None) -> datetime:
    try:
        return parse_time(text or "")
    except ValueError as error:
        raise refused(f"Assertion has no valid time where one is due: {text!r}") from error


def _optional_time(element: etree._Element | None, name: str) -> datetime | None:
    text = None if element is None else element.get(name)
    return None if text is None else _time(text)


def _latest_start(*elements: etree._Element | None) -> datetime | None:
    starts = [_optional_time(element, "NotBefore") for element in elements]
    return max((start for start in starts if start), default=None)


def _attributes(assertion: etree._Element) -> dict[str, list[str]]:
    attributes: dict[str, list[str]] = {}
    for attribute in assertion.iterfind("saml:AttributeStatement/saml:Attribute", NAMESPACES):
        name = attribute.get("Name", "")
        if name in attributes:
            raise refused(f"Assertion repeats attribute {name}")
        values = attribute.findall("saml:AttributeValue", NAMESPACES)
        if any(len(value) for value in values):
            raise refused(f"Assertion attribute {name} is not plain text")
        attributes[name] = [text_of(value) for value in values]
    return attributes


def _single(attributes: Mapping[str, list[str]], name: str) -> str | None:
    values = attributes.get(name)
    if values is None:
        return None
    if len(values) != 1:
        raise refused(f"Assertion attribute {name} must have one value")
    return values[0]


def _session_name(attributes: Mapping[str, list[str]]) -> str:
    name = _single(attributes, document.ROLE_SESSION_NAME)
    if not name:
        raise refused("RoleSessionName is required in AuthnResponse")
    if not _NAME.fullmatch(name):
        raise refused("RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}")
    return name


def _duration(attributes: Mapping[str, list[str]]) -> int | None:
    text = _single(attributes, document.SESSION_DURATION)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) not in DURATIONS:
        raise refused(
            f"SessionDuration in AuthnResponse must be {DURATIONS[0]} to {DURATIONS[-1]} seconds"
        )
    return int(text)


def _source_identity(attributes: Mapping[str, list[str]]) -> str | None:
    text = _single(attributes, document.SOURCE_IDENTITY)
    if text is not None and (not _NAME.fullmatch(text) or text.startswith("aws:")):
        raise refused(
            'Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with "aws:"'
        )
    return text


def _principal_tags(attributes: Mapping[str, list[str]]) -> dict[str, str]:
    names = [name for name in attributes if name.startswith(document.PRINCIPAL_TAG)]
    tags = {
        name.removeprefix(document.PRINCIPAL_TAG): _single(attributes, name) or "" for name in names
    }
    too_long = any(
        not key or len(key) > _LONGEST_TAG_KEY or len(value) > _LONGEST_TAG_VALUE
        for key, value in tags.items()
    )
    if len(tags) > _MOST_TAGS or too_long:
        raise refused("Session tags in AuthnResponse exceed the limits")
    return tags
