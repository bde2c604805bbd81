"""Enrolling: by a token that is used up, or by the identity that the cloud vouches for. Fails closed: nothing is kept then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ostiary.doors.servers.agent import facts, identity
from ostiary.doors.servers.agent.control import Control
from ostiary.doors.servers.agent.files import HostError, Paths, folder, write
from ostiary.doors.servers.agent.identity import Identity
from ostiary.doors.servers.agent.run import run
from ostiary.doors.servers.wire.host import CloudIdentity, Enroll, Enrolled
from ostiary.doors.servers.wire.message import InvalidMessage, decode, encode

FARTHEST_CLOCK = 60.0  # seconds: farther off, good certificates would be refused or old ones taken
HTTPS = 443


@dataclass(frozen=True)
class Wanted:
    """What the administrator said. ``token`` is "" where ``cloud`` proves the host."""

    url: str
    token: str = field(default="", repr=False)
    name: str = ""
    address: str = ""
    port: int = 22
    bastion: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    ca_file: str = ""
    break_glass_account: str = ""
    cloud: CloudIdentity = field(default_factory=CloudIdentity)


def enroll(wanted: Wanted, paths: Paths, say: Callable[[str], None]) -> Identity:
    """``say`` hears what will not work yet. HostError if this host is enrolled already, its clock is off, or the control plane refuses."""
    if paths.identity.exists():
        there = identity.read(paths)
        raise HostError(
            "cannot enroll this host",
            why=f"it is enrolled already, as {there.name} ({there.server_id}) in {there.project}",
            fix="leave it so; only to enroll it anew, run first: ostiary agent remove",
        )
    if not paths.host_key.exists():
        run("ssh-keygen", "-A")
    asked = _asked(wanted, paths)
    control = Control(wanted.url, paths, wanted.ca_file, asked.name)
    check_clock(control)
    kept = _keep_authority(wanted.ca_file, paths)  # before a token is used up: the disk may be full
    try:
        answer = control.call("POST", "/v1/hosts/enroll", encode(asked))
        enrolled = decode(Enrolled, answer.body)
    except InvalidMessage as error:
        raise HostError("the control plane's answer cannot be read", why=str(error)) from error
    except HostError:
        identity.authority(paths).unlink(missing_ok=True)
        raise
    made = Identity(
        enrolled.server_id,
        enrolled.project,
        wanted.url,
        asked.name,
        kept,
        wanted.break_glass_account,
    )
    identity.keep(paths, made)
    if enrolled.warning:
        say(f"warning: {enrolled.warning}")
    return made


def check_clock(control: Control) -> None:
    offset = control.offset()
    if abs(offset) > FARTHEST_CLOCK:
        raise HostError(
            "cannot trust this host's clock",
            why=f"it is {offset:+.0f} s off the control plane's, more than {FARTHEST_CLOCK:.0f} s",
            fix="run: timedatectl set-ntp true",
        )


def _asked(wanted: Wanted, paths: Paths) -> Enroll:
    url = urlsplit(wanted.url)
    return Enroll(
        token=wanted.token,
        name=wanted.name or facts.name(),
        address=wanted.address or facts.address(url.hostname or "", url.port or HTTPS),
        port=wanted.port,
        host_key=identity.host_key(paths),
        facts=facts.facts(),
        labels=dict(wanted.labels),
        bastion=wanted.bastion,
        machine=facts.machine(),
        cloud=wanted.cloud,
    )


def _keep_authority(ca_file: str, paths: Paths) -> str:
    folder(paths.var, 0o700)
    kept = identity.authority(paths)
    write(kept, Path(ca_file).read_text() if ca_file else "# the system's\n")
    return str(kept) if ca_file else ""
