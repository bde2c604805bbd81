"""What the answers of the API need, built once per process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ostiary.doors.servers.control.authorities import Authorities
from ostiary.doors.servers.control.database import Database
from ostiary.doors.servers.control.host_proof import Challenges
from ostiary.doors.servers.control.host_state import HostStates
from ostiary.doors.servers.control.identity import TokenVerifier
from ostiary.doors.servers.control.issue import Freshness, Issuer
from ostiary.doors.servers.control.view import Views
from ostiary.doors.servers.control.writer import Writer
from ostiary.doors.servers.wire.person import SignInSettings


class ReadsPeople(Protocol):
    """Reads the Okta org: the names of the groups of a person. Raises only OstiaryErrors."""

    def groups(self, person_id: str) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Services:
    """``url`` is the public URL of this control plane; ``groups_of`` reads groups where ID tokens have none.

    ``admin_group`` is the Okta group whose members administer everything.
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
    url: str
    clock: Callable[[], float]
    groups_of: ReadsPeople | None = None
    problems: Callable[[], tuple[str, ...]] = tuple
