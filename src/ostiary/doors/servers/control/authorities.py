"""The certificate authorities of projects: made, kept wrapped, opened once per process.

A private key lies in the database sealed under a key of its own, which is wrapped by the control plane's key-encryption
key (a 0600 file, a systemd credential, KMS): the database alone signs nothing. One with ``kms_key`` never leaves KMS.
What may ask KMS (``make``, ``signer``) is done outside any transaction.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from sqlalchemy import Connection, insert, select

from ostiary.doors.servers.control.far_signer import FarSigner
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.secret import new_id
from ostiary.doors.servers.control.tables import authorities
from ostiary.doors.servers.control.writer import Writer
from ostiary.doors.servers.control.x509_authority import authority_text
from ostiary.errors import Conflict, NotFound, OstiaryError, Throttled
from ostiary.pki import ssh_key
from ostiary.pki.signer import LocalSigner, Private, Signer
from ostiary.plan.wrap import Wrap, seal, unseal

USER, HOST, X509, BREAK_GLASS = "user", "host", "x509", "break-glass"
SIGNING, TRUSTED, RETIRED = "signing", "trusted", "retired"
RSA_BITS = 3072
_TRIAL = b"ostiary: does this key sign?"  # no certificate of any kind
_LENGTH = 2  # bytes in front of the wrapped key


class OpensKms(Protocol):
    """Gives the ARN and the key of what KMS holds under an ARN, id or alias; ``connect.py`` has one."""

    def __call__(self, kms_key: str, /) -> tuple[str, Private]: ...


class Told(Protocol):
    """Hears when an authority stops signing (the error) and when it signs again (None)."""

    def __call__(self, authority: Authority, failure: OstiaryError | None) -> None: ...


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
    project_id: str = ""
    changed: float = 0.0  # since when it is in its state


class Authorities:
    """Signers of authorities, opened once and kept in memory. Threads may share it."""

    def __init__(
        self, wrap: Wrap, open_kms: OpensKms | None = None, told: Told | None = None
    ) -> None:
        self._wrap = wrap
        self._open_kms = open_kms
        self._told = told
        self._open: dict[str, Signer] = {}
        self._lock = threading.Lock()

    def make(self, use: str, kms_key: str = "", state: str = SIGNING) -> Authority:
        """A new authority, not kept yet: a key of ours (Ed25519; RSA for x509), or the one that KMS holds under ``kms_key``.

        What is trusted of an X.509 authority is its certificate, PEM. A key that KMS holds has to sign once, so that none
        becomes an authority by which nobody would get in.
        """
        authority_id = new_id("ca")
        arn, key, private = "", new_key(use), None
        if kms_key:
            arn, key = self._in_kms(authority_id, kms_key)
        else:
            private = self._sealed(authority_id, key)
        return Authority(
            authority_id, use, state, _trusted(authority_id, use, arn, key), arn, private
        )

    def check(self, authority: Authority) -> None:
        """Conflict where KMS holds the key and would not sign with it now."""
        if authority.kms_key:
            arn, key = self._in_kms(authority.id, authority.kms_key)
            _trusted(authority.id, authority.use, arn, key)

    def signer(self, authority: Authority) -> Signer:
        """Who signs for this authority; asks nobody yet. NotFound where its private half is nowhere in our reach."""
        with self._lock:
            known = self._open.get(authority.id)
            if known is None:
                known = self._open[authority.id] = self._opened(authority)
            return known

    def private_key(self, authority: Authority) -> Private:
        """What an X.509 authority signs with. NotFound as for ``signer``; a key in KMS is asked for each time."""
        if authority.kms_key:
            return self._in_kms(authority.id, authority.kms_key)[1]
        return self._unsealed(authority)

    def problems(self) -> tuple[str, ...]:
        """Why which authorities do not sign now."""
        with self._lock:
            known = tuple(self._open.values())
        found = (one.problem for one in known if isinstance(one, FarSigner))
        return tuple(filter(None, found))

    def _sealed(self, authority_id: str, key: Private) -> bytes:
        inner = os.urandom(32)
        wrapped = self._wrap.wrap(inner)
        plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        sealed = seal(inner, plain, authority_id.encode())
        return len(wrapped).to_bytes(_LENGTH, "big") + wrapped + sealed

    def _opened(self, authority: Authority) -> Signer:
        if authority.kms_key:
            return self._far(authority)
        return LocalSigner(self._unsealed(authority))

    def _unsealed(self, authority: Authority) -> Private:
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
        assert isinstance(key, Private), "we seal no other"
        return key

    def _far(self, authority: Authority) -> FarSigner:
        def told(failure: OstiaryError | None) -> None:
            if self._told is not None:
                self._told(authority, failure)

        return FarSigner(
            authority.id,
            ssh_key.parse(authority.public_key),
            lambda: self._in_kms(authority.id, authority.kms_key)[1],
            told,
        )

    def _in_kms(self, authority_id: str, kms_key: str) -> tuple[str, Private]:
        if self._open_kms is None:
            raise NotFound(
                f"cannot use authority {authority_id}",
                why=f"its key is {kms_key} in KMS, and this control plane has no way to AWS",
                fix="start ostiary serve with credentials for AWS",
                code="no-authority",
            )
        return self._open_kms(kms_key)


def _trusted(authority_id: str, use: str, arn: str, key: Private) -> str:
    """What is trusted of a key. Conflict, by the words of KMS, where it holds the key and we may not sign with it."""
    try:
        if use == X509:
            return authority_text(f"ostiary {authority_id}", key, time.time())
        if arn:
            LocalSigner(key).sign(_TRIAL)
    except OstiaryError as error:
        raise Conflict(
            f"cannot sign with {arn}",
            why=error.why or error.what,
            fix="start ostiary serve as the role that the key's policy lets sign (--signer), or let its own sign",
            code="no-signature",
        ) from error
    return ssh_key.of(key.public_key()).text()


def new_key(use: str) -> Private:
    """Domain controllers take certificates by RSA authorities only."""
    if use == X509:
        return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    return Ed25519PrivateKey.generate()


def into_audit(writer: Writer) -> Told:
    """What writes into a project's audit that one of its authorities stopped signing, or signs again. It waits for nothing."""

    def told(authority: Authority, failure: OstiaryError | None) -> None:
        event = "authority.unavailable" if failure else "authority.available"
        why = {"code": failure.code, "why": failure.why or failure.what} if failure else {}
        body = {"authority": authority.id, "use": authority.use, "kms_key": authority.kms_key} | why
        with contextlib.suppress(Throttled):  # the writer is full: the status tells it still
            writer.submit(
                [authority.project_id],
                lambda _, ledger: ledger.append(authority.project_id, event, body),
            )

    return told


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
            created=made.created or ledger.now,
            changed=ledger.now,
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
            row.id,
            row.use,
            row.state,
            row.public_key,
            row.kms_key or "",
            row.private,
            row.created,
            row.project_id,
            row.changed,
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
        fix=f"begin one with: ostiary servers project rotate PROJECT --use {use} --step begin",
        code="no-authority",
    )


def trusted(known: Sequence[Authority], use: str) -> tuple[str, ...]:
    """The public keys that hosts, or clients for ``use`` host, must believe: two during a rotation."""
    return tuple(one.public_key for one in known if one.use == use and one.state != RETIRED)
