"""What people and machines ask: ``wire/person.py``."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from ostiary.doors.servers.control import (
    inventory,
    machines,
    people,
    projects,
    sessions,
    used_once,
)
from ostiary.doors.servers.control.database import translated
from ostiary.doors.servers.control.endpoint import NOBODY, Call, Endpoint
from ostiary.doors.servers.control.identity import MOST_AGE, Identity
from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.line import Apart
from ostiary.doors.servers.control.people import Person
from ostiary.doors.servers.control.secret import new_token
from ostiary.doors.servers.control.services import Services
from ostiary.doors.servers.control.ways import entries
from ostiary.doors.servers.wire.paths import CERTIFICATES
from ostiary.doors.servers.wire.person import (
    SIGN_IN_NAMESPACE,
    CertificateRequest,
    Issued,
    ServerEntry,
    Servers,
    Session,
    SignIn,
    SignInSettings,
    sign_in_message,
)
from ostiary.errors import Denied, OstiaryError
from ostiary.pki import sshsig
from ostiary.pki.ssh_key import PublicKey

LOG = logging.getLogger("ostiary.control")
FRESH = 60.0  # seconds that an ID token is taken at its word


def settings(services: Services, _: Call) -> SignInSettings:
    return replace(services.sign_in, scopes=services.scopes())


def sign_in(services: Services, call: Call) -> Session:
    """A session for an ID token, which is good for one."""
    asked: SignIn = call.message
    identity = services.verifier.verify(asked.id_token)
    device_key = _device_key(services.url, asked)
    said = _person(services, identity)
    with translated("cannot sign in"), services.database.reading() as connection:
        project_ids = [one.id for one in projects.every(connection)]

    def work(connection: Connection, ledger: Ledger) -> Session:
        _use(connection, ledger, identity.mark)
        person = _kept(connection, ledger, said)
        if services.refresh is not None and asked.refresh_token:
            services.refresh.keep(connection, person.id, asked.refresh_token)
        device = sessions.register(connection, ledger, person, asked.device, device_key)
        proof_key = new_token("proof")
        token = sessions.begin(
            connection,
            ledger,
            person,
            device=device,
            proof_key=proof_key,
            signed_in=identity.signed_in,
            strength=identity.strength,
            methods=identity.methods,
        )
        expires = ledger.now + sessions.SECONDS
        local_login = people.local_login(connection, person.id)
        return Session(token, expires, local_login, person.login, device, proof_key)

    session = services.writer.write(project_ids, work)
    LOG.info("%s signed in from %s", session.person, call.address)
    return session


def _device_key(url: str, asked: SignIn) -> PublicKey:
    """Of the device that signed in here. A URL in the proof cannot be read, so ours is told: another name is its usual fault."""
    signed = sign_in_message(url, asked.id_token, asked.refresh_token, asked.device)
    try:
        return sshsig.verify(asked.device_proof, SIGN_IN_NAMESPACE, signed)
    except OstiaryError as error:
        raise Denied(
            "cannot tell which device signs in",
            why=f"no device signed this for the control plane {url}: {error.why}",
            fix=f"run: ostiary login --control {url}",
            code="bad-device-proof",
        ) from error


def _person(services: Services, identity: Identity) -> Person:
    """What the token says of who signs in, or the org where the token has no groups, or is of a while ago.

    The log has told by then of who was put out since, but of nobody whom we did not know.
    """
    names = (identity.person_id, identity.login)
    if any(one.startswith("machine:") or not one.isprintable() for one in names):
        why = "machines have names like this, and sign in by another way"
        raise Denied(f"cannot sign in {identity.login[:80]!r}", why=why, code="bad-login")
    groups, read = identity.groups, identity.issued
    is_old = services.clock() - read > FRESH
    if (groups is None or is_old) and services.groups_of is not None:
        read = services.clock()
        groups = services.groups_of.groups(identity.person_id)
    return Person(identity.person_id, identity.login, groups or (), active=True, read=read)


def _kept(connection: Connection, ledger: Ledger, said: Person) -> Person:
    """What is true of the person: a token of a while ago does not undo what the org said since."""
    known = people.get(connection, said.id)
    if known is not None and known.read >= said.read and not known.active:
        raise Denied(
            f"cannot sign in {said.login}",
            why="the org has put this person out since the ID token was made",
            fix="ask an administrator of the Okta org",
            code="inactive",
        )
    if known is not None and known.read > said.read:
        return known
    people.keep(connection, ledger, said)
    return said


def _use(connection: Connection, ledger: Ledger, mark: str) -> None:
    if not used_once.use(connection, mark, ledger.now + 2 * MOST_AGE):
        raise Denied(
            "cannot sign in with this ID token",
            why="it was used already",
            fix="run: ostiary login",
            code="invalid-token",
        )


def servers(services: Services, call: Call) -> Servers:
    """The servers that the caller may enter, or would with a preauthorization, and the bastions on the way there."""
    now, person = services.clock(), call.who.person
    found: list[ServerEntry] = []
    with translated("cannot list servers"), services.database.reading() as connection:
        for project in projects.every(connection):
            view = services.views.of(connection, project)
            held = [
                one
                for one in inventory.every(connection, project.id)
                if one.state == inventory.ACTIVE
            ]
            found += entries(view, person, held, now)
    return Servers(tuple(found))


def certificate(services: Services, call: Call) -> Issued:
    machine = machines.still_kept(services, call.who)
    asked: CertificateRequest = call.message
    return services.issuer.issue(call.who, asked, call.address, machine)


def certificates(services: Services, calls: Sequence[Call]) -> Sequence[Any]:
    """``certificate`` for many at once; machines apart."""
    persons = [one for one in calls if not one.who.is_machine]
    asked = [(one.who, one.message, one.address) for one in persons]
    issued = iter(services.issuer.issue_together(asked))
    return [Apart() if one.who.is_machine else next(issued) for one in calls]


def sign_out(services: Services, call: Call) -> None:
    session = call.who.session
    services.writer.write([], lambda connection, _: sessions.end(connection, session))


ENDPOINTS = (
    Endpoint("GET", "/v1/sign-in", settings, NOBODY, far=True),
    Endpoint("POST", "/v1/sign-in", sign_in, NOBODY, SignIn, far=True),
    Endpoint("GET", "/v1/servers", servers),
    Endpoint(
        "POST",
        CERTIFICATES,
        certificate,
        takes=CertificateRequest,
        together=certificates,
        repeats=True,  # for the same key, which they do not have
    ),
    Endpoint("POST", "/v1/sign-out", sign_out),
)
