"""``key.pem``, ``certificate.pem`` and ``authority.pem`` in a folder: all three or none, and none over what is not ours.

Each begins with a line that says who wrote it, by which the next run knows its own. Readers of PEM pass over what stands
before the first boundary (RFC 7468, section 2).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ostiary.errors import Conflict, OstiaryError

KEY, CERTIFICATE, AUTHORITY = "key.pem", "certificate.pem", "authority.pem"
MARK = "written by ostiary servers certificate"
MODES = {AUTHORITY: 0o644, CERTIFICATE: 0o644, KEY: 0o600}  # in the order of writing
OTHER = "name another folder: --out FOLDER"


@contextlib.contextmanager
def prepared(folder: Path) -> Iterator[None]:
    """A folder in which the three may be written, made 0700 if need be, gone again where something fails.

    Conflict where a file of such a name is there that is not ours; OstiaryError where nothing can be written.
    """
    is_new = _made(folder)
    try:
        check(folder)
        yield
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def check(folder: Path) -> None:
    """Conflict unless each of the three is absent or ours."""
    for name in MODES:
        file = folder / name
        if not _may_replace(file):
            raise Conflict(
                f"cannot write {file}",
                why="it is there, and not written by this command",
                fix=OTHER,
            )


def write(folder: Path, key: str, certificate: str, authority: str) -> None:
    """Write the three. OstiaryError when it cannot be; those of before are there then, or no key is.

    The key goes first and comes last, so that at no moment one is beside a certificate that is not its own.
    """
    texts = {AUTHORITY: authority, CERTIFICATE: certificate, KEY: key}
    made: list[Path] = []
    try:
        for name, mode in MODES.items():
            beside = folder / f".{name}.{os.getpid()}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(beside, flags, mode), "w", encoding="ascii") as stream:
                made.append(beside)
                stream.write(f"{MARK}\n{texts[name]}")
        check(folder)
        (folder / KEY).unlink(missing_ok=True)
        for beside, name in zip(tuple(made), MODES, strict=True):
            beside.replace(folder / name)
            made.append(folder / name)
    except BaseException as failed:
        for file in made:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
        if isinstance(failed, OSError):
            raise _unwritable(folder, failed) from failed
        raise


def _made(folder: Path) -> bool:
    """Whether the folder had to be made; OstiaryError where it cannot be written in."""
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            return True
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is no folder")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise _unwritable(folder, error) from error
    return False


def _may_replace(file: Path) -> bool:
    """Whether nothing is there, or a file of this user that begins as ours do."""
    try:
        found = file.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid():
            return False
        with file.open("rb") as stream:
            return stream.read(len(MARK) + 1) == f"{MARK}\n".encode()
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _unwritable(folder: Path, error: OSError) -> OstiaryError:
    return OstiaryError(f"cannot write in {folder}", why=str(error.strerror).lower(), fix=OTHER)
