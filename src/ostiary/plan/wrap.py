"""Before-images are encrypted: a fresh AES-256 key per run, itself wrapped by a key that the estate names."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ostiary.errors import Denied, OstiaryError

_NONCE = 12  # bytes, NIST SP 800-38D
_KEY = 32  # bytes of AES-256
_OTHERS, _ANYBODY = 0o077, 0o007  # bits of a mode


class Wrap(Protocol):
    """Wraps the keys of runs; ``ostiary.aws`` has one over KMS. Raises only OstiaryErrors."""

    def wrap(self, key: bytes) -> bytes: ...

    def unwrap(self, wrapped: bytes) -> bytes: ...


class LocalKeyWrap:
    """A key in a 0600 file of 32 bytes, made when first needed: for one machine, or carried to another with the folder."""

    def __init__(self, path: Path, *, closed_to: int = _OTHERS) -> None:
        self._path = path
        self._closed_to = closed_to

    @classmethod
    def beside(cls, folder: Path) -> LocalKeyWrap:
        """The key of a ``FolderStore``: ``runs`` has ``runs.key`` beside it."""
        return cls(folder.with_name(folder.name + ".key"))

    @classmethod
    def credential(cls, path: Path) -> LocalKeyWrap:
        """A file that systemd gives to one service, in a folder that only it enters: systemd.exec(5), ``LoadCredential=``.

        It may be root's, and readable by the service's user through an ACL, which shows as a group that reads.
        """
        return cls(path, closed_to=_ANYBODY)

    def wrap(self, key: bytes) -> bytes:
        return seal(self._key(make=True), key, b"run key")

    def unwrap(self, wrapped: bytes) -> bytes:
        return unseal(self._key(make=False), wrapped, b"run key")

    def _key(self, *, make: bool) -> bytes:
        what = f"cannot use the key {self._path}"
        try:
            if make and not self._path.exists():  # it may lie where nobody writes
                with contextlib.suppress(FileExistsError):
                    _write_new(self._path, AESGCM.generate_key(8 * _KEY))
            if self._path.stat().st_mode & self._closed_to:
                raise Denied(what, why="others may read it", fix=f"chmod 600 {self._path}")
            key = self._path.read_bytes()
        except OSError as error:
            fix = "see that this user may read it; a key of another machine is to be copied here"
            raise OstiaryError(what, why=str(error.strerror), fix=fix) from error
        if len(key) != _KEY:
            why = f"it has {len(key)} bytes: a key is {_KEY} random bytes, as they are"
            raise Denied(
                what, why=why, fix="name the file of such a key, or one that is not there yet"
            )
        return key


def seal(key: bytes, plain: bytes, context: bytes) -> bytes:
    """AES-256-GCM: nonce and ciphertext, bound to ``context``."""
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plain, context)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], context)
    except (InvalidTag, ValueError) as error:
        why = "the key is another one, or the bytes were changed"
        raise Denied("cannot open what was sealed", why=why) from error


def _write_new(path: Path, data: bytes) -> None:
    """All of it or nothing: two processes may do this at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, path)
    finally:
        temporary.unlink()
