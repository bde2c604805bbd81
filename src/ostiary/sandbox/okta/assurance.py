"""How strongly and how lately somebody has to have signed in: ``acr_values`` and ``max_age``.

Source: Okta developer docs, "Step-up authentication using ACR values": values that are not supported are ignored, the
first supported one counts, and who cannot reach it goes back with ``unmet_authentication_requirements``. A TOTP code is
no phishing-resistant factor, so nobody reaches ``phr`` and ``phrh`` here.
"""

from __future__ import annotations

from dataclasses import dataclass

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import sign_in
from ostiary.sandbox.okta.call import Call
from ostiary.sandbox.okta.objects import App, Session, User

ONE_FACTOR = ("urn:okta:loa:1fa:any", "urn:okta:loa:1fa:pwd")
TWO_FACTORS = "urn:okta:loa:2fa:any"
IF_POSSIBLE = "urn:okta:loa:2fa:any:ifpossible"
RESISTANT = ("phr", "phrh")
CLASSIC = (*ONE_FACTOR, TWO_FACTORS)
IDENTITY_ENGINE = (*CLASSIC, IF_POSSIBLE, *RESISTANT)
# Okta's own clock of a sign-in page is not known here: a session this young is one that this request asked for.
JUST_NOW = 5.0


@dataclass(frozen=True, slots=True)
class Asked:
    """``acr`` is the value that the tokens will tell, "" for none; ``since`` the oldest sign-in that will do."""

    acr: str
    since: float

    def needs_code(self, call: Call, app: App, user: User) -> bool:
        if app is call.org.dashboard:
            return False
        possible = self.acr == IF_POSSIBLE and user.totp_secret is not None
        return call.org.policies[app.policy_id].mfa or self.acr == TWO_FACTORS or possible

    def is_out_of_reach(self, user: User) -> bool:
        return self.acr in RESISTANT or (self.acr == TWO_FACTORS and user.totp_secret is None)

    def is_met_by(self, session: Session) -> bool:
        return session.proven >= self.since


def asked(call: Call) -> Asked:
    """What an authorization request asks for."""
    query = call.request.query
    known = IDENTITY_ENGINE if call.org.pipeline == "idx" else CLASSIC
    acr = next((one for one in query.get("acr_values", "").split() if one in known), "")
    age = query.get("max_age", "")
    since = call.now - max(float(age), JUST_NOW) if age.isascii() and age.isdigit() else 0.0
    return Asked(acr, since)


def enter(call: Call, app: App, wanted: Asked) -> sign_in.Entered | Response:
    """Who is signed in as strongly and lately as app and request ask; else the way there."""
    entered = sign_in.enter(call, mfa=False, since=wanted.since)
    if isinstance(entered, Response) or wanted.is_out_of_reach(entered.user):
        return entered
    return sign_in.enter(call, mfa=wanted.needs_code(call, app, entered.user), since=wanted.since)
