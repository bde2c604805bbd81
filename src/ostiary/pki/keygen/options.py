"""``-O``: what a certificate allows, from ssh-keygen's words; and its ``source-address`` check."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable

from ostiary.errors import OstiaryError
from ostiary.pki import ssh_option
from ostiary.pki.keygen import talk
from ostiary.pki.ssh_option import Option, Options, flag, valued

_SWITCHES = {
    "x11-forwarding": "permit-X11-forwarding",
    "agent-forwarding": "permit-agent-forwarding",
    "port-forwarding": "permit-port-forwarding",
    "pty": "permit-pty",
    "user-rc": "permit-user-rc",
}
_ON = {f"permit-{name}": option for name, option in _SWITCHES.items()} | {
    "no-touch-required": ssh_option.NO_TOUCH_REQUIRED,
    "verify-required": ssh_option.VERIFY_REQUIRED,
}
_OFF = {f"no-{name}": option for name, option in _SWITCHES.items()} | {
    "touch-required": ssh_option.NO_TOUCH_REQUIRED,
    "no-verify-required": ssh_option.VERIFY_REQUIRED,
}
_CIDR = re.compile(r"[0-9a-fA-F.:/]+", re.ASCII)
_LONGEST_CIDR = 46 + 3  # INET6_ADDRSTRLEN and the mask
_LONGEST_MASK = 128


def collect(words: Iterable[str], *, host: bool) -> tuple[Options, Options]:
    """Critical options and extensions, in order. A user begins with all five permits, a host with nothing.

    Raises OstiaryError in ssh-keygen's words.
    """
    flags = set() if host else set(ssh_option.PERMITS)
    values: dict[str, str] = {}
    others: list[tuple[bool, Option]] = []
    for word in words:
        _take(word, flags, values, others)
    critical = [valued(name, value) for name, value in values.items()]
    critical += [flag(name) for name in flags & ssh_option.CRITICAL_FLAGS]
    extensions = [flag(name) for name in flags - ssh_option.CRITICAL_FLAGS]
    for is_critical, option in others:
        (critical if is_critical else extensions).append(option)
    return ssh_option.ordered(critical), ssh_option.ordered(extensions)


def _take(
    word: str, flags: set[str], values: dict[str, str], others: list[tuple[bool, Option]]
) -> None:
    name, _, rest = word.partition("=")
    lower = word.lower()
    if lower == "clear":
        flags.clear()
    elif lower in _ON:
        flags.add(_ON[lower])
    elif lower in _OFF:
        flags.discard(_OFF[lower])
    elif "=" in word and name.lower() in ssh_option.CRITICAL_VALUES:
        _take_value(name.lower(), rest, values)
    elif lower.startswith(("critical:", "extension:")):
        kind, _, option = word.partition(":")
        key, equals, value = option.partition("=")
        others.append((kind.lower() == "critical", valued(key, value) if equals else flag(key)))
    else:
        raise OstiaryError(f'Unsupported certificate option "{word}"')


def _take_value(name: str, value: str, values: dict[str, str]) -> None:
    if not value:
        raise OstiaryError(f"Empty {name} option")
    if name in values:
        raise OstiaryError(f"{name} already specified")
    if name == ssh_option.SOURCE_ADDRESS and (wrong := wrong_networks(value)):
        for text in wrong:
            talk.say(text)
        raise OstiaryError("Invalid source-address list")
    values[name] = value


def wrong_networks(listed: str) -> tuple[str, ...]:
    """What is wrong with a list of networks, in OpenSSH's words; nothing when each is an address or CIDR without host bits."""
    for entry in listed.split(","):
        if not entry:
            head = listed.partition(",")[0]  # all that C's strsep leaves to print
            return (f'addr_match_cidr_list: empty entry in list "{head[:100]}"',)
        if len(entry) > _LONGEST_CIDR:
            return (f'addr_match_cidr_list: list entry "{entry[:100]}" too long',)
        wrong = _wrong_network(entry)
        if not _CIDR.fullmatch(entry):
            text = f'addr_match_cidr_list: list entry "{entry[:100]}" contains invalid characters'
            return (text, wrong) if wrong else (text,)
        if wrong:
            return (wrong,)
    return ()


def _wrong_network(entry: str) -> str:
    address, slash, mask = entry.partition("/")
    try:
        found = socket.getaddrinfo(address, None, flags=socket.AI_NUMERICHOST)
        host = ipaddress.ip_address(found[0][4][0])
    except (OSError, ValueError):
        return f'Invalid network entry "{entry}"'
    if slash and not (mask.isdecimal() and int(mask) <= _LONGEST_MASK):
        return f'Invalid network entry "{entry}"'
    bits = int(mask) if slash else host.max_prefixlen
    if bits > host.max_prefixlen or int(host) & ((1 << (host.max_prefixlen - bits)) - 1):
        return f'Inconsistent mask length for network "{entry}"'
    return ""
