"""The certificate authorities of projects: made, kept wrapped, opened once per process.

A private key lies in the database sealed under a key of its own, which is wrapped by the control plane's key-encryption
key (a 0600 file, a systemd credential, KMS): the database alone signs nothing. One with ``kms_key`` never leaves KMS.
What may ask KMS (``make``, ``signer``) is done outside any transaction.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from sqlalchemy import Connection, insert, select

from ostiary.doors.servers.control.secret import new_id
from ostiary.doors.servers.control.tables import authorities
from ostiary.doors.servers.control.writer import Ledger
from ostiary.errors import NotFound
from ostiary.pki import ssh_key
from ostiary.pki.signer import LocalSigner, Signer
from ostiary.plan.wrap import Wrap, seal, unseal

USER, HOST, X509, BREAK_GLASS = "user", "host", "x509", "break-glass"
SIGNING, TRUSTED, RETIRED = "signing", "trusted", "retired"
_LENGTH = 2  # bytes in front of the wrapped key


class OpensKms(Protocol):
    """Gives the signer of a KMS key by its id, ARN or alias; ``connect.py`` has one."""

    def __call__(self, kms_key: str) -> Signer: ...


@dataclass(frozen=True, slots=True)
class Authority:
    """One row of ``authorities``. ``private`` is sealed; None for a key in KMS, and for break-glass."""

    id: str
    use: str
    state: str
    public_key: str
    kms_key: str
    private: bytes | None = field(default=None, repr=False)
    created: float = 0.0


class Authorities:
    """Signers of authorities, opened once and kept in memory. Threads may share it."""

    def __init__(self, wrap: Wrap, open_kms: OpensKms | None = None) -> None:
        self._wrap = wrap
        self._open_kms = open_kms
        self._open: dict[str, Signer] = {}
        self._lock = threading.Lock()

    def make(self, use: str, kms_key: str = "", state: str = SIGNING) -> Authority:
        """A new authority, not kept yet: an Ed25519 key of ours, or the key that KMS holds under ``kms_key``."""
        authority_id = new_id("ca")
        if kms_key:
            public = self._in_kms(authority_id, kms_key).public_key.text()
            return Authority(authority_id, use, state, public, kms_key)
        key = Ed25519PrivateKey.generate()
        public = ssh_key.of(key.public_key()).text()
        return Authority(authority_id, use, state, public, "", self._sealed(authority_id, key))

    def signer(self, authority: Authority) -> Signer:
        """Who signs for this authority. NotFound where its private half is nowhere in our reach."""
        with self._lock:
            known = self._open.get(authority.id)
            if known is None:
                known = self._open[authority.id] = self._opened(authority)
            return known

    def _sealed(self, authority_id: str, key: Ed25519PrivateKey) -> bytes:
        inner = os.urandom(32)
        wrapped = self._wrap.wrap(inner)
        plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        sealed = seal(inner, plain, authority_id.encode())
        return len(wrapped).to_bytes(_LENGTH, "big") + wrapped + sealed

    def _opened(self, authority: Authority) -> Signer:
        if authority.kms_key:
            return self._in_kms(authority.id, authority.kms_key)
        if authority.private is None:
            raise NotFound(
                f"cannot sign with authority {authority.id}",
                why=f"the private half of a {authority.use} authority is not kept here",
                code="no-authority",
            )
        stored = authority.private
        length = int.from_bytes(stored[:_LENGTH], "big")
        inner = self._wrap.unwrap(stored[_LENGTH : _LENGTH + length])
        plain = unseal(inner, stored[_LENGTH + length :], authority.id.encode())
        key = load_der_private_key(plain, None)
        assert isinstance(key, Ed25519PrivateKey), "we seal no other"
        return LocalSigner(key)

    def _in_kms(self, authority_id: str, kms_key: str) -> Signer:
        if self._open_kms is None:
            raise NotFound(
                f"cannot use authority {authority_id}",
                why=f"its key is {kms_key} in KMS, and this control plane has no way to AWS",
                fix="start ostiary serve with credentials for AWS",
                code="no-authority",
            )
        return self._open_kms(kms_key)


def keep(connection: Connection, ledger: Ledger, project_id: str, made: Authority) -> None:
    """Keep a new authority in its project."""
    connection.execute(
        insert(authorities).values(
            id=made.id,
            project_id=project_id,
            use=made.use,
            state=made.state,
            public_key=made.public_key,
            private=made.private,
            kms_key=made.kms_key or None,
            created=ledger.now,
        )
    )
    body = {"authority": made.id, "use": made.use, "state": made.state, "kms_key": made.kms_key}
    ledger.append(project_id, "authority.created", {**body, "public_key": made.public_key})


def of_project(connection: Connection, project_id: str) -> tuple[Authority, ...]:
    """Every authority that a project has or had, the oldest first."""
    table = authorities
    rows = connection.execute(
        select(table).where(table.c.project_id == project_id).order_by(table.c.created, table.c.id)
    )
    return tuple(
        Authority(
            row.id, row.use, row.state, row.public_key, row.kms_key or "", row.private, row.created
        )
        for row in rows
    )


def signing(known: Sequence[Authority], use: str) -> Authority:
    """Which of a project's authorities signs for ``use``: the newest that may. NotFound when none does."""
    for one in reversed(known):
        if one.use == use and one.state == SIGNING:
            return one
    raise NotFound(
        f"no {use} authority of this project signs",
        fix="run: ostiary servers project rotate",
        code="no-authority",
    )


def trusted(known: Sequence[Authority], use: str) -> tuple[str, ...]:
    """The public keys that hosts, or clients for ``use`` host, must believe: two during a rotation."""
    return tuple(one.public_key for one in known if one.use == use and one.state != RETIRED)
