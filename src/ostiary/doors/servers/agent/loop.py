"""The agent at work: asks for the state, makes it so, tells how the host is; for as long as it runs.

The control plane is asked with a long poll, so a removal travels in seconds. Whatever happens on the way there, the last
good state stays in force; it is applied again from time to time, because others change hosts too.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from ostiary.doors.servers.agent import accounts_owned, facts, reconcile, spool, trust
from ostiary.doors.servers.agent import state as states
from ostiary.doors.servers.agent.accounts_lookup import Lookup
from ostiary.doors.servers.agent.control import SECONDS, Control, Refused
from ostiary.doors.servers.agent.files import HostError, Paths
from ostiary.doors.servers.agent.identity import Identity
from ostiary.doors.servers.wire.host import HostReport, HostState, Login
from ostiary.doors.servers.wire.message import encode

WAIT = 25  # seconds that the control plane may hold a question
REPORT = 60.0  # seconds between reports at most
AGAIN = 300.0  # seconds until the state is applied again, unchanged
LONGEST_PAUSE = 60.0
FIRST_PAUSE = 1.0


class Agent:
    """One host's agent. ``say`` gets a line for each thing that happened."""

    def __init__(self, identity: Identity, paths: Paths, say: Callable[[str], None]) -> None:
        self._identity, self._paths, self._say = identity, paths, say
        self._control = Control(identity.url, paths, identity.ca_file)
        self._spool = spool.Spool(paths)
        self._state: HostState | None = states.read(paths.state)
        self._problems: tuple[str, ...] = ()
        self._applied = 0
        self._applied_at = self._reported_at = float("-inf")
        self._unsaid = True  # something to report

    def run(self, stop: threading.Event) -> None:
        """Until ``stop``; it never ends by itself, unless the control plane says that this server is no more."""
        self._apply_stored()
        pause = FIRST_PAUSE
        while not stop.is_set():
            try:
                self.round(WAIT)
                pause = FIRST_PAUSE
                continue
            except Refused as error:
                self._say(f"refused: {error}")
            except HostError as error:
                self._say(str(error))
            stop.wait(random.uniform(pause / 2, pause))  # noqa: S311 - so that a fleet does not come back at once
            pause = min(pause * 2, LONGEST_PAUSE)

    def round(self, wait: int) -> None:
        """Ask once, apply, report. HostError if the control plane was not reached or not believed."""
        try:
            self._ask(wait)
        finally:
            self._apply_stored()
        now = time.monotonic()
        logins, offset = self._spool.take()
        if logins or self._unsaid or now - self._reported_at >= REPORT:
            self._report(logins)
            self._spool.shipped(offset)
            spool.prune(self._paths.ledger, time.time())

    def _ask(self, wait: int) -> None:
        held = self._state.generation if self._state else 0
        path = f"/v1/hosts/state?generation={held}&wait={wait}"
        seconds = SECONDS + wait
        server_id = self._identity.server_id
        answer = self._control.call("GET", path, server_id=server_id, seconds=seconds)
        if answer.status == 304:  # noqa: PLR2004 - not modified
            return
        owned = accounts_owned.Owned.read(self._paths.owned, Lookup.now()).users
        try:
            state = states.believe(self._paths.state, server_id, answer.body, owned, time.time())
        except HostError as error:
            self._problems, self._unsaid = (*self._problems[:50], str(error)), True
            self._report(())
            raise
        states.keep(self._paths.state, state)
        self._state, self._applied_at = state, float("-inf")

    def _apply_stored(self) -> None:
        now = time.monotonic()
        if self._state is None or now - self._applied_at < AGAIN:
            return
        problems = reconcile.apply(self._state, self._identity, self._paths)
        for problem in problems:
            self._say(problem)
        self._unsaid |= problems != self._problems or self._applied != self._state.generation
        self._problems, self._applied, self._applied_at = problems, self._state.generation, now

    def _report(self, logins: tuple[Login, ...]) -> None:
        report = HostReport(
            generation=self._applied,
            trusted=trust.fingerprints(self._paths),
            time=time.time(),
            logins=logins,
            problems=self._problems,
            machine=facts.machine(),
            boot=facts.boot(),
        )
        body = encode(report)
        self._control.call("POST", "/v1/hosts/report", body, server_id=self._identity.server_id)
        self._reported_at, self._unsaid = time.monotonic(), False
