"""What hosts let in against what was signed: every serial that an sshd accepted must be one that the audit stands for.

Works on audit rows alone (``certificate.issued``, ``break-glass.signed``, ``certificate.met``, ``certificates.strange``), so
an exported file does.
Certificates that no host has met are no finding: a connection may fail before its session.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from ostiary.doors.servers.control.chain import Linked
from ostiary.doors.servers.wire.host import UNTOLD
from ostiary.doors.servers.wire.one_line import one_line

ISSUED, SIGNED, MET = "certificate.issued", "break-glass.signed", "certificate.met"
STRANGE = "certificates.strange"  # many at once that were not issued for the host: their number, and the first
CREATED = "authority.created"
PEOPLE = (
    "user",
    "x509",
)  # uses of authorities all of whose signatures are rows; checkpoints of host ones are none
ACCEPTED, GLASS = "accepted", "break-glass"  # outcomes with which a host lets in
NOT_LET_IN = "strange"  # outcome of many at once that were not let in
CLOCK = 60.0  # seconds that a host's clock may be off: no host farther off is enrolled


@dataclass(frozen=True, slots=True)
class Certificate:
    """As the audit says that it was signed. ``glass``: by shares, without us."""

    number: int
    server: str
    login: str
    after: float
    before: float
    glass: bool = False


@dataclass(frozen=True, slots=True)
class Meeting:
    """One certificate met by a host, as the host tells it. ``number`` is the row's, not a part of the event."""

    server: str
    login: str
    time: float
    source: str
    outcome: str
    number: int = field(compare=False, hash=False, default=0)


@dataclass(frozen=True, slots=True)
class Finding:
    """``kind``: never-issued, no-slip, twice, other-server, other-login, outside-validity, signed-twice, not-written."""

    kind: str
    serial: str
    text: str
    rows: tuple[int, ...]

    def as_json(self) -> dict[str, object]:
        return {
            "kind": self.kind,
            "serial": self.serial,
            "text": self.text,
            "rows": list(self.rows),
        }


@dataclass(slots=True)
class Reconciled:
    """``outcomes`` counts what hosts told: accepted, replayed, refused, closed…"""

    certificates: int = 0
    slips: int = 0
    met: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        return {
            "certificates": self.certificates,
            "slips": self.slips,
            "met": self.met,
            "outcomes": dict(sorted(self.outcomes.items())),
            "findings": [one.as_json() for one in self.findings],
        }


class _Met(msgspec.Struct, gc=False):
    """What matters of the body of a row; what else is in it is not read."""

    serial: str
    server: str
    login: str
    time: float
    source: str
    outcome: str


class _Event(msgspec.Struct, gc=False):
    serial: str
    login: str
    time: float
    source: str
    outcome: str


class _Strange(msgspec.Struct, gc=False):
    server: str
    number: int
    let_in: dict[str, int]
    first: list[_Event]


class _Signed(msgspec.Struct, gc=False):
    serial: str
    server: str
    principal: str
    valid_after: float
    valid_before: float
    authority: str


class _Created(msgspec.Struct, gc=False):
    authority: str
    use: str
    kms_key: str = ""


_MET = msgspec.json.Decoder(_Met).decode
_STRANGE = msgspec.json.Decoder(_Strange).decode
_SIGNED = msgspec.json.Decoder(_Signed).decode
_CREATED = msgspec.json.Decoder(_Created).decode


class Books:
    """What was signed and what was met, by serial."""

    def __init__(self) -> None:
        self.signed: dict[str, Certificate] = {}
        self.met: dict[str, set[Meeting]] = {}
        self.twice: list[Finding] = []
        self.unnamed: list[Finding] = []  # logins of which nothing but their number is known
        self.uncounted: Counter[str] = Counter()  # their outcomes
        self.by_authority: dict[str, list[float]] = {}  # of those in KMS: when each signed
        self.kms_keys: dict[str, str] = {}  # authority -> ARN of its key
        # authority -> when it was made: its key signed once to show that it does
        self.begun: dict[str, float] = {}
        self._last = ""

    def take(self, row: Linked) -> None:
        """What matters of a row; rows come in order."""
        if row.event == MET:
            self._meet(row.number, _MET(row.body))
        elif row.event == STRANGE:
            self._meet_many(row.number, _STRANGE(row.body))
        elif row.event in (ISSUED, SIGNED):
            self._sign(row, _SIGNED(row.body))
        elif row.event == CREATED:
            made = _CREATED(row.body)
            if made.kms_key and made.use in PEOPLE:
                self.kms_keys[made.authority] = made.kms_key
                self.begun[made.authority] = _seconds(row.time)
        self._last = row.time

    @property
    def last(self) -> float:
        """The time of the last row, 0 before the first."""
        return _seconds(self._last) if self._last else 0.0

    def reconciled(self) -> Reconciled:
        found = Reconciled(
            certificates=sum(not one.glass for one in self.signed.values()),
            slips=sum(one.glass for one in self.signed.values()),
        )
        found.findings += self.twice + self.unnamed
        found.outcomes.update(self.uncounted)
        for serial, meetings in self.met.items():
            found.outcomes.update(one.outcome for one in meetings)
            accepted = sorted(
                (one for one in meetings if one.outcome in (ACCEPTED, GLASS)),
                key=lambda one: (one.time, one.number),
            )
            found.met += bool(accepted)
            found.findings += _judged(serial, accepted, self.signed.get(serial))
        found.findings.sort(key=lambda one: one.rows)
        return found

    def _meet(self, number: int, met: _Met) -> None:
        told = Meeting(met.server, met.login, met.time, met.source, met.outcome, number)
        of_serial = self.met.setdefault(met.serial, set())
        if met.outcome == UNTOLD and told not in of_serial:  # logins whose serials nobody knows
            text = one_line(f"on {met.server}, since {_time(met.time)}: {met.source}")
            self.unnamed.append(Finding("not-written", "", text, (number,)))
        of_serial.add(told)  # told twice is the same event

    def _meet_many(self, number: int, strange: _Strange) -> None:
        """Those that are told are judged as any; of the others it is known that no certificate was issued for them."""
        for one in strange.first:
            met = _Met(one.serial, strange.server, one.login, one.time, one.source, one.outcome)
            self._meet(number, met)
        told = Counter(one.outcome for one in strange.first)
        others = strange.number - len(strange.first)
        for outcome, kind in ((ACCEPTED, "never-issued"), (GLASS, "no-slip")):
            more = strange.let_in.get(outcome, 0) - told[outcome]
            if more > 0:
                text = f"{more} more on {strange.server} at once, by serials that are not kept"
                self.unnamed.append(Finding(kind, "", text, (number,)))
                self.uncounted[outcome] += more
                others -= more
        if others > 0:
            self.uncounted[NOT_LET_IN] += others

    def _sign(self, row: Linked, signed: _Signed) -> None:
        made = Certificate(
            number=row.number,
            server=signed.server,
            login=signed.principal.partition("@")[0],
            after=signed.valid_after,
            before=signed.valid_before,
            glass=row.event == SIGNED,
        )
        first = self.signed.setdefault(signed.serial, made)
        if first is not made:
            text = "two certificates of the audit have this serial"
            rows = (first.number, row.number)
            self.twice.append(Finding("signed-twice", signed.serial, text, rows))
        if signed.authority in self.kms_keys and not made.glass:
            self.by_authority.setdefault(signed.authority, []).append(_seconds(row.time))


def _judged(serial: str, accepted: list[Meeting], made: Certificate | None) -> Iterator[Finding]:
    """What is wrong with the logins by one serial."""
    for one in accepted:
        where = one_line(
            f"{one.login} on {one.server} from {one.source or 'somewhere'} at {_time(one.time)}"
        )
        if made is None:
            kind = "no-slip" if one.outcome == GLASS else "never-issued"
            why = "no slip says that it was signed" if kind == "no-slip" else "it was never issued"
            yield Finding(kind, serial, f"{where}: {why}", (one.number,))
            continue
        rows = (made.number, one.number)
        if one.server != made.server:
            yield Finding("other-server", serial, f"{where}: it is for {made.server}", rows)
        if one.login != made.login:
            yield Finding("other-login", serial, f"{where}: it is for {made.login}", rows)
        if not made.after - CLOCK <= one.time <= made.before + CLOCK:
            text = f"{where}: it is good from {_time(made.after)} to {_time(made.before)}"
            yield Finding("outside-validity", serial, text, rows)
    once = [one for one in accepted if one.outcome == ACCEPTED]
    if len(once) > 1:
        times = ", ".join(f"{one.server} {_time(one.time)}" for one in once)
        text = f"it was accepted {len(once)} times: {times}"
        yield Finding("twice", serial, text, tuple(one.number for one in once))


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def _time(seconds: float) -> str:
    """For people; a time that cannot be is shown as it was told."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"{seconds}"
