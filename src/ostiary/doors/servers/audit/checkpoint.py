"""Checkpoints: the last row of a chain, signed. Kept elsewhere they show a tail that was cut, and a chain written anew."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from ostiary.doors.servers.control.chain import Head
from ostiary.doors.servers.wire.admin import CHECKPOINT_NAMESPACE, Checkpoint
from ostiary.doors.servers.wire.message import InvalidMessage, decode, encode
from ostiary.errors import NotFound, OstiaryError, ProofFailed, UsageError
from ostiary.pki import ssh_key, sshsig
from ostiary.pki.signer import Signer
from ostiary.pki.ssh_key import PublicKey


def signed(signer: Signer, project_id: str, head: Head, time: str) -> Checkpoint:
    """``time`` is ISO 8601 in UTC, as in rows."""
    message = _message(project_id, head.number, head.hash, time)
    signature = sshsig.sign(signer, CHECKPOINT_NAMESPACE, message)
    key = signer.public_key.text()
    return Checkpoint(project_id, head.number, head.hash, time, key, signature)


KEYS = "give public keys, one a line, as ostiary servers project show PROJECT --json has them"


def signer_of(checkpoint: Checkpoint, trusted: Collection[PublicKey] = ()) -> PublicKey:
    """Whose signature it bears. ProofFailed if it is no good one, or not of a key in ``trusted`` (empty: any)."""
    what = f"cannot believe checkpoint {checkpoint.number} of {checkpoint.project_id[:40]}"
    message = _message(checkpoint.project_id, checkpoint.number, checkpoint.hash, checkpoint.time)
    try:
        key = sshsig.verify(checkpoint.signature, CHECKPOINT_NAMESPACE, message)
    except OstiaryError as bad:
        raise ProofFailed(what, why=bad.why, code="checkpoint") from bad
    if trusted and key not in trusted:
        why = f"{key.fingerprint} signed it, which is none of the authorities given"
        raise ProofFailed(what, why=why, code="checkpoint")
    return key


def line(checkpoint: Checkpoint) -> bytes:
    """As it stands in a file of checkpoints."""
    return encode(checkpoint) + b"\n"


def files_in(places: Iterable[Path]) -> Iterator[Path]:
    """The files named, and every file below the folders named: a copy of a store has one for each. NotFound for an empty folder."""
    for place in places:
        if not place.is_dir():
            yield place
            continue
        found = sorted(one for one in place.rglob("*") if one.is_file())
        if not found:
            raise NotFound(
                f"cannot find a checkpoint in {place}",
                why="no file is in it",
                fix="name what ostiary serve --checkpoint-dir keeps, or a copy of it",
            )
        yield from found


def read(path: Path) -> Iterator[Checkpoint]:
    """The checkpoints in a file, one a line. A line that was cut off is left out: its write was not finished."""
    for number, text in enumerate(_bytes(path).splitlines(), 1):
        try:
            yield decode(Checkpoint, text)
        except InvalidMessage as wrong:
            if not text.endswith(b"}"):
                continue
            raise UsageError(
                f"cannot read {path} as checkpoints",
                why=f"line {number}: {wrong}",
                fix="name what ostiary serve --checkpoint-dir keeps, or a copy of it",
            ) from wrong


def read_keys(path: Path) -> tuple[PublicKey, ...]:
    """The public keys in a file: authorized_keys lines, or ``@cert-authority`` lines of known_hosts."""
    found = []
    for text in _bytes(path).decode(errors="replace").splitlines():
        if not text.strip() or text.startswith("#"):
            continue
        plain = text.split(None, 2)[-1] if text.startswith("@cert-authority ") else text
        try:
            found.append(ssh_key.parse(plain))
        except OstiaryError as wrong:
            raise UsageError(
                f"cannot read {path} as public keys", why=wrong.why, fix=KEYS
            ) from wrong
    if not found:
        raise UsageError(f"cannot read {path} as public keys", why="there is none in it", fix=KEYS)
    return tuple(found)


def _message(project_id: str, number: int, digest: str, time: str) -> bytes:
    return f"{project_id}\n{number}\n{digest}\n{time}\n".encode()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        fix = "see that the file is there and that you may read it"
        raise UsageError(f"cannot read {path}", why=str(error.strerror).lower(), fix=fix) from error
