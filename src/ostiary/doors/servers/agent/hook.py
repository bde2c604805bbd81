"""The PAM session hook: a certificate of our authority opens one connection, once.

sshd runs it as root through pam_exec, after the signature was proven and before any channel is opened, with the
certificate in ``SSH_AUTH_INFO_0`` (OpenSSH, auth-pam.c; the account stage does not have it yet). A file per serial, made
with O_EXCL, is the ledger: of any number of connections with one certificate exactly one makes the file. It is synced, so
it survives a reboot; the agent (``ledger.py``) drops it a day after the certificate has expired, and then whatever ends
no later is refused: a clock that goes back brings nothing back. Where PAM does not open its session,
sshd takes every right from the connection and lets it run nothing (auth_restrict_session).

Nor is anybody of ours let in where /run is read-only: such a host writes down nowhere who is in (utmp, logind).

The shell script in front (``guard.py``) lets everything pass that is not ours, so that this file judges ours only and
refuses whenever in doubt. It runs as ``python3 -I -S hook.py FOLDER AUTHORITIES`` and imports only what starts in
milliseconds: ``posix`` is what ``os`` is made of, which would be a sixth of it. ``--tell`` before these only writes down a login by break-glass, which no one counts or refuses.
"""

from __future__ import annotations

import binascii
import fcntl
import posix
import select
import sys
import time
from posix import _exit as leave

LIMIT = 1  # seconds; a login must not hang on a slow disk
LET_IN, KILL = b"1", 9  # the module signal would double the time that this takes to start
FARTHEST = (
    3600  # seconds that the ledger's floor can be ahead: above, the clock was wrong that wrote it
)
RUN = "/run"
MOST_SPOOLED = 4 * 1024 * 1024  # bytes, in case nobody ships the events
CERTIFICATE = b"-cert-v01@openssh.com"
_KEY_FIELDS = {  # how many strings the public key has, between the nonce and the serial (PROTOCOL.certkeys)
    b"ssh-ed25519": 1,
    b"ssh-rsa": 2,
    b"ecdsa-sha2-nistp256": 2,
    b"ecdsa-sha2-nistp384": 2,
    b"ecdsa-sha2-nistp521": 2,
    b"sk-ssh-ed25519": 2,
    b"sk-ecdsa-sha2-nistp256": 3,
}


class Reader:
    """Fields of a certificate, front to back. IndexError past the end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def taken(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise IndexError
        value = self.data[self.at : end]
        self.at = end
        return value

    def number(self, size: int) -> int:
        return int.from_bytes(self.taken(size), "big")

    def string(self) -> bytes:
        return self.taken(self.number(4))


def certificate(blob: bytes) -> tuple[int, int, bytes]:
    """(serial, valid before, signature key) of a certificate. ValueError when it is none."""
    try:
        reader = Reader(blob)
        kind = reader.string()
        if not kind.endswith(CERTIFICATE) or kind[: -len(CERTIFICATE)] not in _KEY_FIELDS:
            raise ValueError("no certificate of a kind that is known")
        for _ in range(_KEY_FIELDS[kind[: -len(CERTIFICATE)]] + 1):  # the nonce is the first
            reader.string()
        serial = reader.number(8)
        reader.number(4)  # user or host
        reader.string()  # key id
        reader.string()  # principals
        reader.number(8)  # valid after
        before = reader.number(8)
        for _ in range(3):  # critical options, extensions, reserved
            reader.string()
        return serial, before, reader.string()
    except IndexError:
        raise ValueError("a certificate that is cut") from None


def certificates(text: str) -> list[tuple[int, int, bytes]]:
    """The certificates by which sshd says this connection was let in."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) > 2 and words[0] == "publickey" and "-cert-v" in words[1]:  # noqa: PLR2004 - method, type, blob
            found.append(certificate(binascii.a2b_base64(words[2])))
    return found


def authorities(path: str) -> set[bytes]:
    """The public keys of our authorities, as blobs."""
    with open(path, encoding="ascii") as lines:  # noqa: PTH123 - pathlib would cost half of the start
        split = [line.split() for line in lines]
    return {binascii.a2b_base64(words[1]) for words in split if len(words) > 1 and words[0] != "#"}


def take(folder: str, serial: int, before: int) -> None:
    """Write the serial into the ledger. FileExistsError if it is there already."""
    ledger = f"{folder}/ledger"
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC | posix.O_NOFOLLOW
    file = posix.open(f"{ledger}/{serial:d}", flags, 0o600)
    try:
        posix.write(file, b"%d\n" % min(before, 2**62))
        posix.fsync(file)
    finally:
        posix.close(file)
    entry = posix.open(ledger, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        posix.fsync(entry)
    finally:
        posix.close(entry)


def is_read_only(folder: str) -> bool:
    return bool(posix.statvfs(folder).f_flag & posix.ST_RDONLY)


def floor(folder: str) -> int:
    """Certificates that end no later may have been used: the ledger does not know them any more."""
    try:
        with open(f"{folder}/ledger/floor", "rb") as file:  # noqa: PTH123 - as above
            found = int(file.read(32))
    except FileNotFoundError:
        return 0
    return found if found <= time.time() + FARTHEST else 0


def by_pam(name: bytes) -> str:
    return posix.environ.get(name, b"").decode("utf-8", "surrogateescape")


def tell(folder: str, serial: int, outcome: str) -> None:
    """Leave the event for the agent to ship, or at least that there was one; no login fails for want of this."""
    user, source = by_pam(b"PAM_USER"), by_pam(b"PAM_RHOST")
    line = f"{serial:d}\t{user}\t{time.time():.3f}\t{source}\t{outcome}\n"
    try:
        if spooled(f"{folder}/spool", line.encode("utf-8", "replace")):
            return
    except OSError:
        pass
    try:
        untold(f"{folder}/untold")
    except OSError:
        return


def spooled(path: str, line: bytes) -> bool:
    """Whether the line found room in the spool."""
    flags = posix.O_RDWR | posix.O_CREAT | posix.O_APPEND | posix.O_CLOEXEC | posix.O_NOFOLLOW
    for _ in range(3):  # the agent may move the file away in between
        file = posix.open(path, flags, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_SH)
            now = posix.fstat(file)
            if now.st_nlink:
                if now.st_size >= MOST_SPOOLED:
                    return False
                if now.st_size and posix.pread(file, 1, now.st_size - 1) != b"\n":
                    line = (
                        b"\n" + line
                    )  # a full disk cut the one before, which must not spoil this one
                return posix.write(file, line) == len(line)
        finally:
            posix.close(file)
    return False


def untold(path: str) -> None:
    """Count one more event that was not written down: HOW-MANY SINCE. Always of one length and in place, because it is
    the disk that is full."""
    file = posix.open(
        path, posix.O_RDWR | posix.O_CREAT | posix.O_CLOEXEC | posix.O_NOFOLLOW, 0o600
    )
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            number, since = (int(word) for word in posix.pread(file, 42, 0).split())
        except ValueError:
            number = since = 0
        since = since if number else int(time.time())
        posix.pwrite(file, b"%020d %020d\n" % (number + 1, since), 0)
    finally:
        posix.close(file)


def judge(folder: str, trusted: str, text: str) -> int:
    """0 lets in, 1 refuses. More than one of our certificates, or none, cannot be: then nobody is let in."""
    ours = authorities(trusted)
    mine = [one for one in certificates(text) if one[2] in ours]
    if len(mine) != 1:
        raise ValueError("not one certificate of ours")
    serial, before, _ = mine[0]
    if is_read_only(RUN):
        tell(folder, serial, "refused")
        raise OSError(f"{RUN} is read-only")
    if before <= floor(folder):
        tell(folder, serial, "refused")
        return 1
    try:
        take(folder, serial, before)
    except FileExistsError:
        tell(folder, serial, "replayed")
        return 1
    except OSError:
        tell(folder, serial, "refused")
        raise
    tell(folder, serial, "accepted")
    return 0


def told(folder: str, trusted: str, text: str) -> None:
    """Leave an event for each certificate of break-glass; they are not counted, and nobody waits for this."""
    glass = authorities(trusted)
    for serial, _, authority in certificates(text):
        if authority in glass:
            tell(folder, serial, "break-glass")


def judged(arguments: list[str]) -> int:
    """``judge``, with whatever goes wrong as a refusal."""
    try:
        return judge(arguments[0], arguments[1], by_pam(b"SSH_AUTH_INFO_0"))
    except Exception as error:  # noqa: BLE001 - as the docstring says
        sys.stderr.write(f"ostiary: refused: {type(error).__name__}: {error}\n")
        return 1


def main(arguments: list[str]) -> int:
    """Judge in a child: one that hangs in the disk cannot be killed, but it can be left behind."""
    if arguments[0] == "--tell":
        told(arguments[1], arguments[2], by_pam(b"SSH_AUTH_INFO_0"))
        return 0
    answer, say = posix.pipe()
    child = posix.fork()
    if child == 0:
        if judged(arguments) == 0:
            posix.write(say, LET_IN)
        leave(0)
    posix.close(say)  # so that the child's end is the end of the pipe
    ready, _, _ = select.select([answer], [], [], LIMIT)
    if ready and posix.read(answer, 1) == LET_IN:
        return 0
    posix.kill(child, KILL)
    return 1


if __name__ == "__main__":
    leave(main(sys.argv[1:]))  # a tenth of the time of tidying up
