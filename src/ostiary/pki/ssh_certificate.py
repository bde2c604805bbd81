"""SSH certificates: written, read and verified, byte for byte as OpenSSH does.

Source: OpenSSH PROTOCOL.certkeys. A certificate is its key's body between a nonce and its fields, and the authority's
signature over all of that. Everything that cannot be read or may not be signed raises OstiaryError; ``code`` is
OpenSSH's own text for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from ostiary.errors import OstiaryError
from ostiary.pki import ssh_key, ssh_option, ssh_signature
from ostiary.pki.signer import Signer
from ostiary.pki.ssh_key import PublicKey
from ostiary.pki.ssh_option import Options
from ostiary.pki.ssh_wire import Reader, encoded, string, u32, u64, unreadable

USER, HOST = 1, 2
ALWAYS, FOREVER = 0, (1 << 64) - 1
MOST_PRINCIPALS = 256
NONCE_BYTES = 32

Verifier: TypeAlias = Callable[[PublicKey, bytes, bytes], None]
"""Raises OstiaryError unless the second is a good signature of the key over the third: ``ssh_signature.verify``."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The fields of PROTOCOL.certkeys. Times in seconds since the epoch, good from ``valid_after`` until before ``valid_before``.

    Unsigned while ``signature`` is empty; then ``nonce`` and ``authority`` are set by ``sign``.
    """

    key: PublicKey
    key_id: str = ""
    principals: tuple[str, ...] = ()
    kind: int = USER
    serial: int = 0
    valid_after: int = ALWAYS
    valid_before: int = FOREVER
    critical_options: Options = ()
    extensions: Options = ()
    nonce: bytes = b""
    reserved: bytes = b""
    authority: PublicKey | None = None
    signature: bytes = b""

    @property
    def type(self) -> str:
        """The type as it stands before the base64: ``ssh-ed25519-cert-v01@openssh.com``."""
        return ssh_key.CERTIFICATE_TYPES[self.key.type]


def sign(
    unsigned: Certificate, signer: Signer, verifier: Verifier = ssh_signature.verify
) -> Certificate:
    """The certificate, signed; options are put in order, a nonce is drawn unless there is one.

    What leaves was verified by ``verifier`` against the public key of ``signer``.
    """
    prepared = prepare(unsigned, signer.public_key)
    return replace(prepared, signature=_signature(to_be_signed(prepared), signer, verifier))


def signed_text(
    prepared: Certificate, signer: Signer, verifier: Verifier = ssh_signature.verify
) -> str:
    """The line of ``to_text`` of what ``prepare`` gave for this ``signer``, signed and verified as ``sign`` does."""
    signed = to_be_signed(prepared)
    return ssh_key.line(prepared.type, signed + string(_signature(signed, signer, verifier)), "")


def _signature(signed: bytes, signer: Signer, verifier: Verifier) -> bytes:
    signature = signer.sign(signed)
    verifier(signer.public_key, signature, signed)
    return signature


def prepare(unsigned: Certificate, authority: PublicKey) -> Certificate:
    """What ``authority`` may sign. Raises OstiaryError for what no certificate can say."""
    _possible(unsigned)
    return Certificate(
        key=unsigned.key,
        key_id=unsigned.key_id,
        principals=unsigned.principals,
        kind=unsigned.kind,
        serial=unsigned.serial,
        valid_after=unsigned.valid_after,
        valid_before=unsigned.valid_before,
        critical_options=ssh_option.ordered(unsigned.critical_options),
        extensions=ssh_option.ordered(unsigned.extensions),
        nonce=unsigned.nonce or os.urandom(NONCE_BYTES),
        reserved=unsigned.reserved,
        authority=authority,
    )


def to_be_signed(certificate: Certificate) -> bytes:
    """The bytes that the authority signs."""
    authority = certificate.authority
    if authority is None:
        raise unreadable("it names no authority", "key lacks certificate data")
    return b"".join(
        (
            string(certificate.type.encode()),
            string(certificate.nonce),
            certificate.key.body,
            u64(certificate.serial),
            u32(certificate.kind),
            string(encoded(certificate.key_id)),
            string(b"".join([string(encoded(name)) for name in certificate.principals])),
            u64(certificate.valid_after),
            u64(certificate.valid_before),
            string(ssh_option.write(certificate.critical_options)),
            string(ssh_option.write(certificate.extensions)),
            string(certificate.reserved),
            string(authority.blob),
        )
    )


def encode(certificate: Certificate) -> bytes:
    """The blob, signature included."""
    return to_be_signed(certificate) + string(certificate.signature)


def to_text(certificate: Certificate, comment: str = "") -> str:
    """One line as in ``id-cert.pub``, without line end."""
    return ssh_key.line(certificate.type, encode(certificate), comment)


def verify(certificate: Certificate) -> None:
    """Raises OstiaryError unless the authority that it names signed it. Whether to trust that one is not judged here."""
    signed = to_be_signed(certificate)
    assert certificate.authority is not None
    ssh_signature.verify(certificate.authority, certificate.signature, signed)


def parse(source: bytes | str, *, lenient: bool = False) -> Certificate:
    """A blob (bytes) or a line of type and base64 (str). The signature is not judged: see ``verify``.

    ``lenient`` takes options in any order and repeated, as sshd does.
    """
    if isinstance(source, str):
        kind, blob, _ = ssh_key.split_line(source)
    else:
        kind, blob = "", source
    reader = Reader(blob)
    found = reader.text()
    if kind not in ("", found):
        raise unreadable(f"the line says {kind}, the blob says {found}", "key type does not match")
    if found not in ssh_key.KEY_TYPES:
        raise _no_certificate(found)
    nonce = reader.string()
    key = ssh_key.read_body(ssh_key.KEY_TYPES[found], reader)
    certificate = _read_fields(reader, key, nonce, lenient=lenient)
    reader.end()
    return certificate


def _read_fields(reader: Reader, key: PublicKey, nonce: bytes, *, lenient: bool) -> Certificate:
    serial, kind = reader.u64(), reader.u32()
    if kind not in (USER, HOST):
        raise unreadable(f"its kind is {kind}", "unknown/unsupported certificate type")
    return Certificate(
        key=key,
        key_id=reader.text(),
        principals=tuple(_principals(Reader(reader.string()))),
        kind=kind,
        serial=serial,
        valid_after=reader.u64(),
        valid_before=reader.u64(),
        critical_options=ssh_option.read(reader.string(), lenient=lenient),
        extensions=ssh_option.read(reader.string(), lenient=lenient),
        nonce=nonce,
        reserved=reader.string(),
        authority=ssh_key.parse(reader.string()),
        signature=reader.string(),
    )


def _principals(reader: Reader) -> Iterable[str]:
    number = 0
    while reader.more:
        if number == MOST_PRINCIPALS:
            raise unreadable(f"it has more than {MOST_PRINCIPALS} principals")
        yield reader.text()
        number += 1


def _no_certificate(kind: str) -> OstiaryError:
    if kind in ssh_key.CERTIFICATE_TYPES:
        code = "plain key provided where certificate required"
        return unreadable(f"it is a key of type {kind}", code)
    return unreadable(f"its type is {kind[:60]!r}", ssh_key.UNKNOWN_TYPE)


def _possible(unsigned: Certificate) -> None:
    """OpenSSH's own limits; what our authorities may sign is narrower: ``validators.py``."""
    why = ""
    texts = (unsigned.key_id, *unsigned.principals)
    options = (*unsigned.critical_options, *unsigned.extensions)
    if unsigned.kind not in (USER, HOST):
        why = f"kind {unsigned.kind} is neither user nor host"
    elif not all(
        0 <= each <= FOREVER
        for each in (unsigned.serial, unsigned.valid_after, unsigned.valid_before)
    ):
        why = "a number does not fit 64 bits"
    elif unsigned.valid_before <= unsigned.valid_after:
        why = "Empty certificate validity interval"
    elif len(unsigned.principals) > MOST_PRINCIPALS:
        why = "Too many certificate principals specified"
    elif "" in unsigned.principals:
        why = "Empty principal name"
    elif any("\0" in text for text in (*texts, *(name for name, _ in options))):
        why = "a text holds a NUL"
    if why:
        raise OstiaryError("cannot make this SSH certificate", why=why, code="invalid argument")
