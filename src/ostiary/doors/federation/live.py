"""The operator's own sign-in, performed live by device flow: the proof that is possible where no password is known."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable

from ostiary.connect import Connected
from ostiary.doors.federation.entering import Entering
from ostiary.doors.federation.okta_side import native_app_key
from ostiary.doors.federation.seen import Desired, Seen
from ostiary.doors.federation.sign_ins import Secret, SignIn, SignInReport, SignInResult, perform
from ostiary.errors import Denied, NotFound
from ostiary.model.estate import Console, resolve
from ostiary.okta.device_flow import DeviceFlow, Tokens
from ostiary.plan.resource import Key, Kind

Say = Callable[[str], None]


def own_sign_in(connected: Connected, seen: Seen, wanted: Desired, say: Say) -> SignInReport:
    """Ask the operator to confirm a code once per org, then enter every role that is offered at every console."""
    results: list[SignInResult] = []
    entering = Entering(connected)
    for org in connected.estate.orgs:
        consoles = [
            console
            for console in connected.estate.consoles.values()
            if console.org == org and console.native_app
        ]
        if not consoles:
            continue
        flow, tokens = _signed_in(connected, org, say)
        login = next(
            (one.login for one in seen.orgs[org].people.values() if one.id == _subject(tokens)), ""
        )
        say(f"signed in as {login or 'somebody whom the estate does not name'}")

        def open_app(
            sign_in: SignIn, secret: Secret, flow: DeviceFlow = flow, tokens: Tokens = tokens
        ) -> str:
            del secret
            return flow.saml(tokens, _app_id(connected, sign_in.console)).response

        planned = tuple(
            SignIn(
                login,
                console,
                frozenset(
                    one.entitlement
                    for one in wanted.by_console.get(console.name, frozenset())
                    if one.login == login
                ),
            )
            for console in consoles
        )
        report = perform(planned, {login: Secret("")}, open_app, entering.enter)
        results += report.results
    return SignInReport(tuple(results))


def _signed_in(connected: Connected, org: str, say: Say) -> tuple[DeviceFlow, Tokens]:
    found = _app_kind(connected).look(native_app_key(connected.estate, org))
    if found is None:
        raise NotFound("the native app of the estate does not exist", fix="run: ostiary apply")
    url = resolve(connected.estate.orgs[org].url, os.environ)
    flow = DeviceFlow(url, found.ids["client_id"])
    code = flow.begin()
    say(f"open {code.verification_uri_complete} and confirm the code {code.user_code}")
    return flow, flow.wait(code)


def _app_kind(connected: Connected) -> Kind:
    return next(kind for kind in connected.kinds if kind.name == "okta-app")


def _app_id(connected: Connected, console: Console) -> str:
    found = _app_kind(connected).look(Key("okta-app", console.org, console.app_label))
    if found is None:
        raise NotFound(f"app {console.app_label} does not exist", fix="run: ostiary apply")
    return str(found.ids["id"])


def _subject(tokens: Tokens) -> str:
    """Whom the ID token names. It came from the token endpoint over TLS, so its signature adds nothing here."""
    parts = tokens.id_token.split(".")
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return str(json.loads(payload)["sub"])
    except (IndexError, ValueError, KeyError) as error:
        raise Denied(
            "cannot read the ID token of this sign-in", why=type(error).__name__
        ) from error
