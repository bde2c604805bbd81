"""Where the agent keeps things, and the one way to write a file: whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Every LocalUser that we make is in it, as a supplementary group: sshd's Match block and the session hook go by it.
MANAGED = "ostiary-managed"
FORMER = "ostiary"  # what an older agent called it: managed_group.py
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{12}")  # as write_bytes names them


class HostError(Exception):
    """Something on this host is not as it must be, and nothing was half done: ``what``, ``why``, and one runnable ``fix``."""

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what, self.why, self.fix = what, why, fix

    def __str__(self) -> str:
        return f"{self.what}: {self.why}" if self.why else self.what

    @property
    def told(self) -> str:
        """In one line, with what to do."""
        return f"{self}; {self.fix}" if self.fix else str(self)


@dataclass(frozen=True)
class Paths:
    """``etc`` is read by sshd and PAM at each login, ``var`` survives reboots."""

    ssh: Path = Path("/etc/ssh")
    etc: Path = Path("/etc/ssh/ostiary")
    var: Path = Path("/var/lib/ostiary")
    sudoers: Path = Path("/etc/sudoers.d")
    pam: Path = Path("/etc/pam.d/sshd")

    @property
    def host_key(self) -> Path:
        return self.ssh / "ssh_host_ed25519_key"

    @property
    def sshd_config(self) -> Path:
        return self.ssh / "sshd_config"

    @property
    def drop_in(self) -> Path:
        return self.ssh / "sshd_config.d" / "00-ostiary.conf"

    @property
    def authorities(self) -> Path:
        """Whom sshd trusts to sign certificates of managed users: the project's user authorities and break-glass."""
        return self.etc / "trusted-authorities"

    @property
    def one_time(self) -> Path:
        """Those of them whose certificates the session hook lets in once: the user authorities."""
        return self.etc / "one-time-authorities"

    @property
    def break_glass(self) -> Path:
        return self.etc / "break-glass-authorities"

    @property
    def principals(self) -> Path:
        return self.etc / "principals"

    @property
    def host_certificate(self) -> Path:
        return self.etc / "host-certificate.pub"

    @property
    def guard(self) -> Path:
        """What PAM runs."""
        return self.etc / "session"

    @property
    def teller(self) -> Path:
        """What PAM runs after it, to tell of break-glass: ``guard.told_by``."""
        return self.etc / "session-told"

    @property
    def hook(self) -> Path:
        """What that runs for a certificate of ours."""
        return self.etc / "session-hook.py"

    @property
    def identity(self) -> Path:
        return self.var / "identity.json"

    @property
    def state(self) -> Path:
        return self.var / "state.json"

    @property
    def owned(self) -> Path:
        return self.var / "owned.json"

    @property
    def ledger(self) -> Path:
        return self.var / "ledger"

    @property
    def unread(self) -> Path:
        """There while sshd has not read what was written for it."""
        return self.var / "sshd-unread"

    @property
    def spool(self) -> Path:
        """Login events, as the session hook leaves them: ``spool.py``."""
        return self.var / "spool"

    @property
    def sending(self) -> Path:
        """Those that are being shipped."""
        return self.var / "spool.sending"

    @property
    def untold(self) -> Path:
        """How many found no room there: ``untold.py``."""
        return self.var / "untold"


def write(path: Path, text: str, mode: int = 0o644) -> bool:
    """Make the file hold ``text``; whether it did not yet. A kill at any moment leaves the old file or the new one."""
    return write_bytes(path, text.encode("utf-8", "surrogateescape"), mode)


def write_bytes(path: Path, data: bytes, mode: int = 0o644) -> bool:
    with contextlib.suppress(FileNotFoundError):
        there = path.lstat()
        ours = stat.S_ISREG(there.st_mode) and there.st_uid == os.geteuid()
        if ours and there.st_mode & 0o7777 == mode and path.read_bytes() == data:
            return False
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            with contextlib.suppress(OSError):  # ``swept`` goes by it
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(file, mode)
            view = memoryview(data)
            while view:
                view = view[os.write(file, view) :]
            os.fsync(file)
            temporary.replace(path)
        finally:
            os.close(file)
        sync(path.parent)
    except OSError as error:
        raise HostError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return True


def read_of_others(path: Path, most: int) -> bytes | None:
    """The first bytes of a file that may be anybody's; None where there is no such file, or something else in its place.

    OSError where it cannot be read now: whoever holds a lease on it is not waited for. Source: F_SETLEASE of fcntl(2).
    """
    try:
        file = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        # A device would do something when it is opened.
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        with open(f"/proc/self/fd/{file}", "rb", opener=_at_once) as opened:  # that very file
            return opened.read(most)
    finally:
        os.close(file)


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def folder(path: Path, mode: int = 0o755) -> None:
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        if path.stat().st_mode & 0o7777 != mode:
            path.chmod(mode)
    except OSError as error:
        raise HostError(f"cannot make the folder {path}: {error.strerror}") from error


def own_folder(path: Path, mode: int = 0o755) -> None:
    """The same for one that is ours alone, whoever was given it meanwhile: sshd reads nothing that others may write."""
    folder(path, mode)
    try:
        if path.stat().st_uid != os.geteuid():
            os.chown(path, os.geteuid(), -1)
    except OSError as error:
        raise HostError(f"cannot take the folder {path} back: {error.strerror}") from error


def sync(folder_path: Path) -> None:
    file = os.open(folder_path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def swept(folder_path: Path, name: str = "") -> None:
    """Remove what a kill left between writing and renaming: of the file ``name`` alone, where others keep files too."""
    with contextlib.suppress(FileNotFoundError):
        for one in folder_path.iterdir():
            found = _TEMPORARY.fullmatch(one.name)
            if found and name in ("", found[1]) and _left(one):
                one.unlink(missing_ok=True)


def _left(file: Path) -> bool:
    """Whether it is a file of ours that nobody writes any more."""
    with contextlib.suppress(OSError):
        there = file.lstat()
        if stat.S_ISREG(there.st_mode) and there.st_uid == os.geteuid():
            opened = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                return _locked(opened, waits=False)
            finally:
                os.close(opened)
    return False


@contextlib.contextmanager
def alone(lock: Path, *, waits: bool = True) -> Iterator[bool]:
    """Hold a lock file: true. Whoever does not wait gets false where somebody else holds it."""
    folder(lock.parent, 0o700)
    file = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        yield _locked(file, waits=waits)
    finally:
        os.close(file)


def _locked(file: int, *, waits: bool) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
