"""The control plane's side towards the org: how fresh its knowledge is, whom to ask, and the duty that keeps it so.

With access to Okta's API the System Log is read, and people are read from the org itself. Without, as with any other
OpenID provider, each person's refresh token tells whether they are still active, and ID tokens tell the groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ostiary.doors.servers.control import keys
from ostiary.doors.servers.control.database import Database
from ostiary.doors.servers.control.duties import Duty
from ostiary.doors.servers.control.freshness import Freshness, NoLog, OrgFreshness
from ostiary.doors.servers.control.identity import TokenVerifier
from ostiary.doors.servers.control.lease import Lease, Leased
from ostiary.doors.servers.control.okta_log import DUTY as LOG_DUTY
from ostiary.doors.servers.control.okta_log import OrgLog
from ostiary.doors.servers.control.org_reader import OrgReader, ReadsPeople
from ostiary.doors.servers.control.refresh import DUTY as REFRESH_DUTY
from ostiary.doors.servers.control.refresh import Refresher, RefreshTokens
from ostiary.doors.servers.control.token_endpoint import TokenEndpoint
from ostiary.doors.servers.control.writer import Writer
from ostiary.okta.client import OktaClient
from ostiary.plan.wrap import Wrap

SCOPES = ("openid", "profile", "email", "groups")
REFRESH = "offline_access"
PAUSE, ANSWER = (
    2.0,
    5.0,
)  # longest pause before, and wait for, an answer of Okta that a sign-in waits for


@dataclass(frozen=True, slots=True)
class OrgSide:
    """``groups_of`` and ``refresh`` are None where they are not needed; ``scopes`` asks the issuer what it knows."""

    freshness: Freshness
    groups_of: ReadsPeople | None
    refresh: RefreshTokens | None
    scopes: Callable[[], tuple[str, ...]]
    duty: Duty


def with_log(
    database: Database,
    writer: Writer,
    okta: OktaClient,
    endpoint: TokenEndpoint,
    clock: Callable[[], float],
) -> OrgSide:
    """Of an Okta org whose API may be asked. No refresh token is taken: none is needed, and none can leak."""
    log = OrgLog(database, writer, okta, app=endpoint.client_id, clock=clock)
    return OrgSide(
        OrgFreshness(database, log.org),
        OrgReader(okta.impatient(PAUSE, ANSWER), clock),
        None,
        partial(endpoint.scopes, SCOPES),
        Leased(Lease(database, LOG_DUTY), log).duty(),
    )


def without_log(
    database: Database,
    writer: Writer,
    wrap: Wrap,
    *,
    endpoint: TokenEndpoint,
    verifier: TokenVerifier,
    clock: Callable[[], float],
    every: float,
) -> OrgSide:
    """Of any OpenID provider. ``every`` so many seconds each person is asked for."""
    tokens = RefreshTokens(keys.shared(database, wrap, "refresh"))
    refresher = Refresher(database, writer, tokens, endpoint, verifier, clock=clock, every=every)
    return OrgSide(
        NoLog(),
        None,
        tokens,
        partial(endpoint.scopes, (*SCOPES, REFRESH)),
        Leased(Lease(database, REFRESH_DUTY), refresher).duty(),
    )
