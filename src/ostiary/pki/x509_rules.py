"""What an X.509 authority of ours may put into a client certificate."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ostiary.errors import OstiaryError
from ostiary.pki.ssh_key import Public
from ostiary.pki.ssh_signature import CURVE_HASHES

LONGEST_CLIENT = dt.timedelta(seconds=180)  # skew included
SMALLEST_RSA, SMALLEST_EXPONENT = 2048, 65537
MOST_SERIAL = (1 << 159) - 1  # 20 octets, the first bit clear: RFC 5280, 4.1.2.2
_LONGEST_NAME = 64  # characters of a common name: RFC 5280, appendix A.1
_UPN = re.compile(r"[A-Za-z0-9._'!#^~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*", re.ASCII)
_SID = re.compile(r"S-1-[0-9]{1,15}(-[0-9]{1,10}){1,15}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Client:
    """Who: ``common_name``; for a domain also ``upn`` (``ada@corp.example``) and ``sid`` (``S-1-5-21-…``), both or neither."""

    common_name: str
    upn: str = ""
    sid: str = ""


def refused(why: str) -> OstiaryError:
    return OstiaryError("cannot make this X.509 certificate", why=why)


def check_client(client: Client) -> None:
    """A domain that enforces strong mapping lets nobody in by a UPN without the SID, so one needs the other."""
    name = client.common_name
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise refused("its common name is empty, too long or not printable")
    if bool(client.upn) != bool(client.sid):
        raise refused("a UPN and a SID go together")
    if client.upn and not _UPN.fullmatch(client.upn):
        raise refused(f"{client.upn[:80]!r} is no user principal name")
    if client.sid and not _SID.fullmatch(client.sid):
        raise refused(f"{client.sid[:80]!r} is no security identifier")


def certifiable(key: object) -> Public:
    """The key, when it is of a kind and size that is certified."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVE_HASHES:
        return key
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < SMALLEST_RSA:
            raise refused(f"an RSA key of {key.key_size} bits; {SMALLEST_RSA} are asked")
        if key.public_numbers().e < SMALLEST_EXPONENT:
            raise refused(f"an RSA key whose exponent is less than {SMALLEST_EXPONENT}")
        return key
    raise refused("its key is of no kind that is certified")


def check_subject(key: Public, *, domain: bool) -> None:
    """Samba's domain controllers refuse certificates of elliptic keys (4.17, seen), so a domain gets RSA."""
    if not isinstance(certifiable(key), rsa.RSAPublicKey) and domain:
        raise refused("smart-card logon is certified for RSA keys only")


def check_window(serial: int, start: dt.datetime, end: dt.datetime) -> None:
    if not 1 <= serial <= MOST_SERIAL:
        raise refused(f"serial {serial} is not of 1 to 159 bits")
    if start.tzinfo is None or end.tzinfo is None:
        raise refused("its times say no zone")
    if not dt.timedelta(0) < end - start <= LONGEST_CLIENT:
        why = f"it is good for {(end - start).total_seconds():.0f} s"
        raise refused(f"{why}; 1 to {LONGEST_CLIENT.total_seconds():.0f} are asked")
