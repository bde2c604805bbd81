"""Sessions of people and machines, and the devices that they sign in from. Only hashes of tokens are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.people import Person, groups_of
from ostiary.doors.servers.control.secret import new_id, new_token, token_hash
from ostiary.doors.servers.control.statement import Lookup
from ostiary.doors.servers.control.tables import devices, people, sessions
from ostiary.errors import Denied, NotFound, UsageError
from ostiary.pki.ssh_key import PublicKey

SECONDS = 12 * 3600
ACTIVE, REVOKED = "active", "revoked"
_FIND = Lookup(
    select(
        people.c.id,
        people.c.login,
        people.c.groups,
        people.c.active,
        people.c.read,
        sessions.c.device,
        devices.c.state,
        sessions.c.proof_key,
        sessions.c.signed_in,
        sessions.c.strength,
        sessions.c.expires,
    )
    .join(sessions, sessions.c.person_id == people.c.id)
    .join(devices, devices.c.id == sessions.c.device, isouter=True)
    .where(sessions.c.expires > bindparam("now")),
    sessions.c.hash,
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, in which session. ``device`` is the id of a registered device; "" for a machine, as is ``proof_key``.

    ``signed_in`` is when the person last proved who they are at the org, ``strength`` how (``acr`` of the ID token).
    """

    person: Person
    session: str = field(repr=False)  # the hash of the token
    device: str
    proof_key: str = field(repr=False)
    signed_in: float
    strength: str
    expires: float

    @property
    def is_machine(self) -> bool:
        return self.person.id.startswith("machine:")

    @property
    def machine(self) -> str:
        """The name of a machine, "" of a person."""
        return self.person.id.removeprefix("machine:") if self.is_machine else ""


def begin(
    connection: Connection,
    ledger: Ledger,
    person: Person,
    *,
    device: str = "",
    proof_key: str = "",
    signed_in: float | None = None,
    strength: str = "",
    methods: Sequence[str] = (),
    seconds: float = SECONDS,
) -> str:
    """A new session's token; the only time that it is seen."""
    token = new_token("session")
    connection.execute(
        insert(sessions).values(
            hash=token_hash(token),
            person_id=person.id,
            device=device,
            proof_key=proof_key,
            signed_in=ledger.now if signed_in is None else signed_in,
            strength=strength[:256],
            methods=" ".join(methods)[:256],
            expires=ledger.now + seconds,
        )
    )
    return token


def find(connection: Connection, token: str, now: float) -> Caller | None:
    """Whose session a token is; None when there is none, or no more."""
    return find_all(connection, [known := token_hash(token)], now).get(known)


def find_all(connection: Connection, hashes: Sequence[str], now: float) -> dict[str, Caller]:
    """Whose sessions those of these hashes are: those that there are, and no more."""
    found = {}
    for known, row in _FIND.rows(connection, hashes, now=now).items():
        person_id, login, groups, active, read, device, state, *rest = row
        if active and (not device or state == ACTIVE):
            person = Person(person_id, login, groups_of(groups), active=True, read=read)
            found[known] = Caller(person, known, device, *rest)
    return found


def end(connection: Connection, session: str) -> None:
    """End the session of this hash."""
    connection.execute(delete(sessions).where(sessions.c.hash == session))


def forget(connection: Connection, ledger: Ledger) -> None:
    """Strike out what has expired."""
    connection.execute(delete(sessions).where(sessions.c.expires < ledger.now))


def register(
    connection: Connection, ledger: Ledger, person: Person, name: str, public: PublicKey
) -> str:
    """The id of the person's device with this key, made when first seen. Denied for one that was revoked."""
    if public.type != "ssh-ed25519":
        why = f"it is of type {public.type}; a device has an ssh-ed25519 key"
        raise UsageError("cannot register this device", why=why, code="bad-request")
    table = devices
    known = connection.execute(
        select(table).where(table.c.person_id == person.id, table.c.public_key == public.text())
    ).one_or_none()
    if known is None:
        device = {"id": new_id("dev"), "person_id": person.id, "name": _printable(name)}
        seen = {"state": ACTIVE, "first_seen": ledger.now, "last_seen": ledger.now}
        connection.execute(insert(table).values(**device, public_key=public.text(), **seen))
        return device["id"]
    if known.state != ACTIVE:
        raise Denied(
            f"cannot sign in from device {known.id}",
            why="it was revoked",
            fix="if it is yours again, make it a new one: rm ~/.config/ostiary/device.key; then: ostiary login",
            code="device-revoked",
        )
    connection.execute(update(table).where(table.c.id == known.id).values(last_seen=ledger.now))
    return str(known.id)


def revoke(connection: Connection, device_id: str, person_id: str | None) -> None:
    """Revoke a device, of ``person_id`` unless None, and end its sessions. NotFound if there is none."""
    table = devices
    query = update(table).where(table.c.id == device_id).values(state=REVOKED)
    if person_id is not None:
        query = query.where(table.c.person_id == person_id)
    if connection.execute(query).rowcount != 1:
        raise NotFound(f"no device of yours has the id {device_id[:40]!r}", code="no-device")
    connection.execute(delete(sessions).where(sessions.c.device == device_id))


def _printable(name: str) -> str:
    return "".join(one if one.isprintable() else " " for one in name)[:128]
