"""What ``ProxyCommand`` of ``ssh`` does: the way to a server of ours, and its certificate made meanwhile.

Run as ``python -I -S proxy.py FOLDER [--hop SERVER_ID] -- HOST LOGIN`` with ``ProxyUseFdpass``: it hands ``ssh`` a
connected socket and ends (``ssh_config(5)``). Where a bastion is in between, the socket is one end of another ``ssh -W``
that has a certificate of its own, good for the hop only; that one's ``ProxyCommand`` is ``proxy.py`` again. What is
refused is said in three lines on stderr. Imports next to nothing, as ``resolve.py``: ``posix`` is what ``os`` is made of.
"""

from __future__ import annotations

import _socket
import errno
import posix
import select
import sys

SECONDS = 25.0  # a little more than the resident agent waits for the control plane
# sshd that reads its files again does not listen for a moment: further attempts, and seconds before each.
ATTEMPTS, PAUSE = 20, 0.05
PAUSES = (0.05, 0.1, 0.2)  # behind a bastion, where each attempt is a connection with a certificate
NO_WAY_ON = "stdio forwarding failed"  # of ssh(1), where its server does not reach the next
PROXY = f"{__file__.rpartition('/')[0]}/proxy.py"
TERMINATE = 15  # the module signal would cost too much
KIND, FOLDER, WRITABLE = 0o170000, 0o040000, 0o022  # of st_mode: inode(7)


class Refused(Exception):
    """``args``: what, why, fix; none where it was said already, or nobody listens."""


def check_private(folder: str) -> None:
    """Refused where somebody else can have put a socket there, and a file of host keys: below /tmp anybody may."""
    there = posix.lstat(folder)
    is_folder = there.st_mode & KIND == FOLDER
    if not is_folder or there.st_uid != posix.getuid() or there.st_mode & WRITABLE:
        raise Refused(
            f"cannot use {folder}",
            "it is not a folder of yours that nobody else may write",
            "remove it, or set XDG_RUNTIME_DIR, and run: ostiary login",
        )


class Resident:
    """The resident agent, asked by words (``entry_words.py``)."""

    def __init__(self, folder: str, *words: str) -> None:
        self.socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self._rest = b""
        try:
            self.socket.settimeout(SECONDS)
            check_private(folder)
            self.socket.connect(f"{folder}/talk.sock")
            self.socket.sendall(("\t".join(words) + "\n").encode())
        except OSError as error:
            raise Refused(
                f"cannot enter {words[1]}: nobody is signed in here",
                f"the resident agent does not answer ({reason(error)})",
                "run: ostiary login",
            ) from error

    @property
    def has_said(self) -> bool:
        """Whether the next answer is here already."""
        return b"\n" in self._rest

    def answer(self, kind: str) -> list[str]:
        """The words of the next answer. Refused when it is an error, or none comes."""
        why = "it ended"
        try:
            while not self.has_said and (part := self.socket.recv(65_536)):
                self._rest += part
        except OSError as error:
            why = reason(error)
        line, _, self._rest = self._rest.partition(b"\n")
        found, *words = line.decode(errors="replace").split("\t")
        if found == kind:
            return words
        if found == "error" and len(words) == 3:  # noqa: PLR2004 - what, why, fix
            raise Refused(*words)
        raise Refused("the resident agent gives no answer", why, "run: ostiary login")


class Way:
    """Where a server is; ``via`` is the id of the bastion in between, "" for none."""

    def __init__(self, address: str, port: str, via: str, server_id: str, login: str) -> None:
        self.address, self.port, self.via = address, int(port), via
        self.server_id, self.login = server_id, login


def main(arguments: list[str]) -> int:
    try:
        folder, hop, host, login = parsed(arguments)
        resident = Resident(folder, "connect", host, login, hop)
        way = Way(*resident.answer("way"))
        if way.via:
            resident.answer("pass")
            end = through(host, folder, way)
        else:
            end = reached(host, way, resident)
        descriptor = end.fileno().to_bytes(4, sys.byteorder)
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptor)
        _socket.socket(fileno=1).sendmsg([b"\0"], [rights])
    except Refused as refused:
        if not refused.args:  # it is said already
            return 1
        what, why, fix = refused.args
        text = f"ostiary: error: {what}\n" + (f"  why: {why}\n" if why else "")
        sys.stderr.write(shown(text + (f"  fix: {fix}\n" if fix else "")))
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


def reached(host: str, way: Way, resident: Resident) -> _socket.socket:
    """A connection to the server, made while the certificate is; a refusal does not wait for it."""
    address = way.address.encode()  # bytes, because text would bring all of IDNA
    try:
        found = _socket.getaddrinfo(address, way.port, type=_socket.SOCK_STREAM)
    except OSError as error:
        raise _unreachable(host, way, reason(error)) from error
    passing = Passing(resident)
    for left in range(ATTEMPTS, -1, -1):
        codes = []
        for family, kind, protocol, _, target in found:
            end = _socket.socket(family, kind, protocol)
            codes.append(passing.connected(end, target))
            if not codes[-1]:
                passing.end()
                end.setblocking(True)
                end.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
                return end
            end.close()
        if not left or errno.ECONNREFUSED not in codes:
            break
        select.select([], [], [], PAUSE)
    passing.end()  # that the person may not enter says more than that the server is away
    why = posix.strerror(codes[-1]).lower() if codes and codes[-1] > 0 else "no answer"
    raise _unreachable(host, way, why)


class Passing:
    """The pass that the resident agent makes while there are attempts to connect."""

    def __init__(self, resident: Resident) -> None:
        self.resident, self.waiting = resident, True

    def end(self) -> None:
        """Wait for it. Refused where there is none."""
        if self.waiting:
            self.resident.answer("pass")
            self.waiting = False

    def connected(self, end: _socket.socket, target: tuple[object, ...]) -> int:
        """0, or the code of the error; -1 where no answer came in time."""
        end.setblocking(False)
        code = end.connect_ex(target)
        if code not in (0, errno.EINPROGRESS):
            return code
        while True:
            asked = [self.resident.socket] if self.waiting and not self.resident.has_said else []
            can_read, can_write, _ = select.select(asked, [end], [], SECONDS)
            if self.waiting and (can_read or self.resident.has_said):
                self.end()
            if can_write:
                return end.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
            if not can_read:
                return -1


def through(host: str, folder: str, way: Way) -> _socket.socket:
    """One end of a socket pair whose other end an ``ssh -W`` through the bastion has.

    It is handed on when the server's first words are there. Where the bastion does not reach it, another way there is made,
    with a certificate of its own. Refused, when there is none, after what the bastion's ``ssh`` complained of.
    """
    for pause in (*PAUSES, 0):
        child, ours, said = _started(inner(folder, way))
        words, open_ = _until_it_speaks(child, ours, said)
        if open_ or NO_WAY_ON not in words:
            sys.stderr.write(shown(words))
        if open_:
            return ours
        if NO_WAY_ON not in words:
            break
        ours.close()
        select.select([], [], [], pause)
    else:
        raise _unreachable(host, way, "the server through which one comes there does not reach it")
    raise Refused


def _started(command: list[str]) -> tuple[int, _socket.socket, int]:
    """Its process, our end, and a pipe of what it complains of."""
    import os  # noqa: PLC0415 - most ways lead through nothing

    ours, theirs = _socket.socketpair()
    said, says = posix.pipe()
    child = posix.fork()
    if child == 0:
        try:
            posix.dup2(theirs.fileno(), 0)
            posix.dup2(theirs.fileno(), 1)
            posix.dup2(says, 2)
            os.execvp(command[0], command)  # noqa: S606 - no shell, on purpose
        except OSError as error:
            sys.stderr.write(f"ostiary: error: cannot run ssh\n  why: {reason(error)}\n")
            sys.stderr.flush()
            os._exit(127)
    theirs.close()
    posix.close(says)
    return child, ours, said


def _until_it_speaks(child: int, ours: _socket.socket, said: int) -> tuple[str, bool]:
    """What was complained of until the server spoke, and whether it did; else until the end.

    Refused where the ``ssh`` that asked ends meanwhile: nobody waits any more.
    """
    asking, words, pipe = 1, b"", [said]
    while True:
        ready, _, _ = select.select([ours.fileno(), asking, *pipe], [], [])
        if said in ready:
            words, part = _more(words, said)
            pipe = pipe if part else []
        if asking in ready:
            posix.kill(child, TERMINATE)
            raise Refused
        if ours.fileno() in ready:
            spoke = bool(ours.recv(1, _socket.MSG_PEEK))
            while pipe and not spoke:
                words, part = _more(words, said)
                pipe = pipe if part else []
            return words.decode(errors="replace").replace("\r\n", "\n"), spoke


def _more(words: bytes, said: int) -> tuple[bytes, bytes]:
    part = posix.read(said, 65_536)
    return words + part, part


def inner(folder: str, way: Way) -> list[str]:
    """The ``ssh`` to the bastion: no configuration but what stands here, so that nothing else gets in between."""
    folder, python, here = (one.replace("%", "%%") for one in (folder, sys.executable, PROXY))
    settings = {
        "ProxyCommand": f"'{python}' -I -S '{here}' '{folder}' --hop '{way.server_id}' -- '%h' '%r'",
        "ProxyUseFdpass": "yes",
        "IdentityAgent": f'"{folder}/agent.sock"',
        "IdentityFile": "none",
        "UserKnownHostsFile": f'"{folder}/known_hosts"',
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
    address = f"[{way.address}]" if ":" in way.address else way.address
    target = f"{address}:{way.port}"
    return ["ssh", "-F", "none", *options, "-W", target, "-l", way.login, "--", way.via]


def shown(text: str) -> str:
    """Without what a terminal would obey: some of the words are the control plane's."""
    return "".join(one if one.isprintable() or one == "\n" else "?" for one in text)


def reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _unreachable(host: str, way: Way, why: str) -> Refused:
    return Refused(
        f"cannot reach {host} at {way.address} port {way.port}",
        why,
        "see that the server runs and that this network leads there",
    )
