"""Public keys of SSH: every type that OpenSSH accepts for people, hosts and authorities, but DSA.

Sources: RFC 4253 section 6.6 (ssh-rsa), RFC 5656 section 3.1 (ECDSA), RFC 8709 (Ed25519), OpenSSH PROTOCOL.u2f (sk-), ``ssh_composite.py``.
A certificate is never a key here, so no certificate can become an authority or a subject.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ostiary.pki import ssh_composite
from ostiary.pki.ssh_composite import CompositePublicKey
from ostiary.pki.ssh_wire import Reader, encoded, mpint, string, unreadable

SK_ED25519 = "sk-ssh-ed25519@openssh.com"
SK_ECDSA = "sk-ecdsa-sha2-nistp256@openssh.com"
CERTIFICATE_TYPES = {
    "ssh-ed25519": "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256": "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384": "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521": "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "ssh-rsa": "ssh-rsa-cert-v01@openssh.com",
    SK_ED25519: "sk-ssh-ed25519-cert-v01@openssh.com",
    SK_ECDSA: "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    ssh_composite.TYPE: ssh_composite.CERTIFICATE_TYPE,
}
KEY_TYPES = {certificate: key for key, certificate in CERTIFICATE_TYPES.items()}
CURVES: dict[str, ec.EllipticCurve] = {
    "nistp256": ec.SECP256R1(),
    "nistp384": ec.SECP384R1(),
    "nistp521": ec.SECP521R1(),
}
SMALLEST_RSA, LARGEST_RSA = 1024, 16384  # bits: OpenSSH's own bounds
LARGEST_EXPONENT = (1 << 64) - 1
_ENDS = re.compile("[\r\n\0]")
UNKNOWN_TYPE = "unknown or unsupported key type"

Public: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
Loaded: TypeAlias = Public | CompositePublicKey


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that was checked when it was read. ``body`` is what follows the type, as certificates repeat it."""

    type: str
    body: bytes

    @property
    def blob(self) -> bytes:
        return string(self.type.encode()) + self.body

    @property
    def is_sk(self) -> bool:
        """Whether the private half is in a FIDO authenticator."""
        return self.type.startswith("sk-")

    @property
    def bits(self) -> int:
        key = loaded(self)
        if isinstance(key, ed25519.Ed25519PublicKey | CompositePublicKey):
            return ssh_composite.BITS
        return key.key_size

    @property
    def application(self) -> str:
        """What a FIDO key was made for (``ssh:``); empty for other keys."""
        if not self.is_sk:
            return ""
        reader = Reader(self.body)
        reader.string()
        if self.type == SK_ECDSA:
            reader.string()
        return reader.text()

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` prints it: ``SHA256:…``."""
        digest = hashlib.sha256(self.blob).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    def text(self, comment: str = "") -> str:
        """One line as in ``authorized_keys``, without line end."""
        return line(self.type, self.blob, comment)


def line(kind: str, blob: bytes, comment: str) -> str:
    """``TYPE BASE64 COMMENT``."""
    return " ".join(filter(None, (kind, base64.b64encode(blob).decode(), comment)))


def parse(source: bytes | str) -> PublicKey:
    """A blob (bytes), or ``TYPE BASE64 [COMMENT]`` (str, no options before it). Raises OstiaryError."""
    if isinstance(source, str):
        kind, blob, _ = split_line(source)
    else:
        kind, blob = "", source
    reader = Reader(blob)
    found = reader.text()
    if kind not in ("", found):
        raise unreadable(f"the line says {kind}, the key says {found}", "key type does not match")
    key = read_body(found, reader)
    reader.end()
    return key


def of(public: object) -> PublicKey:
    """The key that ``cryptography`` holds. Raises OstiaryError for kinds that SSH does not know."""
    if isinstance(public, ed25519.Ed25519PublicKey):
        return PublicKey("ssh-ed25519", string(public.public_bytes_raw()))
    if isinstance(public, CompositePublicKey):
        return PublicKey(ssh_composite.TYPE, string(public.raw))
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        key = PublicKey("ssh-rsa", mpint(numbers.e) + mpint(numbers.n))
        loaded(key)
        return key
    if isinstance(public, ec.EllipticCurvePublicKey):
        for name, curve in CURVES.items():
            if public.curve.name == curve.name:
                point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
                body = string(name.encode()) + string(point)
                return PublicKey(f"ecdsa-sha2-{name}", body)
    raise unreadable("SSH has no such kind of key", UNKNOWN_TYPE)


def split_line(text: str) -> tuple[str, bytes, str]:
    """Type, blob and comment of ``TYPE BASE64 [COMMENT]``."""
    inner = text.strip("\r\n")
    parts = inner.lstrip(" \t").split(None, 1)
    rest = parts[1].split(None, 1) if len(parts) > 1 else []
    if not rest or _ENDS.search(inner):
        raise unreadable("it is not one line of type and base64")
    try:
        blob = base64.b64decode(rest[0], validate=True)
    except (binascii.Error, ValueError) as error:
        raise unreadable("its base64 is broken") from error
    if base64.b64encode(blob).decode() != rest[0]:
        raise unreadable("its base64 is not in the one correct form")
    return parts[0], blob, rest[1] if len(rest) > 1 else ""


def read_body(kind: str, reader: Reader) -> PublicKey:
    """The key of a type whose body comes next. Raises OstiaryError, also for points off the curve."""
    if kind in KEY_TYPES:
        raise unreadable(
            "a certificate stands where a key must be", "invalid certificate signing key"
        )
    if kind not in CERTIFICATE_TYPES:
        raise unreadable(f"its type is {kind[:60]!r}", UNKNOWN_TYPE)
    key = PublicKey(kind, _body(kind, reader))
    loaded(key)
    return key


def _body(kind: str, reader: Reader) -> bytes:
    if kind == "ssh-rsa":
        return mpint(reader.mpint()) + mpint(reader.mpint())
    if kind in ("ssh-ed25519", ssh_composite.TYPE):
        return string(reader.string())
    if kind == SK_ED25519:
        return string(reader.string()) + string(encoded(reader.text()))
    body = string(reader.string()) + string(reader.string())
    return body + string(encoded(reader.text())) if kind == SK_ECDSA else body


@lru_cache(maxsize=256)
def loaded(key: PublicKey) -> Loaded:
    """The key for ``cryptography``. Raises OstiaryError when the numbers make no key."""
    reader = Reader(key.body)
    try:
        if key.type == ssh_composite.TYPE:
            return CompositePublicKey.of(reader.string())
        if "ed25519" in key.type:
            return ed25519.Ed25519PublicKey.from_public_bytes(reader.string())
        if key.type == "ssh-rsa":
            return _rsa(reader.mpint(), reader.mpint())
        return _ecdsa(key.type, reader)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise unreadable(f"its numbers make no key: {error}") from error


def _rsa(exponent: int, modulus: int) -> rsa.RSAPublicKey:
    if not SMALLEST_RSA <= modulus.bit_length() <= LARGEST_RSA:
        raise unreadable(f"its modulus has {modulus.bit_length()} bits", "Invalid key length")
    if exponent > LARGEST_EXPONENT:
        raise unreadable("its exponent has more than 64 bits")
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _ecdsa(kind: str, reader: Reader) -> ec.EllipticCurvePublicKey:
    name = reader.text()
    if name not in CURVES or f"ecdsa-sha2-{name}" not in kind:
        raise unreadable(f"its curve is {name[:60]!r}", "elliptic curve does not match")
    point = reader.string()
    if point[:1] != b"\x04":
        raise unreadable("its point is not in the uncompressed form")
    return ec.EllipticCurvePublicKey.from_encoded_point(CURVES[name], point)
