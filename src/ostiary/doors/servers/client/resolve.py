"""``Match exec`` of ``ssh``: exit 0 when HOST is a server of ours. Run as ``python -I -S resolve.py FOLDER -- HOST``.

Asks the resident agent (``entry_words.py``) about a name that was not in its last list. This runs for hosts of others too,
so it imports next to nothing: ``_socket`` is what the standard library's ``socket`` is made of, and a fifth of its price.
"""

from __future__ import annotations

import _socket
import posix
import sys

LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
LONGEST = 253
ID, ID_LENGTH = "srv_", 20  # secret.py
SELF = "localhost"
SECONDS = 5.0
KIND, FOLDER, WRITABLE = 0o170000, 0o040000, 0o022  # of st_mode: inode(7)


def plausible(host: str) -> bool:
    """Whether ``host`` can be a name or an id of ours: nothing that a shell, or ``ssh``, reads as more than a name.

    Never with a dot, nor this machine: whoever the control plane is, ``git push`` goes to github.com.
    """
    return 0 < len(host) <= LONGEST and LETTERS.issuperset(host) and host[0] != "-" and host != SELF


def is_id(host: str) -> bool:
    return host.startswith(ID) and len(host) == ID_LENGTH


def is_private(folder: str) -> bool:
    """Whether only this user can have put a socket there: below /tmp anybody may make a folder of this name."""
    there = posix.lstat(folder)
    is_folder = there.st_mode & KIND == FOLDER
    return is_folder and there.st_uid == posix.getuid() and not there.st_mode & WRITABLE


def ours(folder: str, host: str) -> bool:
    try:
        if not is_private(folder):
            return False
        to = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        to.settimeout(SECONDS)
        to.connect(f"{folder}/talk.sock")
        to.sendall(f"resolve\t{host}\n".encode())
        return to.recv(64) == b"ours\tyes\n"
    except OSError:
        return False


def main(arguments: list[str]) -> int:
    if len(arguments) != 3 or arguments[1] != "--":  # noqa: PLR2004 - FOLDER -- HOST
        return 2
    folder, _, host = arguments
    return 0 if plausible(host) and (is_id(host) or ours(folder, host)) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
