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


class Wrap(Protocol):
    """Wraps the keys of runs; ``ostiary.aws`` has one over KMS. Raises only OstiaryErrors."""

    def wrap(self, key: bytes) -> bytes: ...

    def unwrap(self, wrapped: bytes) -> bytes: ...


class LocalKeyWrap:
    """A key in a 0600 file, made when first needed: for one machine, or carried to another with the folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def beside(cls, folder: Path) -> LocalKeyWrap:
        """The key of a ``FolderStore``: ``runs`` has ``runs.key`` beside it."""
        return cls(folder.with_name(folder.name + ".key"))

    def wrap(self, key: bytes) -> bytes:
        return seal(self._key(make=True), key, b"run key")

    def unwrap(self, wrapped: bytes) -> bytes:
        return unseal(self._key(make=False), wrapped, b"run key")

    def _key(self, *, make: bool) -> bytes:
        try:
            if make:
                with contextlib.suppress(FileExistsError):
                    _write_new(self._path, AESGCM.generate_key(256))
            if self._path.stat().st_mode & 0o077:
                why = "others may read it"
                raise Denied(
                    f"cannot use the key {self._path}", why=why, fix=f"chmod 600 {self._path}"
                )
            return self._path.read_bytes()
        except OSError as error:
            fix = "copy the key from the machine that made the run"
            raise OstiaryError(
                f"cannot use the key {self._path}", why=str(error.strerror), fix=fix
            ) from error


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
