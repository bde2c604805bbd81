"""Machines sign in: CI, Ansible and whatever else is no person but has one who answers for it.

A machine is let in while its proof is good, its own end has not come, and its owner is active at the org. It then is a
principal like a person, named ``machine:NAME``, in whose session as many certificates an hour are issued as it may have.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from ostiary.doors.servers.control import machines_kept, people, projects, sessions, used_once
from ostiary.doors.servers.control.database import translated
from ostiary.doors.servers.control.endpoint import NOBODY, Call, Endpoint
from ostiary.doors.servers.control.freshness import STALE, known_until
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.machine_proof import Proven, refused
from ostiary.doors.servers.control.machines_kept import Kept
from ostiary.doors.servers.control.people import Person
from ostiary.doors.servers.control.services import Services
from ostiary.doors.servers.control.sessions import Caller
from ostiary.doors.servers.control.tables import people as people_table
from ostiary.doors.servers.wire.admin import Machine
from ostiary.doors.servers.wire.person import MachineSignIn, Session
from ostiary.errors import Denied

SESSION_SECONDS = 3600.0


def sign_in(services: Services, call: Call) -> Session:
    """A session for a proof, which is good for one."""
    asked: MachineSignIn = call.message
    with translated("cannot sign in this machine"), services.database.reading() as connection:
        kept = machines_kept.find(connection, asked.name)
        if kept is None or kept.machine.kind != asked.kind:
            raise _unknown(asked)
        _may(services, connection, kept.machine)
        project_ids = [one.id for one in projects.every(connection)]
    proven = services.machines.check(kept.machine, asked.proof)

    def work(connection: Connection, ledger: Ledger) -> Session:
        now_kept = machines_kept.find(connection, asked.name)
        if now_kept is None or now_kept.machine != kept.machine:
            raise _unknown(asked)
        _use(connection, kept.machine, proven)
        _bind(connection, now_kept, proven)
        return _begin(connection, ledger, now_kept, proven, call.address)

    return services.writer.write(project_ids, work)


def _may(services: Services, connection: Connection, machine: Machine) -> None:
    """Denied when the machine has ended, or nobody who is active answers for it."""
    now = services.clock()
    if machine.until <= now:
        raise _denied(machine, "its time is over", "set another until: ostiary apply")
    query = select(people_table).where(people_table.c.login == machine.owner)
    owners = [people.of_row(row) for row in connection.execute(query)]
    active = [one for one in owners if one.active]
    if not active:
        why = "is put out at the org" if owners else "has never signed in here"
        raise _denied(machine, f"its owner {machine.owner} {why}", "give it another owner")
    age = now - max(known_until(services.freshness, one) for one in active)
    if age > STALE:
        why = f"what the org says of its owner {machine.owner} was last read {age:.0f} s ago"
        raise _denied(machine, why, f"let {machine.owner} run: ostiary login", "stale")


def _use(connection: Connection, machine: Machine, proven: Proven) -> None:
    if not used_once.use(connection, proven.mark, proven.until + 60):
        raise refused(machine, "it was used already")


def _bind(connection: Connection, kept: Kept, proven: Proven) -> None:
    """A role that was deleted and made again is another one, whatever its name. Its id is learnt on first use."""
    if kept.bound and kept.bound != proven.role_id:
        raise refused(kept.machine, f"its role was made anew: {proven.role_id}, not {kept.bound}")
    if proven.role_id and not kept.bound:
        machines_kept.bind(connection, kept.machine.name, proven.role_id)


def _begin(
    connection: Connection, ledger: Ledger, kept: Kept, proven: Proven, address: str
) -> Session:
    machine = kept.machine
    me = machines_kept.person_id(machine.name)
    person = Person(me, me, (), active=True, read=ledger.now)
    people.keep(connection, ledger, person)
    seconds = min(SESSION_SECONDS, machine.until - ledger.now)
    token = sessions.begin(connection, ledger, person, seconds=seconds)
    body = {
        "machine": machine.name,
        "kind": machine.kind,
        "owner": machine.owner,
        "source": address,
        "proof": dict(proven.told),
    }
    ledger.append(kept.project_id, "machine.signed-in", body)
    return Session(token, ledger.now + seconds, people.local_login(connection, me), me)


def still_kept(services: Services, caller: Caller) -> Machine | None:
    """The machine that asks for a certificate, for which somebody still answers; None for people."""
    if not caller.is_machine:
        return None
    with translated("cannot look up the machine"), services.database.reading() as connection:
        kept = machines_kept.still(connection, caller.machine, services.clock())
    if kept is None:
        raise Denied(
            f"cannot issue a certificate to {caller.person.login}",
            why="this machine is no longer set, its time is over, or nobody who is active answers for it",
            fix="ask an owner of its project",
            code="no-machine",
        )
    return kept


def _denied(machine: Machine, why: str, fix: str, code: str = "no-owner") -> Denied:
    return Denied(f"cannot sign in machine {machine.name}", why=why, fix=fix, code=code)


def _unknown(asked: MachineSignIn) -> Denied:
    """A name is no secret: what is said of a machine that is there tells it."""
    return Denied(
        f"cannot sign in machine {asked.name[:64]!r}",
        why=f"there is none of this name that proves itself by {asked.kind[:40]!r}",
        fix="see its name and kind: ostiary servers project show PROJECT",
        code="bad-machine-proof",
    )


ENDPOINTS = (Endpoint("POST", "/v1/machines/sign-in", sign_in, NOBODY, MachineSignIn, alien=True),)
