"""``ProxyCommand`` of ``ssh``: the way to a server of ours, and its certificate made meanwhile.

Run as ``python -I -S proxy.py FOLDER [--hop SERVER_ID] -- HOST LOGIN`` with ``ProxyUseFdpass``: it hands ``ssh`` a
connected socket and ends (``ssh_config(5)``). Where a bastion is in between, the socket is one end of another ``ssh -W``
that has a certificate of its own, good for the hop only; that one's ``ProxyCommand`` is this file again. What is
refused is said in three lines on stderr. Standard library only.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
from typing import Any

SECONDS = 25.0  # a little more than the resident agent waits for the control plane
HERE = os.path.abspath(__file__)  # noqa: PTH100 - pathlib costs 5 ms here


class Refused(Exception):
    """``args``: what, why, fix."""


def main(arguments: list[str]) -> int:
    try:
        folder, hop, host, login = parsed(arguments)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as to:
            stream = asked(to, folder, {"do": "connect", "host": host, "login": login, "hop": hop})
            way = said(stream)
            if way["via"]:
                said(stream)
                end = through(folder, way)
            else:
                end = reached(host, way, to, stream)
        with end, socket.socket(fileno=1) as ssh:
            socket.send_fds(ssh, [b"\0"], [end.fileno()])
    except Refused as refused:
        what, why, fix = refused.args
        text = f"ostiary: error: {what}\n" + (f"  why: {why}\n" if why else "")
        sys.stderr.write(text + (f"  fix: {fix}\n" if fix else ""))
        return 1
    return 0


def parsed(arguments: list[str]) -> tuple[str, str, str, str]:
    """Folder, hop, host and login."""
    if "--" in arguments:
        at = arguments.index("--")
        options, names = arguments[:at], arguments[at + 1 :]
        if len(names) == 2:  # noqa: PLR2004 - HOST LOGIN
            if len(options) == 1:
                return options[0], "", names[0], names[1]
            if len(options) == 3 and options[1] == "--hop":  # noqa: PLR2004 - FOLDER --hop ID
                return options[0], options[2], names[0], names[1]
    raise Refused(
        "cannot read how ssh called this",
        "the block in the configuration of ssh is not of this version",
        "run: ostiary ssh-config --install",
    )


def asked(to: socket.socket, folder: str, question: dict[str, str]) -> socket.SocketIO:
    """The question put; the answers can be read."""
    to.settimeout(SECONDS)
    try:
        to.connect(os.path.join(folder, "talk.sock"))  # noqa: PTH118 - as HERE
        to.sendall(json.dumps(question).encode() + b"\n")
    except OSError as error:
        raise Refused(
            f"cannot enter {question['host']}: nobody is signed in here",
            f"the resident agent does not answer ({(error.strerror or str(error)).lower()})",
            "run: ostiary login",
        ) from error
    return to.makefile("rb", buffering=0)


def said(stream: socket.SocketIO) -> dict[str, Any]:
    """The next answer. Refused when it is an error, or none comes."""
    try:
        line = stream.readline()
        answer = json.loads(line or '{"error": "the resident agent ended", "why": ""}')
    except (OSError, ValueError) as error:
        raise Refused(
            "the resident agent gives no answer", str(error), "run: ostiary login"
        ) from error
    if "error" in answer:
        raise Refused(answer["error"], answer["why"], answer.get("fix", "run: ostiary login"))
    return dict(answer)


def reached(
    host: str, way: dict[str, Any], to: socket.socket, stream: socket.SocketIO
) -> socket.socket:
    """A connection to the server, made while the certificate is; a refusal does not wait for it."""
    try:
        found = socket.getaddrinfo(way["address"], way["port"], type=socket.SOCK_STREAM)
    except OSError as error:
        raise _unreachable(host, way, error) from error
    waiting = True
    last: OSError = TimeoutError("no answer")
    for family, kind, protocol, _, address in found:
        end = socket.socket(family, kind, protocol)
        end.setblocking(False)
        end.connect_ex(address)
        connected = False
        while not connected:
            can_read, can_write, _ = select.select([to] if waiting else [], [end], [], SECONDS)
            if can_read:
                said(stream)
                waiting = False
            code = end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if can_write else 0
            if code or not (can_read or can_write):
                last = OSError(code, os.strerror(code)) if code else last
                break
            connected = bool(can_write)
        if connected:
            if waiting:
                said(stream)
            end.setblocking(True)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return end
        end.close()
    if waiting:
        said(stream)  # that the person may not enter says more than that the server is away
    raise _unreachable(host, way, last)


def through(folder: str, way: dict[str, Any]) -> socket.socket:
    """One end of a socket pair whose other end an ``ssh -W`` through the bastion has."""
    ours, theirs = socket.socketpair()
    command = inner(folder, way)
    if os.fork() == 0:
        try:
            os.dup2(theirs.fileno(), 0)
            os.dup2(theirs.fileno(), 1)
            os.execvp(command[0], command)  # noqa: S606 - no shell, on purpose
        except OSError as error:
            sys.stderr.write(f"ostiary: error: cannot run ssh\n  why: {error.strerror}\n")
            os._exit(127)
    theirs.close()
    return ours


def inner(folder: str, way: dict[str, Any]) -> list[str]:
    """The ``ssh`` to the bastion: no configuration but what stands here, so that nothing else gets in between."""
    python = f"'{sys.executable}' -I -S '{HERE}'"
    address = f"[{way['address']}]" if ":" in way["address"] else way["address"]
    settings = {
        "ProxyCommand": f"{python} '{folder}' --hop '{way['id']}' -- '%h' '%r'",
        "ProxyUseFdpass": "yes",
        "IdentityAgent": os.path.join(folder, "agent.sock"),  # noqa: PTH118 - as HERE
        "IdentityFile": "none",
        "UserKnownHostsFile": os.path.join(folder, "known_hosts"),  # noqa: PTH118
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "ControlMaster": "no",
        "ControlPath": "none",
        "LogLevel": "ERROR",
    }
    options = [part for item in settings.items() for part in ("-o", "=".join(item))]
    target = f"{address}:{way['port']}"
    return ["ssh", "-F", "none", *options, "-W", target, "-l", way["login"], "--", way["via"]]


def _unreachable(host: str, way: dict[str, Any], error: OSError) -> Refused:
    return Refused(
        f"cannot reach {host} at {way['address']} port {way['port']}",
        (error.strerror or str(error)).lower(),
        "see that the server runs and that this network leads there",
    )


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
