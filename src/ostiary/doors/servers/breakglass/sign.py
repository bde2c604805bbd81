"""Breaking the glass: shares joined in memory, one certificate for a fresh key, the slip durable before either is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ostiary.doors.servers.breakglass import certificate, slips
from ostiary.doors.servers.breakglass.certificate import Wanted
from ostiary.doors.servers.breakglass.shares import Share, join, parse
from ostiary.doors.servers.wire.admin import Slip
from ostiary.errors import UsageError
from ostiary.pki import ssh_certificate, ssh_key
from ostiary.pki.ssh_certificate import Certificate


@dataclass(frozen=True, slots=True)
class Signed:
    """A key that is nowhere but here, and its certificate. ``slips_file`` has the slip."""

    certificate: Certificate
    slips_file: Path
    key: Ed25519PrivateKey = field(repr=False)

    def as_json(self) -> dict[str, object]:
        made = self.certificate
        return {
            "serial": str(made.serial),
            "principal": made.principals[0],
            "valid_before": made.valid_before,
            "certificate": ssh_certificate.to_text(made),
            "slip": str(self.slips_file),
        }


def sign(shares: Sequence[Share], wanted: Wanted, slips_file: Path, now: int) -> Signed:
    """UsageError for shares or wishes that are no good, OstiaryError when the slip cannot be written: nothing is signed then."""
    key = Ed25519PrivateKey.generate()
    made = certificate.make(wanted, ssh_key.of(key.public_key()), join(shares), now)
    slips.append(slips_file, Slip(wanted.reason, (ssh_certificate.to_text(made),)))
    return Signed(made, slips_file, key)


def read_shares(files: Sequence[Path]) -> tuple[Share, ...]:
    """UsageError for a file that cannot be read or holds no share."""
    shares = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = str(getattr(error, "strerror", None) or "it is no text").lower()
            fix = "name the file of each share with --share FILE"
            raise UsageError(f"cannot read the share {file}", why=why, fix=fix) from error
        shares.append(parse(text, str(file)))
    return tuple(shares)
