"""Between agent and control plane.

    POST /v1/hosts/challenge               -> Challenge
    POST /v1/hosts/enroll    Enroll        -> Enrolled
    GET  /v1/hosts/state?generation=N      -> HostState, or 304 while N is current
    POST /v1/hosts/report    HostReport    -> 204

Every call but the challenge is signed with the host's SSH key: header ``Ostiary-Host: SERVER_ID CHALLENGE SIGNATURE``
(``-`` as SERVER_ID to enrol), where SIGNATURE is the base64 body of ``ssh-keygen -Y sign -n ostiary-host@v1`` over
``METHOD LF path-with-query LF challenge LF sha256-hex-of-body``. A challenge is good once, for 120 s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Tuple  # noqa: UP035 - get_type_hints of Python 3.9 reads these

NAMESPACE = "ostiary-host@v1"
HEADER = "ostiary-host"


@dataclass(frozen=True)
class Challenge:
    challenge: str
    time: float  # of the control plane, seconds since the epoch


@dataclass(frozen=True)
class Enroll:
    """``host_key`` is the public host key in authorized_keys form; ``facts`` (os, arch, agent, machine_id…) are told, not trusted."""

    token: str = field(repr=False)
    name: str  # what people type; unique in the project
    address: str  # where clients, or the bastion, reach it
    port: int
    host_key: str
    facts: Dict[str, str]  # noqa: UP006
    labels: Dict[str, str]  # noqa: UP006
    bastion: str = ""  # name of the server through which this one is reached


@dataclass(frozen=True)
class Enrolled:
    server_id: str
    project: str


@dataclass(frozen=True)
class SudoRule:
    """One line of sudoers as a model. ``commands`` are absolute paths with fixed arguments, or ``ALL`` alone."""

    name: str
    commands: Tuple[str, ...]  # noqa: UP006
    run_as: str = "root"
    nopasswd: bool = True
    noexec: bool = False


@dataclass(frozen=True)
class HostUser:
    """A LocalUser as it should be. ``uid`` and ``gid`` come from the project's counters and are never reused."""

    login: str
    uid: int
    gid: int
    comment: str
    groups: Tuple[str, ...] = ()  # noqa: UP006
    sudo: Tuple[SudoRule, ...] = ()  # noqa: UP006
    shell: str = "/bin/bash"


@dataclass(frozen=True)
class HostGroup:
    name: str
    gid: int


@dataclass(frozen=True)
class HostState:
    """All that a host should hold; ``generation`` only grows.

    ``authorities`` and ``break_glass`` are public keys trusted to sign user certificates (two during a rotation).
    """

    generation: int
    server_id: str
    project: str
    users: Tuple[HostUser, ...]  # noqa: UP006
    groups: Tuple[HostGroup, ...]  # noqa: UP006
    authorities: Tuple[str, ...]  # noqa: UP006
    break_glass: Tuple[str, ...]  # noqa: UP006
    host_certificate: str
    poll_seconds: int


@dataclass(frozen=True)
class Login:
    """One certificate met by the host's session hook. ``serial`` is decimal text (63 bits do not fit every JSON reader)."""

    serial: str
    login: str
    time: float
    source: str
    outcome: str  # accepted, replayed, refused


@dataclass(frozen=True)
class HostReport:
    """What a host says of itself; ``trusted`` are SHA256 fingerprints of the authorities that its sshd trusts now."""

    generation: int
    trusted: Tuple[str, ...]  # noqa: UP006
    time: float
    logins: Tuple[Login, ...] = ()  # noqa: UP006
    problems: Tuple[str, ...] = ()  # noqa: UP006
