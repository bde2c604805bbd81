"""Between an administrator, or ``ostiary apply``, and the control plane.

    GET    /v1/projects                              -> Projects
    POST   /v1/projects              NewProject      -> Project
    GET    /v1/projects/NAME                         -> Project
    PUT    /v1/projects/NAME         ProjectWanted   -> Project    rules, settings, owners; 412 if ``generation`` moved
    DELETE /v1/projects/NAME                         -> 204        409 while servers are enrolled
    POST   /v1/projects/NAME/authorities  Rotation   -> Project    begin, or finish, the rotation of an authority
    GET    /v1/projects/NAME/tokens                  -> Tokens
    POST   /v1/projects/NAME/tokens  NewToken        -> MadeToken
    DELETE /v1/projects/NAME/tokens/ID               -> 204
    GET    /v1/projects/NAME/preauthorizations?after=MORE&good=1  -> Preauthorizations  at most 1,000; good=1: of now alone
    POST   /v1/projects/NAME/preauthorizations  NewPreauthorization -> Preauthorization
    DELETE /v1/projects/NAME/preauthorizations/ID    -> 204
    GET    /v1/projects/NAME/servers                 -> ServersHeld
    POST   /v1/servers/ID/retire                     -> 204
    POST   /v1/servers/ID/release                    -> 204        out of quarantine
    GET    /v1/projects/NAME/audit?after=N           -> AuditRows  at most 1,000, in order
    GET    /v1/projects/NAME/checkpoints             -> Checkpoints
    POST   /v1/projects/NAME/slips   Slip            -> 204        what break-glass did, into the audit
    GET    /v1/devices                               -> Devices    own; of everybody for an administrator
    DELETE /v1/devices/ID                            -> 204
    GET    /v1/status                                -> Status

Who may: members of the Okta group that ``ostiary serve --admin-group`` names, and in a project its owners.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Tuple  # noqa: UP035 - as host.py

from ostiary.doors.servers.wire.host import SudoRule


@dataclass(frozen=True)
class Label:
    key: str
    value: str


@dataclass(frozen=True)
class Rule:
    """One entitlement: ``model.server_access.Rule`` on the wire. ``until`` 0 for no end; ``subject`` may be ``machine:NAME``."""

    subject: str
    login: bool = False
    admin: bool = False
    sudo: Tuple[SudoRule, ...] = ()  # noqa: UP006
    forward: Tuple[str, ...] = ()  # noqa: UP006
    sftp_only: bool = False
    agent_forwarding: bool = False
    x11: bool = False
    max_session: int = 0
    servers: Tuple[Label, ...] = ()  # noqa: UP006
    until: float = 0.0
    source_address: Tuple[str, ...] = ()  # noqa: UP006 - networks that certificates by this rule are good from
    force_command: str = ""


@dataclass(frozen=True)
class Machine:
    """A machine principal. ``kind`` as in MachineSignIn; ``issuer``, ``audience`` and ``claims`` for oidc and private-key-jwt

    (``public_keys`` is a JWK set as JSON for the latter), ``arn`` of the role for aws. ``rate`` is certificates an hour.
    """

    name: str
    kind: str
    owner: str  # Okta login of who answers for it
    until: float
    issuer: str = ""
    audience: str = ""
    claims: Tuple[Label, ...] = ()  # noqa: UP006 - exactly equal, all of them
    public_keys: str = ""
    arn: str = ""
    rate: int = 1000


@dataclass(frozen=True)
class Settings:
    """What holds for a whole project. ``max_age`` seconds since the sign-in, 0 for no bound; ``accounts`` are AWS accounts

    whose instances may enrol by identity, each ``ACCOUNT`` or ``ACCOUNT/REGION``. ``preauthorization``: none or required.
    """

    acr_values: str = ""
    max_age: int = 0
    other_ways: str = "report"
    accounts: Tuple[str, ...] = ()  # noqa: UP006
    owners: Tuple[str, ...] = ()  # noqa: UP006 - Okta groups
    preauthorization: str = "none"


@dataclass(frozen=True)
class NewProject:
    """``kms_key`` is the ARN of the key that its user authority signs with; "" for a key of the control plane's own."""

    name: str
    uid_start: int
    gid_start: int
    kms_key: str = ""
    estate: str = ""  # ownership mark


@dataclass(frozen=True)
class Authority:
    """``use``: user, host, x509 or break-glass; ``state``: trusted, signing or retired."""

    id: str
    use: str
    state: str
    public_key: str
    kms_key: str
    created: float


@dataclass(frozen=True)
class Project:
    id: str
    name: str
    uid_start: int
    gid_start: int
    uid_next: int
    gid_next: int
    generation: int
    estate: str
    settings: Settings
    rules: Tuple[Rule, ...]  # noqa: UP006
    machines: Tuple[Machine, ...]  # noqa: UP006
    authorities: Tuple[Authority, ...]  # noqa: UP006
    warnings: Tuple[str, ...] = ()  # noqa: UP006


@dataclass(frozen=True)
class Projects:
    projects: Tuple[Project, ...]  # noqa: UP006


@dataclass(frozen=True)
class ProjectWanted:
    """The whole of what can be set. ``generation`` is the one that was read, so that nothing is overwritten unseen.

    ``estate`` is the ownership mark that the project is to bear from now on, "" for none (released).
    """

    generation: int
    settings: Settings
    rules: Tuple[Rule, ...]  # noqa: UP006
    machines: Tuple[Machine, ...] = ()  # noqa: UP006
    estate: str = ""


@dataclass(frozen=True)
class Rotation:
    """``step``: begin (a second key is trusted), sign (the new one signs), finish (the old one is retired).

    Of use break-glass only ``public_key`` comes here, in authorized_keys form: begin trusts it, finish retires every
    other; nothing here signs with it.
    """

    use: str
    step: str
    kms_key: str = ""
    public_key: str = ""


MOST_USES = 10_000  # of one enrollment token
LONGEST_TOKEN = 30 * 86400.0  # seconds


@dataclass(frozen=True)
class NewToken:
    uses: int
    seconds: float


@dataclass(frozen=True)
class MadeToken:
    """The only time that ``token`` is seen."""

    id: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class Token:
    id: str
    uses_left: int
    expires: float
    revoked: bool
    created: float


@dataclass(frozen=True)
class Tokens:
    tokens: Tuple[Token, ...]  # noqa: UP006


LONGEST_PREAUTHORIZATION = 7 * 86400.0  # seconds
MOST_REASON = 200  # characters


@dataclass(frozen=True)
class NewPreauthorization:
    """``person`` is a login of Okta in whatever case, ``server`` a name or id, "" for every server of the project."""

    person: str
    seconds: float
    reason: str
    server: str = ""


@dataclass(frozen=True)
class Preauthorization:
    """``state``: good, ended or revoked. ``person`` is the login that they have now.

    ``server`` is the name of ``server_id``, both "" for every server; ``warnings`` are of the one that was just made.
    """

    id: str
    person: str
    server_id: str
    server: str
    until: float
    reason: str
    by: str
    created: float
    state: str
    warnings: Tuple[str, ...] = ()  # noqa: UP006


@dataclass(frozen=True)
class Preauthorizations:
    """The newest last. ``more`` is what to ask for those behind these with, "" where these are all."""

    preauthorizations: Tuple[Preauthorization, ...]  # noqa: UP006
    more: str = ""


CLOCK_FAR = 5.0  # seconds of a host's clock offset that are worth a word


@dataclass(frozen=True)
class ServerHeld:
    """A server as administrators see it. ``clock_offset`` in seconds, ``applied`` the generation that it says it has."""

    id: str
    name: str
    address: str
    port: int
    bastion: str
    state: str
    labels: Tuple[Label, ...]  # noqa: UP006
    enrolled: float
    last_seen: float
    clock_offset: float
    applied: int
    trusted: Tuple[str, ...]  # noqa: UP006
    problems: Tuple[str, ...]  # noqa: UP006
    other_ways: Tuple[str, ...]  # noqa: UP006

    @property
    def clock_problem(self) -> str:
        """What is to be said of its clock, "" for nothing."""
        return (
            f"its clock is {self.clock_offset:+.0f} s off"
            if abs(self.clock_offset) > CLOCK_FAR
            else ""
        )


@dataclass(frozen=True)
class ServersHeld:
    servers: Tuple[ServerHeld, ...]  # noqa: UP006


@dataclass(frozen=True)
class AuditRow:
    project_id: str
    number: int
    time: str
    event: str
    body: str
    hash: str


@dataclass(frozen=True)
class AuditRows:
    rows: Tuple[AuditRow, ...]  # noqa: UP006


CHECKPOINT_NAMESPACE = "ostiary-checkpoint@v1"


@dataclass(frozen=True)
class Checkpoint:
    """``signature`` is SSHSIG (base64; ``ssh-keygen -Y verify -n ostiary-checkpoint@v1`` wants its armor around it)

    by the project's host authority over ``project LF number LF hash LF time LF``.
    """

    project_id: str
    number: int
    hash: str
    time: str
    public_key: str
    signature: str


@dataclass(frozen=True)
class Checkpoints:
    checkpoints: Tuple[Checkpoint, ...]  # noqa: UP006


@dataclass(frozen=True)
class Slip:
    """What was signed by break-glass: the certificates in authorized_keys form, and why, as each of them says too."""

    reason: str
    certificates: Tuple[str, ...]  # noqa: UP006


@dataclass(frozen=True)
class Device:
    id: str
    person: str
    name: str
    state: str  # active, revoked
    first_seen: float
    last_seen: float


@dataclass(frozen=True)
class Devices:
    devices: Tuple[Device, ...]  # noqa: UP006


@dataclass(frozen=True)
class Status:
    """``okta_read`` is when the org's System Log was last read to its end, ``okta_interval`` seconds between readings."""

    version: str
    database: str
    okta_read: float
    okta_interval: float
    problems: Tuple[str, ...] = ()  # noqa: UP006
