"""Which EC2 instance a host is, said twice by AWS: its signed identity document, and a session of its role of right now.

The document alone is no secret and never ends, so it only says which instance; that the caller is on it now is said by
GetCallerIdentity, presigned with the credentials of the instance's role, whose session is named after the instance. Both
are bound to one account and instance, the document to its region by the certificate that AWS publishes for it. Sources:
EC2 User Guide, "Verify the instance identity document", "IAM roles for Amazon EC2" (the session's name).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from cryptography import x509

from ostiary.doors.servers.control.aws_caller import MOST_AGE as CALLER_AGE
from ostiary.doors.servers.control.aws_caller import AwsCallers
from ostiary.doors.servers.control.signed_document import NotSigned, signed_by
from ostiary.doors.servers.wire.host import CloudIdentity
from ostiary.errors import Denied, OstiaryError, UsageError

MOST_AGE = (
    24 * 3600.0
)  # since the instance was started: later, somebody decides by giving it a token
SKEW = 60.0
MOST_BYTES = 16 * 1024
ALIVE = frozenset({"pending", "running"})
_ACCOUNT, _INSTANCE = re.compile(r"[0-9]{12}"), re.compile(r"i-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2}")

Certificates = Mapping[str, Sequence[x509.Certificate]]  # by region


class SeesInstances(Protocol):
    """Asks EC2 for the state of an instance: None where we have no access to its account or EC2 does not answer."""

    def state(self, account: str, region: str, instance: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Instance:
    """A proven instance. ``mark`` stands for the proof until ``until``: nobody uses it twice."""

    account: str
    region: str
    id: str
    role: str
    seen: str  # what EC2 said of its state, "" where it could not be asked
    mark: str = field(repr=False)
    until: float

    @property
    def key(self) -> str:
        """What ``servers.cloud`` keeps: an instance enrolls once."""
        return f"{self.account}/{self.id}"


class CloudIdentities:
    """Judges the identities of hosts. ``certificates`` are AWS's own for each region."""

    def __init__(
        self,
        certificates: Certificates,
        callers: AwsCallers,
        clock: Callable[[], float],
        sees: SeesInstances | None = None,
    ) -> None:
        self._certificates = certificates
        self._callers = callers
        self._clock = clock
        self._sees = sees

    def check(self, cloud: CloudIdentity) -> Instance:
        """Denied with the reason; Unreachable when STS does not answer."""
        told = _told(cloud.document)
        account, region, instance = (told[name] for name in ("accountId", "region", "instanceId"))
        self._check_signature(region, cloud)
        self._check_age(told["pendingTime"])
        presigned = self._callers.checked(cloud.caller, self._clock())
        caller = self._callers.ask(presigned)
        if caller.account != account:
            raise _refused(f"the document is of account {account}, the role of {caller.account}")
        if caller.session != instance:
            raise _refused(f"the document is of {instance}, the role's session of {caller.session}")
        state = self._sees.state(account, region, instance) if self._sees else None
        if state is not None and state not in ALIVE:
            raise _refused(f"EC2 says that {instance} is {state or 'unknown'}")
        until = presigned.signed + 2 * CALLER_AGE
        mark = presigned.signature
        return Instance(account, region, instance, caller.role, state or "", mark, until)

    def _check_signature(self, region: str, cloud: CloudIdentity) -> None:
        now = datetime.fromtimestamp(self._clock(), UTC)
        held = [
            one
            for one in self._certificates.get(region, ())
            if one.not_valid_before_utc <= now <= one.not_valid_after_utc
        ]
        if not held:
            raise _refused(f"we have no certificate of AWS for region {region}")
        try:
            signed_by(cloud.document.encode(), cloud.signature, held)
        except NotSigned as error:
            raise _refused(f"its signature is not that of region {region}: {error}") from error

    def _check_age(self, pending: str) -> None:
        try:
            started = datetime.strptime(pending, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError as error:
            raise _refused("the document does not say when the instance was started") from error
        age = self._clock() - started.timestamp()
        if age < -SKEW:
            raise _refused("the instance was started in the future")
        if age > MOST_AGE:
            raise _refused(
                f"the instance was started {age / 3600:.0f} h ago; {MOST_AGE / 3600:.0f} are allowed"
            )


def read_certificates(folder: Path) -> Certificates:
    """Those of ``REGION.pem`` in a folder. UsageError for a file that is none."""
    found: dict[str, Sequence[x509.Certificate]] = {}
    for path in sorted(folder.glob("*.pem")):
        if not _REGION.fullmatch(path.stem):
            continue
        try:
            found[path.stem] = x509.load_pem_x509_certificates(path.read_bytes())
        except (ValueError, OSError) as error:
            raise UsageError(
                f"cannot read the certificate of AWS for {path.stem}",
                why=f"{path}: {str(error)[:200]}",
                fix="copy it from the EC2 User Guide, or take the file away",
            ) from error
    if not found:
        raise UsageError(
            f"no certificate of AWS is in {folder}",
            why="they are files named REGION.pem",
            fix="copy the RSA-2048 certificates of your regions from the EC2 User Guide",
        )
    return found


def _told(document: str) -> Mapping[str, str]:
    """The members that count, each of the right form."""
    try:
        told = json.loads(document) if len(document) <= MOST_BYTES else None
    except (ValueError, RecursionError) as error:
        raise _refused("the document is no JSON") from error
    if not isinstance(told, dict):
        raise _refused("the document is no JSON object")
    forms = {"accountId": _ACCOUNT, "instanceId": _INSTANCE, "region": _REGION}
    for name, form in forms.items():
        if not isinstance(told.get(name), str) or not form.fullmatch(told[name]):
            raise _refused(f"the document has no {name}")
    if not isinstance(told.get("pendingTime"), str):
        raise _refused("the document does not say when the instance was started")
    return told


def _refused(why: str) -> Denied:
    return Denied(
        "cannot enroll this host by its cloud identity",
        why=why,
        fix="make a token with: ostiary servers token create --project PROJECT, and enroll with --token-file",
        code="bad-cloud-identity",
    )


def unavailable() -> OstiaryError:
    return _refused(
        "this control plane has no certificates of AWS: start it with --aws-certificates"
    )
