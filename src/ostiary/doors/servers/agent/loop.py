"""The agent at work: asks for the state, makes it so, tells how the host is; for as long as it runs.

The control plane is asked with a long poll, so a removal travels in seconds. Whatever happens on the way there, the last
good state stays in force; it is applied again from time to time, because others change hosts too.
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Callable

from ostiary.doors.servers.agent import (
    accounts_owned,
    cutting,
    facts,
    host_certificate,
    ledger,
    other_ways_close,
    principals,
    reconcile,
    spool,
    sshd_install,
    trust,
)
from ostiary.doors.servers.agent import state as states
from ostiary.doors.servers.agent.accounts_lookup import Lookup
from ostiary.doors.servers.agent.control import SECONDS, Control
from ostiary.doors.servers.agent.files import HostError, Paths
from ostiary.doors.servers.agent.identity import Identity
from ostiary.doors.servers.wire.host import HostReport, HostState, Login
from ostiary.doors.servers.wire.message import encode

WAIT = 25  # seconds that the control plane may hold a question
REPORT = 60.0  # seconds between reports at most
WATCH = 5.0  # seconds between looks at sessions that have a bound
AGAIN = 300.0  # seconds until the state is applied again, unchanged
LONGEST_PAUSE = 60.0
FIRST_PAUSE = 1.0


class Stopped(BaseException):
    """Raised by the handler of a signal, while nothing but an answer is waited for."""


class Agent:
    """One host's agent. ``say`` gets a line for each thing that happened."""

    def __init__(self, identity: Identity, paths: Paths, say: Callable[[str], None]) -> None:
        self._identity, self._paths, self._say = identity, paths, say
        self._control = Control(identity.url, paths, identity.ca_file, identity.name)
        self._spool = spool.Spool(paths)
        self._state: HostState | None = states.read(paths.state)
        self._problems: tuple[str, ...] = ()
        self._ways: tuple[str, ...] = ()
        self._applied = 0
        self._applied_at = self._reported_at = float("-inf")
        self._unsaid = True  # something to report
        self._kept = True  # the state is on the disk as well
        self._news = False  # by the last answer
        self.waiting = False  # for an answer that may take long

    def run(self, stop: threading.Event) -> None:
        """Until ``stop``. A control plane that does not know this server (any more) changes nothing here: it may be wrong."""
        watch = threading.Thread(target=self._watch, args=(stop,), name="sessions", daemon=True)
        watch.start()
        self._apply_stored()
        pause = FIRST_PAUSE
        while not stop.is_set():
            began = time.monotonic()
            try:
                self.round(WAIT)
                pause = FIRST_PAUSE
                if time.monotonic() - began < FIRST_PAUSE:
                    stop.wait(self._poll())
                continue
            except Stopped:
                return
            except HostError as error:
                self._say(error.told)
            stop.wait(random.uniform(pause / 2, pause))  # noqa: S311 - so that a fleet does not come back at once
            pause = min(pause * 2, LONGEST_PAUSE)

    def round(self, wait: int, *, accept_older: bool = False) -> None:
        """Ask once, apply, report. HostError if the control plane was not reached or not believed."""
        try:
            self._ask(wait, accept_older=accept_older)
        finally:
            self._apply_stored()
        now = time.monotonic()
        logins, offset = self._events()
        if logins or self._unsaid or now - self._reported_at >= REPORT:
            self._report(logins)
            if offset is not None:
                self._shipped(offset)
            ledger.prune(self._paths.ledger, time.time())

    def _events(self) -> tuple[tuple[Login, ...], int | None]:
        """The next login events, and what they reach to; None where a disk that fails keeps them for later."""
        try:
            return self._spool.take()
        except OSError as error:
            self._say(f"login events: {error.filename}: {error.strerror}")
            return (), None

    def _shipped(self, offset: int) -> None:
        """On a disk that fails they stay there, and the spool remembers that they went; that is told, and ends no agent."""
        try:
            self._spool.shipped(offset)
        except OSError as error:
            self._say(f"login events: {error.filename}: {error.strerror}")

    def _poll(self) -> float:
        """Seconds until the next question, where the control plane does not hold one; at once after news."""
        asked = self._state.poll_seconds if self._state else FIRST_PAUSE
        return FIRST_PAUSE if self._news else max(FIRST_PAUSE, min(asked, LONGEST_PAUSE))

    def _watch(self, stop: threading.Event) -> None:
        """Between two applications: what must not wait for the next one."""
        while not stop.wait(WATCH):
            self._close_if_uncounted()
            self._end_long_sessions()

    def _close_if_uncounted(self) -> None:
        """Where somebody took the session hook away (an upgrade of sshd's package may), nobody enters until it is back."""
        own = {self._identity.break_glass_account}
        try:
            if principals.held(self._paths) <= own or sshd_install.in_force(self._paths):
                return
            principals.close(self._paths, own)
        except (HostError, OSError) as error:
            self._say(f"session hook: {error}")
            return
        self._say("the session hook was taken away: nobody enters until it is back")
        self._applied_at = float("-inf")

    def _end_long_sessions(self) -> None:
        """End sessions that are older than their user's bound."""
        users = self._state.users if self._state else ()
        bounds = {user.uid: user.max_session for user in users if user.max_session}
        try:
            for uid in cutting.end_long_sessions(bounds) if bounds else ():
                self._say(f"ended a session of UID {uid}: it was older than its bound")
        except (HostError, OSError) as error:
            self._say(f"sessions: {error}")

    def _ask(self, wait: int, *, accept_older: bool) -> None:
        held = self._state.generation if self._state and not accept_older else 0
        path = f"/v1/hosts/state?generation={held}&wait={wait}"
        seconds = SECONDS + wait
        server_id = self._identity.server_id
        self.waiting = wait > 0
        try:
            answer = self._control.call("GET", path, server_id=server_id, seconds=seconds)
        finally:
            self.waiting = False
        self._news = answer.status != http.client.NOT_MODIFIED
        if not self._news:
            return
        try:
            owned = accounts_owned.Owned.read(self._paths.owned, Lookup.now()).users
        except OSError as error:
            raise HostError(f"cannot read {self._paths.owned}", why=str(error)) from error
        try:
            state = states.believe(
                self._paths.state,
                server_id,
                answer.body,
                owned,
                time.time(),
                accept_older=accept_older,
            )
        except HostError as error:
            self._problems, self._unsaid = (*self._problems[:50], str(error)), True
            self._report(())
            raise
        self._state, self._kept, self._applied_at = state, False, float("-inf")

    def _apply_stored(self) -> None:
        now = time.monotonic()
        if self._state is None or now - self._applied_at < AGAIN:
            return
        found: list[str] = []
        self._keep(self._state, found)
        found += reconcile.apply(self._state, self._identity, self._paths)
        mode = self._state.other_ways
        ways = lambda: other_ways_close.apply(self._paths, mode)  # noqa: E731
        if told := reconcile.step(found, "other ways", ways):
            self._ways, more = told
            found += more
        problems = tuple(found)
        for problem in problems:
            self._say(problem)
        self._unsaid |= problems != self._problems or self._applied != self._state.generation
        self._problems, self._applied, self._applied_at = problems, self._state.generation, now

    def _keep(self, state: HostState, problems: list[str]) -> None:
        """A state that finds no place on the disk is applied all the same: who fills the disk must not stay by that."""

        def kept() -> bool:
            states.keep(self._paths.state, state)
            return True

        if not self._kept:
            self._kept = reconcile.step(problems, "state", kept) or False

    def _report(self, logins: tuple[Login, ...]) -> None:
        report = HostReport(
            generation=self._applied,
            trusted=(*trust.fingerprints(self._paths), *host_certificate.signed_by(self._paths)),
            time=time.time(),
            logins=logins,
            problems=self._problems,
            machine=facts.machine(),
            boot=facts.boot(),
            other_ways=self._ways,
        )
        body = encode(report)
        self._control.call("POST", "/v1/hosts/report", body, server_id=self._identity.server_id)
        self._reported_at, self._unsaid = time.monotonic(), False
