"""Seven ways in that must not work, tried over the wire by somebody who has a valid sign-in to start from."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from lxml import etree

from ostiary.doors.federation.entering import Entering
from ostiary.doors.federation.sign_ins import Secret
from ostiary.errors import OstiaryError
from ostiary.model.estate import Console
from ostiary.saml.roles import RolePair, parse_pairs
from ostiary.saml.verify import claimed_role_values, decode
from ostiary.sandbox.world import World

SIGNATURE = "{http://www.w3.org/2000/09/xmldsig#}Signature"
LATER = 400.0  # seconds: past the five minutes of an assertion
INSIDER, OUTSIDER = "linus@acme.example", "mallory@acme.example"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One attempt. ``code`` is what the service said, or what was gained if it let us in."""

    what: str
    refused: bool
    code: str

    def as_json(self) -> dict[str, object]:
        return {"what": self.what, "refused": self.refused, "code": self.code}


def try_refusals(
    world: World, entering: Entering, console: Console, secrets: Mapping[str, Secret]
) -> tuple[Refusal, ...]:
    """Every attempt, with what came of it. The world is put back after each."""

    def fresh() -> str:
        return entering.assertion(INSIDER, secrets[INSIDER], console)

    def enter(pair: RolePair, assertion: str) -> str:
        entering.credentials(console, pair, assertion)
        return f"credentials of {pair.role_arn}"

    mine = fresh()
    offered = parse_pairs(claimed_role_values(decode(mine)))
    pair, elsewhere = (
        offered[0],
        next(one for one in offered if one.account_id != offered[0].account_id),
    )
    above = replace(pair, role_arn=pair.role_arn.replace(pair.role_name, "Administrator"))

    def late() -> str:
        with _later(world):
            return enter(pair, mine)

    def to_another_audience() -> str:
        with _audience(world, console, "urn:somebody:else"):
            forged = fresh()
        return enter(pair, forged)

    attempts: tuple[tuple[str, Callable[[], str]], ...] = (
        (
            "wrong group: no app for this person",
            lambda: entering.assertion(OUTSIDER, secrets[OUTSIDER], console),
        ),
        ("expired assertion", late),
        (
            "tampered assertion",
            lambda: enter(above, _altered(mine, pair.role_name, "Administrator")),
        ),
        ("wrong audience, rightly signed", to_another_audience),
        ("unsigned assertion", lambda: enter(pair, _unsigned(mine))),
        ("role outside the assertion", lambda: enter(above, mine)),
        (
            "provider of another account",
            lambda: enter(replace(pair, provider_arn=elsewhere.provider_arn), mine),
        ),
    )
    return tuple(_attempt(what, act) for what, act in attempts)


def _attempt(what: str, act: Callable[[], str]) -> Refusal:
    try:
        gained = act()
    except OstiaryError as refused:
        return Refusal(what, refused=True, code=refused.code or type(refused).__name__)
    return Refusal(what, refused=False, code=gained[:60])


@contextmanager
def _later(world: World) -> Iterator[None]:
    world.clock.advance(LATER)
    try:
        yield
    finally:
        world.clock.advance(-LATER)


@contextmanager
def _audience(world: World, console: Console, audience: str) -> Iterator[None]:
    """The org's app itself made to speak to somebody else, as an administrator could."""
    app = next(app for app in world.okta.apps.values() if app.label == console.app_label)
    sign_on = app.settings.setdefault("signOn", {})
    before = sign_on.get("audienceOverride")
    sign_on["audienceOverride"] = audience
    try:
        yield
    finally:
        sign_on["audienceOverride"] = before


def _altered(assertion: str, old: str, new: str) -> str:
    xml = base64.b64decode(assertion)
    return base64.b64encode(xml.replace(old.encode(), new.encode())).decode()


def _unsigned(assertion: str) -> str:
    root = etree.fromstring(base64.b64decode(assertion))
    for signature in list(root.iter(SIGNATURE)):
        parent = signature.getparent()
        if parent is not None:
            parent.remove(signature)
    return base64.b64encode(etree.tostring(root)).decode()
