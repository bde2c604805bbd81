"""What the answers of the API need, built once per process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ostiary.doors.servers.control.authorities import Authorities
from ostiary.doors.servers.control.cloud_identity import CloudIdentities
from ostiary.doors.servers.control.database import Database
from ostiary.doors.servers.control.duties import Duty
from ostiary.doors.servers.control.freshness import Freshness
from ostiary.doors.servers.control.host_proof import Challenges
from ostiary.doors.servers.control.host_states import HostStates
from ostiary.doors.servers.control.identity import TokenVerifier
from ostiary.doors.servers.control.issue import Issuer
from ostiary.doors.servers.control.machine_proof import MachineProofs
from ostiary.doors.servers.control.org_reader import ReadsPeople
from ostiary.doors.servers.control.refresh import RefreshTokens
from ostiary.doors.servers.control.view import Views
from ostiary.doors.servers.control.writer import Writer
from ostiary.doors.servers.wire.person import SignInSettings


@dataclass(frozen=True, slots=True)
class Services:
    """``url`` is the public URL of this control plane; ``groups_of`` reads groups where ID tokens have none.

    ``scopes`` are those of a sign-in that the issuer knows; ``refresh`` keeps refresh tokens where they are needed, and
    ``duties`` are what the process does beside answering.

    ``admin_group`` is the Okta group whose members administer everything, as ``admin_machines`` do: a pipeline that applies.
    """

    database: Database
    writer: Writer
    authorities: Authorities
    views: Views
    issuer: Issuer
    states: HostStates
    challenges: Challenges
    verifier: TokenVerifier
    sign_in: SignInSettings
    freshness: Freshness
    admin_group: str
    admin_machines: frozenset[str]
    url: str
    clock: Callable[[], float]
    scopes: Callable[[], tuple[str, ...]]
    machines: MachineProofs
    groups_of: ReadsPeople | None = None
    cloud: CloudIdentities | None = None
    refresh: RefreshTokens | None = None
    duties: tuple[Duty, ...] = ()
    problems: Callable[[], tuple[str, ...]] = tuple
