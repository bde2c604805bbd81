"""Issuing: one certificate, for one person, one server, one connection; released only when its audit row is durable.

What decides is read outside any lock; then one row goes through the process's writer. A certificate leaves when it is signed,
the signature was verified and the row is durable. When one of the three failed, or nobody knows, it is thrown away.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection

from ostiary.doors.servers.control import (
    certificate_made,
    local_users,
    machine_rates,
    second_library,
    x509_issue,
)
from ostiary.doors.servers.control.authorities import USER, Authorities, Authority, signing
from ostiary.doors.servers.control.certificate_made import Noted, Wanted
from ostiary.doors.servers.control.clock_guard import ClockGuard
from ostiary.doors.servers.control.database import Database, translated
from ostiary.doors.servers.control.freshness import STALE, Freshness, known_until
from ostiary.doors.servers.control.ledger import Ledger, Work
from ostiary.doors.servers.control.line import Apart
from ostiary.doors.servers.control.local_users import Local
from ostiary.doors.servers.control.people import Person
from ostiary.doors.servers.control.sessions import Caller
from ostiary.doors.servers.control.step_up import check_sign_in
from ostiary.doors.servers.control.still_so import Moved, StillSo
from ostiary.doors.servers.control.tables import certificates
from ostiary.doors.servers.control.view import View, Views
from ostiary.doors.servers.control.ways import Places, PlacesLately, PlacesNow, Way, entry, find_way
from ostiary.doors.servers.control.writer import Writer
from ostiary.doors.servers.wire.admin import Machine
from ostiary.doors.servers.wire.person import (
    HOP,
    X509,
    CertificateRequest,
    Issued,
)
from ostiary.errors import Denied, OstiaryError
from ostiary.model.server_access import ServerAccess
from ostiary.pki import ssh_certificate, ssh_key
from ostiary.pki.ssh_certificate import Certificate

T = TypeVar("T")
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be signed for somebody, and what is to be written down of it."""

    way: Way
    authority: Authority
    wanted: Wanted
    certificate: Certificate
    noted: Noted


class Issuer:
    """Issues for all sessions of this process."""

    def __init__(
        self,
        *,
        database: Database,
        writer: Writer,
        authorities: Authorities,
        views: Views,
        clock: Callable[[], float],
        freshness: Freshness,
    ) -> None:
        self._guard = ClockGuard(database, clock)
        self._database = database
        self._writer = writer
        self._authorities = authorities
        self._views = views
        self._clock = clock
        self._freshness = freshness
        self._lately = PlacesLately()

    def issue(
        self,
        caller: Caller,
        asked: CertificateRequest,
        source: str,
        machine: Machine | None = None,
    ) -> Issued:
        """``_issue``, again where the project moved meanwhile."""
        for _ in range(ATTEMPTS):
            with contextlib.suppress(Moved):
                return self._issue(caller, asked, source, machine)
        raise Moved

    def _issue(
        self, caller: Caller, asked: CertificateRequest, source: str, machine: Machine | None
    ) -> Issued:
        """The certificate that was asked for, after its audit row is durable. ``source`` is the client's address.

        Denied (``not-entitled``, ``step-up``, ``stale``), NotFound (``no-server``), UsageError for what no certificate can be for,
        Throttled for a ``machine`` that has had its certificates of the hour.
        """
        self._guard.check()
        now = self._clock()
        with translated("cannot issue a certificate"), self._database.reading() as connection:
            way = self._way(PlacesNow(connection, self._views), caller, asked, now)
        wanted = _wanted(way, self._local(way.view, caller.person), caller, asked)
        if asked.purpose == X509:
            authority = x509_issue.authority_of(way.view)
            key = partial(self._authorities.private_key, authority)
            text, noted = x509_issue.make(wanted, authority.public_key, key, int(now))
            issued = _issued(way, wanted, text, noted)
        else:
            draft = self._draft(way, wanted, now)
            authority, noted, issued = draft.authority, draft.noted, self._sign(draft)
        row = _row(way, authority, noted, caller, asked, source=source, machine=machine)
        self._writer.write(*row)
        return issued

    def issue_together(
        self, asking: Sequence[tuple[Caller, CertificateRequest, str]]
    ) -> list[Issued | Exception]:
        """As ``issue`` for each, or the error that it ends with: looked up together, written in one transaction.

        Apart for whom a LocalUser is to be made first, and where KMS signs: nobody else waits for that.
        """
        self._guard.check()
        now = self._clock()
        found = self._ways(asking, now)
        for number, (caller, asked, _) in enumerate(asking):
            if isinstance(found[number], Way):
                found[number] = _or_error(self._at_once, found[number], caller, asked, now)
        drafts = [
            (one, its) for one, its in zip(found, asking, strict=True) if isinstance(one, Draft)
        ]
        ended = iter(self._ended(drafts))
        answers = [next(ended) if isinstance(one, Draft) else one for one in found]
        if any(isinstance(one, Exception) for one in answers):
            self._lately.forget()  # perhaps for what it says
        return answers

    def _ways(
        self, asking: Sequence[tuple[Caller, CertificateRequest, str]], now: float
    ) -> list[Any]:
        """Where each leads: by what is remembered, or else over one connection by what is there now."""
        ways = [
            _or_error(self._way, self._lately, caller, asked, now) for caller, asked, _ in asking
        ]
        if all(isinstance(one, Way) for one in ways):
            return ways
        with translated("cannot issue certificates"), self._database.reading() as connection:
            found = PlacesNow(connection, self._views)
            ways = [
                one if isinstance(one, Way) else _or_error(self._way, found, caller, asked, now)
                for one, (caller, asked, _) in zip(ways, asking, strict=True)
            ]
        self._lately.keep(found)
        return ways

    def _ended(
        self, drafts: Sequence[tuple[Draft, tuple[Caller, CertificateRequest, str]]]
    ) -> Sequence[Issued | Exception]:
        """Signed and written down: one alone both at once; several one after the other, so that nobody waits for the lock
        while we sign.
        """
        signed: list[Issued | Exception] = []

        def sign() -> None:
            signed.extend(_or_error(self._sign, draft) for draft, _ in drafts)

        rows = [
            _row(draft.way, draft.authority, draft.noted, caller, asked, source=source)
            for draft, (caller, asked, source) in drafts
        ]
        if len(drafts) == 1:
            (failed,) = self._writer.together(rows, sign)
            return [failed or signed[0]]
        sign()
        good = [row for row, made in zip(rows, signed, strict=True) if isinstance(made, Issued)]
        written = iter(self._writer.together(good))
        return [(next(written) or one) if isinstance(one, Issued) else one for one in signed]

    def _way(self, places: Places, caller: Caller, asked: CertificateRequest, now: float) -> Way:
        self._is_fresh(caller.person, now)
        way = find_way(places, caller.person, asked, now)
        check_sign_in(caller, way.view.project, now)
        return way

    def _at_once(self, way: Way, caller: Caller, asked: CertificateRequest, now: float) -> Draft:
        local = way.view.locals.get(caller.person.id)
        if local is None or asked.purpose == X509:
            raise Apart
        if signing(way.view.authorities, USER).kms_key:
            raise Apart
        return self._draft(way, _wanted(way, local, caller, asked), now)

    def _draft(self, way: Way, wanted: Wanted, now: float) -> Draft:
        """Of an SSH certificate; one of X.509 is drafted where it is signed."""
        authority = signing(way.view.authorities, USER)
        signer = self._authorities.signer(authority)
        certificate = certificate_made.draft(wanted, signer.public_key, int(now))
        noted = certificate_made.noted(certificate, wanted)
        return Draft(way, authority, wanted, certificate, noted)

    def _sign(self, draft: Draft) -> Issued:
        """Signed and verified: it must not leave before it is written down."""
        signer = self._authorities.signer(draft.authority)
        text = ssh_certificate.signed_text(draft.certificate, signer, second_library.verify)
        return _issued(draft.way, draft.wanted, text, draft.noted)

    def _is_fresh(self, person: Person, now: float) -> None:
        age = now - known_until(self._freshness, person)
        if age > STALE:
            raise Denied(
                "cannot issue a certificate",
                why=f"what Okta says of {person.login} was last read {age:.0f} s ago",
                fix="run: ostiary login",
                code="stale",
            )

    def _local(self, view: View, person: Person) -> Local:
        known = view.locals.get(person.id)
        if known is not None:
            return known
        return self._writer.write(
            [view.project.id],
            lambda connection, ledger: local_users.of(
                connection, ledger, view.project.id, person.id
            ),
        )


def _wanted(way: Way, local: Local, caller: Caller, asked: CertificateRequest) -> Wanted:
    return Wanted(
        key=ssh_key.parse(asked.public_key),
        person=caller.person.login,
        device=caller.device,
        project=way.view.project.name,
        login=local.login,
        server=way.server,
        target=way.target,
        access=way.access,
        purpose=asked.purpose,
    )


def _issued(way: Way, wanted: Wanted, text: str, noted: Noted) -> Issued:
    hops = wanted.purpose == HOP
    return Issued(
        certificate=text,
        login=wanted.login,
        server=entry(way.view, way.server, ServerAccess() if hops else way.access, may_hop=hops),
        host_authorities=way.view.trusted_hosts,
        serial=str(noted.serial),
    )


def _row(
    way: Way,
    authority: Authority,
    noted: Noted,
    caller: Caller,
    asked: CertificateRequest,
    *,
    source: str,
    machine: Machine | None = None,
) -> tuple[Sequence[str], Work[None]]:
    """What makes the certificate durable: the project whose chain it needs, and what is to be written there."""
    project_id = way.view.project.id
    body = {
        **noted.told,
        "person": caller.person.id,
        "person_login": caller.person.login,
        "device": caller.device,
        "signed_in": caller.signed_in,
        "server": way.server.id,
        "server_name": way.server.name,
        "authority": authority.id,
        "source": source,
        "because": list(way.access.because),
    }
    if way.preauthorization:
        body["preauthorization"] = way.preauthorization
    row: Mapping[str, Any] = {
        "serial": noted.serial,
        "project_id": project_id,
        "server_id": way.server.id,
        "person_id": caller.person.id,
        "expires": float(noted.valid_before),
        "met": "",
    }

    def work(connection: Connection, ledger: Ledger) -> None:
        if machine is not None:
            machine_rates.check(connection, ledger, machine, caller.person.id)
        number = ledger.append(project_id, "certificate.issued", body)
        ledger.insert(certificates, {**row, "number": number})
        StillSo(ledger, way, caller, asked)

    return [project_id], work


def _or_error(work: Callable[..., T], *arguments: Any) -> T | Exception:
    """What ``work`` gives, or what it raises: of many at once each has an end of its own."""
    try:
        return work(*arguments)
    except (OstiaryError, Apart) as error:
        return error
