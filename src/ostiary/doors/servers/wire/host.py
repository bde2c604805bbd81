"""Between agent and control plane.

    POST /v1/hosts/challenge               -> Challenge
    POST /v1/hosts/enroll    Enroll        -> Enrolled
    GET  /v1/hosts/state?generation=N&wait=S -> HostState, or 304 while N is current; held for up to S (25) seconds
    POST /v1/hosts/report    HostReport    -> 204
    POST /v1/hosts/retire                  -> 204, the host leaves by itself

Every call but the challenge is signed with the host's SSH key: header ``Ostiary-Host: SERVER_ID CHALLENGE SIGNATURE``
(``-`` as SERVER_ID to enrol), where SIGNATURE is the base64 body of ``ssh-keygen -Y sign -n ostiary-host@v1`` over
``METHOD LF path-with-query LF challenge LF sha256-hex-of-body``. A challenge is good once, for 120 s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Tuple  # noqa: UP035 - get_type_hints of Python 3.9 reads these

NAMESPACE = "ostiary-host@v1"
HEADER = "ostiary-host"
UNTOLD = "untold"  # outcome in Login: of how many logins nothing more is known
HOST_MARK = "host "  # before a fingerprint in HostReport.trusted


@dataclass(frozen=True)
class Challenge:
    challenge: str
    time: float  # of the control plane, seconds since the epoch


@dataclass(frozen=True)
class CloudIdentity:
    """Who an EC2 instance is, said twice by AWS: all empty where a host enrols by token.

    ``document`` is the identity document as IMDSv2 gives it, ``signature`` its RSA-2048 signature (PKCS #7, base64),
    ``caller`` the URL of a presigned GetCallerIdentity in the instance's role, bound to this control plane by the
    signed header ``x-ostiary-control``, whose value is its URL.
    """

    document: str = ""
    signature: str = ""
    caller: str = field(default="", repr=False)


@dataclass(frozen=True)
class Enroll:
    """``token`` is "" where ``cloud`` proves the host. ``host_key`` is the public host key in authorized_keys form; ``facts`` (os, arch, agent, machine_id…) are told, not trusted."""

    token: str = field(repr=False)
    name: str  # what people type; unique in the project
    address: str  # where clients, or the bastion, reach it
    port: int
    host_key: str
    facts: Dict[str, str]  # noqa: UP006
    labels: Dict[str, str]  # noqa: UP006
    bastion: str = ""  # name of the server through which this one is reached
    machine: str = ""  # as HostReport.machine
    cloud: CloudIdentity = CloudIdentity()


@dataclass(frozen=True)
class Enrolled:
    """``warning`` is for who enrols the host: what will not work yet, "" for nothing."""

    server_id: str
    project: str
    warning: str = ""


@dataclass(frozen=True)
class SudoRule:
    """One line of sudoers as a model. ``commands`` are absolute paths with fixed arguments, or ``ALL`` alone."""

    name: str
    commands: Tuple[str, ...]  # noqa: UP006
    run_as: str = "root"
    nopasswd: bool = True
    noexec: bool = False


@dataclass(frozen=True)
class Entry:
    """One way in of a LocalUser: a line of its principals file, and what a connection with that principal may do.

    ``principal`` is ``LOGIN@SERVER_ID`` for a shell and ``LOGIN@SERVER_ID.hop`` to pass through a bastion: no command,
    no terminal, forwarding to ``forward`` (``HOST:PORT``) only. With no ``forward`` nothing is forwarded.
    """

    principal: str
    hop: bool = False
    forward: Tuple[str, ...] = ()  # noqa: UP006
    agent_forwarding: bool = False
    x11: bool = False
    sftp_only: bool = False


@dataclass(frozen=True)
class HostUser:
    """A LocalUser as it should be. ``uid`` and ``gid`` come from the project's counters and are never reused.

    ``max_session`` seconds after it began the agent ends a session; 0 for no bound.
    """

    login: str
    uid: int
    gid: int
    comment: str
    groups: Tuple[str, ...] = ()  # noqa: UP006
    sudo: Tuple[SudoRule, ...] = ()  # noqa: UP006
    shell: str = "/bin/bash"
    entries: Tuple[Entry, ...] = ()  # noqa: UP006
    max_session: int = 0


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
    other_ways: str = "report"  # or close: what to do about keys and logins that are not ours


@dataclass(frozen=True)
class Login:
    """One certificate met by the host's session hook. ``serial`` is decimal text (63 bits do not fit every JSON reader).

    With the outcome UNTOLD it is no certificate: ``source`` says how many logins since ``time`` the host could not write
    down, ``serial`` and ``login`` are "".
    """

    serial: str
    login: str
    time: float
    source: str
    outcome: str  # accepted, replayed, refused, break-glass, untold


@dataclass(frozen=True)
class HostReport:
    """What a host says of itself; ``trusted`` are SHA256 fingerprints of the authorities that its sshd trusts now, and

    after HOST_MARK the fingerprint of the one that signed the host certificate that it shows.

    ``machine`` is a hash that a copy of the host's disk on another machine does not have (product UUID, instance id),
    ``boot`` the kernel's boot id, which never returns: by both a cloned identity shows. ``other_ways`` are further ways
    into the host, one line each.
    """

    generation: int
    trusted: Tuple[str, ...]  # noqa: UP006
    time: float
    logins: Tuple[Login, ...] = ()  # noqa: UP006
    problems: Tuple[str, ...] = ()  # noqa: UP006
    machine: str = ""
    boot: str = ""
    other_ways: Tuple[str, ...] = ()  # noqa: UP006
