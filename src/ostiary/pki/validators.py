"""What our authorities may sign: a list of small judges, each of one thing, default deny.

The shape is that of smallstep's provisioner options; the rules answer CVE-2024-7594 (empty principals), CVE-2026-35414
(comma in a principal), CVE-2025-49825 (a certificate as authority) and what sshd was seen to accept: NUL after a
principal, ``verify-required`` with a key that nobody can verify, line ends in key ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import rsa

from ostiary.model.server_access import LOGIN, RESERVED
from ostiary.pki import ssh_key
from ostiary.pki.judgement import LONGEST_TEXT, Refusal, Request, Validator
from ostiary.pki.option_validators import CriticalOptions, Extensions
from ostiary.pki.ssh_certificate import HOST, USER

LONGEST = 180  # seconds that a user certificate is good, skew included
SKEW = 60  # seconds that it may begin in the past, for hosts whose clocks are behind
LONGEST_HOST = 30 * 86400
SMALLEST_RSA = 2048  # bits of a subject's key
SMALLEST_EXPONENT = 65537
MOST_SERIAL = (1 << 63) - 1
_SERVER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_HOST = re.compile(r"(?=.{1,253}\Z)(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Kind:
    kind: int

    def check(self, request: Request) -> Refusal | None:
        if request.certificate.kind == self.kind:
            return None
        return Refusal("kind", f"the certificate is of kind {request.certificate.kind}")


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """RSA of a size, and with the exponent that everybody uses or a larger one."""

    smallest_rsa: int = SMALLEST_RSA

    def check(self, request: Request) -> Refusal | None:
        kind = request.certificate.key.type
        if kind not in ssh_key.CERTIFICATE_TYPES:
            return Refusal("key", f"a key of type {kind[:60]!r} is not certified")
        key = ssh_key.loaded(request.certificate.key)
        if not isinstance(key, rsa.RSAPublicKey):
            return None
        if key.key_size < self.smallest_rsa:
            why = f"an RSA key of {key.key_size} bits; {self.smallest_rsa} are asked"
            return Refusal("key", why)
        if key.public_numbers().e < SMALLEST_EXPONENT:
            return Refusal("key", f"an RSA key whose exponent is less than {SMALLEST_EXPONENT}")
        return None


@dataclass(frozen=True, slots=True)
class OnePrincipal:
    """``LOGIN@SERVER_ID`` and nothing else; a login that no account of the system has, ``reserved``."""

    reserved: frozenset[str] = RESERVED

    def check(self, request: Request) -> Refusal | None:
        names = request.certificate.principals
        if len(names) != 1:
            return Refusal("principals", f"{len(names)} principals; exactly one is asked")
        login, at, server = names[0].partition("@")
        if not at or server != request.server_id or not _SERVER.fullmatch(server):
            return Refusal("principals", f"{names[0][:80]!r} is not LOGIN@{request.server_id[:64]}")
        if not LOGIN.fullmatch(login):
            return Refusal("principals", f"{login[:40]!r} is no login")
        if login in self.reserved:
            return Refusal("principals", f"{login!r} is an account of the system")
        return None


@dataclass(frozen=True, slots=True)
class HostNames:
    """The server id first, then the names that it may have."""

    names: frozenset[str]

    def check(self, request: Request) -> Refusal | None:
        found = request.certificate.principals
        if not found or found[0] != request.server_id or not _SERVER.fullmatch(found[0]):
            return Refusal("principals", "a host certificate names its server id first")
        for name in found[1:]:
            if name not in self.names or not _HOST.fullmatch(name):
                return Refusal("principals", f"{name[:80]!r} is no name of this server")
        return None


@dataclass(frozen=True, slots=True)
class Window:
    """Good now, for at most ``longest`` seconds, of which at most ``skew`` are past."""

    longest: int = LONGEST
    skew: int = SKEW

    def check(self, request: Request) -> Refusal | None:
        start, end = request.certificate.valid_after, request.certificate.valid_before
        if not 0 < end - start <= self.longest:
            return Refusal("validity", f"{end - start} s; 1 to {self.longest} are asked")
        if not request.now - self.skew <= start <= request.now < end:
            why = f"it begins {start - request.now:+d} s from now and ends {end - request.now:+d} s"
            return Refusal("validity", why)
        return None


@dataclass(frozen=True, slots=True)
class Serial:
    """1 to 63 bits: signed numbers of databases, and 0 means that nobody counts."""

    def check(self, request: Request) -> Refusal | None:
        if 1 <= request.certificate.serial <= MOST_SERIAL:
            return None
        return Refusal("serial", f"{request.certificate.serial} is not of 1 to 63 bits")


@dataclass(frozen=True, slots=True)
class KeyId:
    """Something, and printable: sshd writes it into its log as it is."""

    def check(self, request: Request) -> Refusal | None:
        text = request.certificate.key_id
        if text and len(text) <= LONGEST_TEXT and text.isprintable():
            return None
        return Refusal("key-id", "the key id is empty, too long or not printable")


def for_user(domains: Iterable[str] = ()) -> tuple[Validator, ...]:
    """The judges of a user certificate: one login, one server, three minutes."""
    return (
        Kind(USER),
        SubjectKey(),
        OnePrincipal(),
        Window(),
        Serial(),
        KeyId(),
        CriticalOptions(),
        Extensions(domains=frozenset(domains)),
    )


def for_host(names: Iterable[str]) -> tuple[Validator, ...]:
    """The judges of a host certificate: ssh refuses one with critical options, extensions mean nothing in it."""
    return (
        Kind(HOST),
        SubjectKey(),
        HostNames(frozenset(names)),
        Window(LONGEST_HOST),
        Serial(),
        KeyId(),
        CriticalOptions(frozenset()),
        Extensions(frozenset()),
    )
