"""What a host reaches nobody but itself by: addresses and names that a bastion must not be asked to connect to for others.

Who enrols a host names its address, and people may have the bastion connect to it: what listens on the bastion's loopback,
or the credentials that its cloud gives it, would be theirs. The control plane refuses such an address behind a bastion, and the
agent of the bastion opens no way to one. Sources: IANA's registries of special-purpose addresses; AWS EC2 User Guide,
"Instance metadata" (169.254.169.254, fd00:ec2::254).
"""

from __future__ import annotations

import contextlib
import socket
from ipaddress import IPv4Address, IPv6Address, ip_network

_NETWORKS = tuple(
    ip_network(one)
    for one in (
        "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32",
        "::/128", "::1/128", "fd00:ec2::/32", "fe80::/10", "ff00::/8",
    )
)  # fmt: skip
_V4_INSIDE = ip_network("::ffff:0:0/96")
_DOMAINS = ("localhost", "localdomain")  # also by themselves
_NAMES = ("localhost4", "localhost6", "ip6-localhost", "ip6-loopback")


def is_itself(host: str, *own: str) -> bool:
    """Whether a name or address means the host that connects to it, whose ``own`` names are these, or what answers it alone.

    What a name resolves to is not asked: it may be another when it is connected to.
    """
    name = host.strip("[]").rstrip(".").lower()
    if name in own or name in _NAMES or name.rpartition(".")[2] in _DOMAINS:
        return True
    address = _address(name)
    return address is not None and any(address in one for one in _NETWORKS)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """What OpenSSH would connect to: inet_aton(3) also reads ``127.1``, ``0x7f.1``, ``0177.1``, ``2130706433``."""
    with contextlib.suppress(OSError):
        return IPv4Address(socket.inet_aton(text))
    try:
        found = IPv6Address(text)
    except ValueError:
        return None
    return IPv4Address(int(found) & 0xFFFF_FFFF) if found in _V4_INSIDE else found
