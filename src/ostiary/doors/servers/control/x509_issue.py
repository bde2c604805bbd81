"""X.509 client certificates of a project: for TLS to what guards a Windows host, by an authority of their own.

As with SSH: one person, one server, three minutes. Its common name is ``LOGIN@SERVER_ID``. Names of a domain (UPN, SID) are not
known here, so such a certificate is for TLS clients only; ``ostiary.pki.x509_certificate`` makes those for a domain too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ostiary.doors.servers.control import authorities
from ostiary.doors.servers.control.authorities import Authority
from ostiary.doors.servers.control.certificate_made import BEFORE, LIFE, Noted, Wanted
from ostiary.doors.servers.control.far_signer import UNAVAILABLE
from ostiary.doors.servers.control.secret import new_serial
from ostiary.doors.servers.control.view import View
from ostiary.errors import Conflict, Denied, NotFound, Throttled, Unreachable, UsageError
from ostiary.pki import ssh_key, x509_certificate
from ostiary.pki.signer import Private
from ostiary.pki.x509_authority import X509Authority
from ostiary.pki.x509_certificate import Asked
from ostiary.pki.x509_rules import Client, certifiable


def authority_of(view: View) -> Authority:
    """Who signs them in this project. NotFound ``no-authority`` where none was begun: not every project needs one."""
    try:
        return authorities.signing(view.authorities, authorities.X509)
    except NotFound as none:
        name = view.project.name
        raise NotFound(
            f"project {name} has no X.509 authority",
            why="none was begun, as for a project of ssh alone",
            fix="ask an owner of the project for:"
            f" ostiary servers project rotate {name} --use x509 --step begin",
            code=none.code,
        ) from none


def make(
    wanted: Wanted, authority: str, open_key: Callable[[], Private], now: int
) -> tuple[str, Noted]:
    """The certificate and its authority's, PEM, and what is to be noted of it. OstiaryError when our rules forbid it, Unreachable while KMS does not sign."""
    access = wanted.access
    if access.source_address or access.force_command or access.sftp_only:
        why = (
            "your rules bind you to a network, a command or files, and X.509 can hold no such bound"
        )
        fix = (
            f"run: ostiary ssh {wanted.server.name};"
            " or ask an owner of the project for login without a bound"
        )
        raise Denied("cannot issue such a certificate", why=why, fix=fix, code="not-entitled")
    serial = new_serial()
    start = dt.datetime.fromtimestamp(now - BEFORE, dt.UTC)
    name = f"{wanted.login}@{wanted.server.id}"
    end = start + dt.timedelta(seconds=LIFE)
    key = certifiable(ssh_key.loaded(wanted.key))
    asked = Asked(Client(name), key, serial, start, end)
    own = x509.load_pem_x509_certificate(authority.encode())
    if wanted.key.is_sk:
        why = "X.509 has no keys of FIDO authenticators"
        raise UsageError("cannot issue such a certificate", why=why, code="bad-key")
    try:
        made = x509_certificate.issue(X509Authority(own, open_key()), asked)
    except (Conflict, Denied, Throttled, Unreachable) as error:  # of a key in KMS
        what = "cannot sign with the X.509 authority now"
        raise Unreachable(what, why=error.why, fix=error.fix, code=UNAVAILABLE) from error
    before = now - BEFORE + LIFE
    told = {
        "serial": str(serial),
        "purpose": wanted.purpose,
        "principal": name,
        "key": wanted.key.fingerprint,
        "valid_after": now - BEFORE,
        "valid_before": before,
        "options": [],
        "behind": "",
    }
    text = made.public_bytes(Encoding.PEM).decode() + authority
    return text, Noted(serial, before, told)
