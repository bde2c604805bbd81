"""What break-glass signs: one login on one server, for minutes, with the reason in the certificate itself.

The certificate says of itself that it is break-glass: sshd logs its key id, the agent ships its serial, and the slip that
is submitted later must repeat the reason that stands in it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from ostiary.errors import UsageError
from ostiary.pki import ssh_certificate, ssh_option
from ostiary.pki.judgement import Request, first_refusal
from ostiary.pki.option_validators import CriticalOptions, Extensions
from ostiary.pki.signer import Signer
from ostiary.pki.ssh_certificate import USER, Certificate
from ostiary.pki.ssh_key import PublicKey
from ostiary.pki.ssh_option import FORCE_COMMAND, SOURCE_ADDRESS, flag, valued
from ostiary.pki.validators import KeyId, Kind, OnePrincipal, Serial, SubjectKey, Window

BREAK_GLASS = "break-glass"
DOMAIN = "ostiary"
REASON, PURPOSE = f"reason@{DOMAIN}", f"purpose@{DOMAIN}"
SKEW = 60  # seconds in the past, for hosts whose clocks are behind
SECONDS, MOST_SECONDS = 600, 3600
LONGEST_REASON = 200  # characters
_JUDGES = (
    Kind(USER),
    SubjectKey(),
    OnePrincipal(reserved=frozenset()),  # root too: the host says by --break-glass-account who
    Window(MOST_SECONDS + SKEW, SKEW),
    Serial(),
    KeyId(),
    CriticalOptions(),
    Extensions(domains=frozenset({DOMAIN})),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One way in. ``hop`` is to pass through the server only, as a bastion; ``seconds`` from now."""

    login: str
    server_id: str
    reason: str
    seconds: int = SECONDS
    hop: bool = False
    source_address: Sequence[str] = ()
    command: str = ""


def make(wanted: Wanted, key: PublicKey, signer: Signer, now: int) -> Certificate:
    """Signed and verified. UsageError for what may not be signed."""
    if not wanted.reason or len(wanted.reason) > LONGEST_REASON or not wanted.reason.isprintable():
        why = f"the reason is not one line of 1 to {LONGEST_REASON} characters"
        raise _refused(wanted, why, 'say it in one line: --reason "ticket 4711"')
    if not 1 <= wanted.seconds <= MOST_SECONDS:
        why = f"{wanted.seconds} s are not 1 to {MOST_SECONDS}"
        raise _refused(wanted, why, f"run it with --seconds {SECONDS}")
    scope = f"{wanted.server_id}.hop" if wanted.hop else wanted.server_id
    serial = secrets.randbits(63) or 1
    critical = [
        valued(name, value)
        for name, value in (
            (SOURCE_ADDRESS, ",".join(wanted.source_address)),
            (FORCE_COMMAND, wanted.command),
        )
        if value
    ]
    permit = "permit-port-forwarding" if wanted.hop else "permit-pty"
    unsigned = Certificate(
        key=key,
        key_id=f"{BREAK_GLASS} {serial}: {wanted.reason}",
        principals=(f"{wanted.login}@{scope}",),
        serial=serial,
        valid_after=now - SKEW,
        valid_before=now + wanted.seconds,
        critical_options=ssh_option.ordered(critical),
        extensions=ssh_option.ordered(
            (flag(permit), valued(PURPOSE, BREAK_GLASS), valued(REASON, wanted.reason))
        ),
    )
    if refusal := first_refusal(_JUDGES, Request(unsigned, scope, now)):
        fix = "give one account, as the server names it: --login NAME"
        more = "see what each option takes: ostiary servers breakglass sign --help"
        raise _refused(wanted, refusal.why, fix if refusal.code == "principals" else more)
    return ssh_certificate.sign(unsigned, signer)


def reason_of(certificate: Certificate) -> str:
    """The reason that stands in a certificate of break-glass, "" where none does."""
    said = dict(certificate.extensions)
    if PURPOSE not in said or REASON not in said:
        return ""
    if ssh_option.readable((PURPOSE, said[PURPOSE])) != BREAK_GLASS:
        return ""
    return ssh_option.readable((REASON, said[REASON])) or ""


def _refused(wanted: Wanted, why: str, fix: str = "") -> UsageError:
    return UsageError(
        f"cannot sign for {wanted.login[:40]}@{wanted.server_id[:64]}",
        why=why,
        fix=fix,
        code="bad-request",
    )
