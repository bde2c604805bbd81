"""``-L``: print certificates as ssh-keygen does."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ostiary import term
from ostiary.errors import OstiaryError
from ostiary.pki import ssh_composite, ssh_option, ssh_signature
from ostiary.pki.keygen import files, talk, validity
from ostiary.pki.ssh_certificate import HOST, Certificate
from ostiary.pki.ssh_key import SK_ECDSA, SK_ED25519, PublicKey
from ostiary.pki.ssh_option import Options

_INDENT = " " * 16
_TYPES = {
    "ssh-ed25519": "ED25519",
    "ssh-rsa": "RSA",
    SK_ED25519: "ED25519-SK",
    SK_ECDSA: "ECDSA-SK",
    ssh_composite.TYPE: "MLDSA44-ED25519",
}


def show(name: str, hash_name: str) -> bool:
    """Print every certificate of a file (``-``: standard input); whether there was one."""
    shown = False
    path = "(stdin)" if name == "-" else name
    for number, text in enumerate(_lines(name), 1):
        stripped = text.lstrip(" \t")
        if stripped.startswith("#"):
            continue
        try:
            found = files.read_line(stripped)
        except OstiaryError as error:
            talk.say(f"{path}:{number}: invalid key: {error.code}")
            continue
        if isinstance(found, PublicKey):
            talk.say(f"{path}:{number} is not a certificate")
            continue
        shown = True
        term.result(f"{path}:" if number == 1 and name != "-" else f"{path}:{number}:")
        term.result("\n".join(described(found, hash_name)), as_is=True)
    return shown


def described(certificate: Certificate, hash_name: str) -> Iterator[str]:
    """The lines that are printed of one certificate."""
    authority = certificate.authority
    assert authority is not None
    kind = "host" if certificate.kind == HOST else "user"
    used = ssh_signature.algorithm(certificate.signature)
    key = f"{short_type(certificate.key)}-CERT {fingerprint(certificate.key, hash_name)}"
    yield f"        Type: {certificate.type} {kind} certificate"
    yield f"        Public key: {key}"
    yield f"        Signing CA: {short_type(authority)} {fingerprint(authority, hash_name)} (using {used})"
    yield f'        Key ID: "{certificate.key_id}"'
    yield f"        Serial: {certificate.serial}"
    yield f"        Valid: {validity.words(certificate)}"
    yield f"        Principals: {'' if certificate.principals else '(none)'}"
    yield from (f"{_INDENT}{name}" for name in certificate.principals)
    yield from _options("Critical Options", certificate.critical_options, critical=True)
    yield from _options("Extensions", certificate.extensions, critical=False)


def fingerprint(key: PublicKey, hash_name: str) -> str:
    """``SHA256:base64``, or ``MD5:`` with hexadecimal pairs."""
    digest = hashlib.new(hash_name, key.blob, usedforsecurity=False).digest()
    if hash_name == "md5":
        return "MD5:" + digest.hex(":")
    return f"{hash_name.upper()}:" + base64.b64encode(digest).decode().rstrip("=")


def short_type(key: PublicKey) -> str:
    """``ED25519``, ``ECDSA-SK``: OpenSSH's short name."""
    return _TYPES.get(key.type, "ECDSA")


def _options(title: str, options: Options, *, critical: bool) -> Iterator[str]:
    yield f"        {title}: {'' if options else '(none)'}"
    flags = ssh_option.CRITICAL_FLAGS if critical else ssh_option.EXTENSION_FLAGS
    for name, data in options:
        if name in flags:
            if data:
                raise OstiaryError("Option corrupt: extra data at end")
            yield f"{_INDENT}{name}"
        elif critical and name in ssh_option.CRITICAL_VALUES:
            yield f"{_INDENT}{name} {_value(name, data)}"
        elif data:
            yield f"{_INDENT}{name} UNKNOWN OPTION: {data.hex()} (len {len(data)})"
        else:
            yield f"{_INDENT}{name} UNKNOWN FLAG OPTION"


def _value(name: str, data: bytes) -> str:
    value = ssh_option.readable((name, data))
    if value is None:
        raise OstiaryError("show_options: parse critical", why="incomplete message")
    return value


def _lines(name: str) -> list[str]:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise OstiaryError(f"ssh-keygen: {name}", why=str(error.strerror)) from error
    return os.fsdecode(data).removesuffix("\n").split("\n") if data else []
