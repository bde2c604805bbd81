"""Signing in as a person, for real: Okta session, assertion, ``AssumeRoleWithSAML``, ``GetCallerIdentity``."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from ostiary.aws.credentials import Credentials
from ostiary.aws.session import Aws
from ostiary.aws.sts_saml import assume_role_with_saml, caller_identity
from ostiary.connect import Connected, Transports
from ostiary.doors.federation.sign_ins import Secret, SignIn
from ostiary.errors import NotFound, UsageError
from ostiary.model.estate import Console, resolve
from ostiary.okta.sign_in import Session
from ostiary.okta.sign_in import SignIn as OktaSignIn
from ostiary.saml.roles import RolePair


class Entering:
    """Opens apps and enters roles for ``sign_ins.perform``; every person signs in to Okta once."""

    def __init__(self, connected: Connected, transports: Transports | None = None) -> None:
        self._connected = connected
        self._transport = transports.okta if transports else None
        self._sessions: dict[tuple[str, str], Session] = {}
        self._lock = threading.Lock()

    def open_app(self, sign_in: SignIn, secret: Secret) -> str:
        """The SAMLResponse, base64. Raises Denied or NotFound when the person has no such app."""
        return self.assertion(sign_in.login, secret, sign_in.console)

    def assertion(self, login: str, secret: Secret, console: Console) -> str:
        session = self.session(login, secret, console)
        links = [link for link in session.app_links() if link.label == console.app_label]
        if not links:
            raise NotFound(
                f"{login} has no app {console.app_label}", fix=f"run: ostiary access what {login}"
            )
        return session.open_app(links[0]).response

    def session(self, login: str, secret: Secret, console: Console) -> Session:
        with self._lock:
            known = self._sessions.get((console.org, login))
            if known is None:
                url = resolve(self._connected.estate.orgs[console.org].url, os.environ)
                okta = OktaSignIn(url, transport=self._transport)
                known = okta.with_password(login, secret.password, secret.totp)
                self._sessions[console.org, login] = known
            return known

    def enter(self, sign_in: SignIn, pair: RolePair, assertion: str) -> str:
        """The caller's ARN, as AWS says it."""
        credentials = self.credentials(sign_in.console, pair, assertion)
        return caller_identity(self.aws(sign_in.console), credentials).arn

    def credentials(self, console: Console, pair: RolePair, assertion: str) -> Credentials:
        return assume_role_with_saml(
            self.aws(console), pair.role_arn, pair.provider_arn, assertion, 900
        )

    def aws(self, console: Console) -> Aws:
        return self._connected.aws[console.organization]


def read_people(file: Path) -> Mapping[str, Secret]:
    """Who signs in for a proof: a JSON list of ``{"login", "password", "totp_secret"}``, or an object with ``people``.

    ``sandbox up --json`` prints such an object.
    """
    try:
        content = json.loads(file.read_text("utf-8"))
        rows = content["people"] if isinstance(content, dict) else content
        return {row["login"]: Secret(row["password"], row.get("totp_secret")) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"cannot read people from {file}",
            why=f"{type(error).__name__}: it is no list of login, password, totp_secret",
            fix="use what sandbox up --json prints",
        ) from error
