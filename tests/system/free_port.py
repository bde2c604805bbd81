"""Ports for servers that are told where to listen, and come back there after they were killed."""

import secrets
import socket

# Below ip_local_port_range: no connection of anybody's is given such a port in the meantime.
PORTS = range(20_000, 32_768)


def free_port():
    """One at which nothing listens on loopback, and that nobody gets unless they ask for that very one."""
    while True:
        port = secrets.choice(
            PORTS
        )  # not as pytest-randomly would have it: the same in all its processes
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
