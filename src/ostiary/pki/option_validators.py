"""Which critical options and extensions a certificate may have, and with what in them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache

from ostiary.pki import ssh_option
from ostiary.pki.judgement import LONGEST_TEXT, Refusal, Request
from ostiary.pki.ssh_option import Option, Options

USER_FLAGS = frozenset(ssh_option.PERMITS) - {"permit-user-rc"}  # that one runs a file of the home
_CUSTOM = re.compile(r"[a-z][a-z0-9-]{0,63}@([a-z0-9-]{1,63}\.)*[a-z0-9-]{1,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class CriticalOptions:
    """Known ones only: sshd refuses a certificate with any other."""

    allowed: frozenset[str] = ssh_option.CRITICAL_FLAGS | ssh_option.CRITICAL_VALUES

    def check(self, request: Request) -> Refusal | None:
        certificate = request.certificate
        why = _objection(self, certificate.critical_options, certificate.key.type)
        return Refusal("critical-options", why) if why else None

    def why(self, option: Option, key_type: str) -> str:
        """What is wrong with one option, for a subject's key of this type."""
        name = option[0]
        if name not in self.allowed:
            return f"the critical option {name[:80]!r} is not allowed"
        if name in ssh_option.CRITICAL_FLAGS:
            return _flag_why(option, key_type)
        value = ssh_option.readable(option)
        if not value or len(value) > LONGEST_TEXT or not value.isprintable():
            return f"the value of {name} is empty, too long or not printable"
        return _networks_why(value) if name == ssh_option.SOURCE_ADDRESS else ""


@dataclass(frozen=True, slots=True)
class Extensions:
    """The listed flags, and values ``NAME@DOMAIN`` of the listed domains."""

    flags: frozenset[str] = USER_FLAGS | {ssh_option.NO_TOUCH_REQUIRED}
    domains: frozenset[str] = frozenset()

    def check(self, request: Request) -> Refusal | None:
        certificate = request.certificate
        why = _objection(self, certificate.extensions, certificate.key.type)
        return Refusal("extensions", why) if why else None

    def why(self, option: Option, key_type: str) -> str:
        """As that of ``CriticalOptions``."""
        name = option[0]
        if name in self.flags:
            return _flag_why(option, key_type)
        if not _CUSTOM.fullmatch(name) or name.partition("@")[2] not in self.domains:
            return f"the extension {name[:80]!r} is not allowed"
        value = ssh_option.readable(option)
        if value is None or len(value) > LONGEST_TEXT or not value.isprintable():
            return f"the value of {name} is no text, too long or not printable"
        return ""


@lru_cache(maxsize=ssh_option.REMEMBERED)
def _objection(judge: CriticalOptions | Extensions, options: Options, key_type: str) -> str:
    """The first that ``judge`` has, "" for none."""
    whys = (judge.why(option, key_type) for option in options)
    return _repeated(options) or next(filter(None, whys), "")


def _repeated(options: Options) -> str:
    names = [name for name, _ in options]
    return "an option is there twice" if len(set(names)) != len(names) else ""


def _flag_why(option: Option, key_type: str) -> str:
    name, data = option
    if data:
        return f"{name} has a value"
    of_fido = name in (ssh_option.VERIFY_REQUIRED, ssh_option.NO_TOUCH_REQUIRED)
    if of_fido and not key_type.startswith("sk-"):
        return f"{name} means nothing for a key of type {key_type}"
    return ""


def _networks_why(listed: str) -> str:
    """``source-address`` holds networks in their one canonical form, so that what was audited is what sshd reads."""
    for text in listed.split(","):
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            return f"{text[:60]!r} is no network"
        if text != str(network) or "%" in text:
            return f"{text[:60]!r} is not written as {network}"
    return ""
