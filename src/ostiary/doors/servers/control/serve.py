"""One process of the control plane: put together, served, and ended in good order."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from ostiary.doors.servers.control import app, high_water, keys, listening, org_side, schema
from ostiary.doors.servers.control.authorities import Authorities, OpensKms, into_audit
from ostiary.doors.servers.control.aws_caller import AwsCallers
from ostiary.doors.servers.control.checkpoint_places import Keeps
from ostiary.doors.servers.control.checkpoint_rounds import duty as checkpoints_duty
from ostiary.doors.servers.control.checkpoints import Checkpoints
from ostiary.doors.servers.control.cloud_identity import (
    CloudIdentities,
    SeesInstances,
    read_certificates,
)
from ostiary.doors.servers.control.database import Database
from ostiary.doors.servers.control.duties import Duties, Duty
from ostiary.doors.servers.control.endpoint import Endpoint
from ostiary.doors.servers.control.high_water import HighWater
from ostiary.doors.servers.control.host_proof import Challenges
from ostiary.doors.servers.control.host_states import HostStates
from ostiary.doors.servers.control.housekeeping import VANISHED_DAYS, Housekeeping
from ostiary.doors.servers.control.identity import TokenVerifier
from ostiary.doors.servers.control.issue import Issuer
from ostiary.doors.servers.control.issuer_keys import IssuerKeys
from ostiary.doors.servers.control.machine_proof import MachineProofs
from ostiary.doors.servers.control.patience import PatientProtocol
from ostiary.doors.servers.control.refresh import EVERY as REFRESH_SECONDS
from ostiary.doors.servers.control.services import Services
from ostiary.doors.servers.control.token_endpoint import TokenEndpoint
from ostiary.doors.servers.control.unanswered import reason
from ostiary.doors.servers.control.view import Views
from ostiary.doors.servers.control.writer import Writer
from ostiary.doors.servers.wire.message import IDLE_SECONDS
from ostiary.doors.servers.wire.person import SignInSettings
from ostiary.errors import Unreachable
from ostiary.okta.client import OktaClient
from ostiary.plan.wrap import Wrap

PROXIES = "FORWARDED_ALLOW_IPS"  # uvicorn's: addresses of proxies whose X-Forwarded-For is believed
KEYS_SECONDS = 10.0  # longest wait for the org's published keys
_SET_DUMPABLE = 4  # PR_SET_DUMPABLE
GARBAGE = 10_000  # new objects until the next collection: a batch makes more than Python's own 700
GRACE_SECONDS = 10  # for what is under way when the process is told to end


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """``listen`` is HOST:PORT; without ``tls_cert`` and ``tls_key`` only loopback is listened on."""

    database: str
    listen: str
    url: str
    issuer: str
    client_id: str
    admin_group: str
    state_dir: Path
    tls_cert: Path | None = None
    tls_key: Path | None = None
    migrate: bool = True
    accept_older: bool = False
    vanished_days: float = VANISHED_DAYS
    aws_certificates: Path | None = None  # folder of REGION.pem, for hosts that enroll by identity
    refresh_seconds: float = REFRESH_SECONDS  # of an org without access to its API
    admin_machines: tuple[str, ...] = ()
    sts_endpoint: str = ""  # another STS than AWS's own: AWS_ENDPOINT_URL_STS
    worker: int = 0  # which of several processes that share the folder


def prepare(settings: ServeSettings) -> ServeSettings:
    """What is done once for all workers that follow: the database is upgraded, and compared with what was seen of it.

    The settings of these. Conflict as ``services``.
    """
    database, writer, mark = _opened(settings, time.time)
    writer.close()
    mark.close()
    database.close()
    return replace(settings, migrate=False, accept_older=False)


def _opened(
    settings: ServeSettings, clock: Callable[[], float]
) -> tuple[Database, Writer, HighWater]:
    """What was opened is closed again where the next of them cannot be used."""
    with contextlib.ExitStack() as opened:
        database = Database(settings.database)
        opened.callback(database.close)
        if settings.migrate:
            schema.upgrade(database)
        else:
            schema.check(database)
        mark = HighWater(settings.state_dir, settings.worker)
        opened.callback(mark.close)
        if not settings.accept_older:
            high_water.verify(database, mark)
        writer = Writer(database, clock, mark)
        opened.callback(writer.close)
        if settings.accept_older:
            high_water.accept(database, writer, mark)
        opened.pop_all()
    return database, writer, mark


def services(
    settings: ServeSettings,
    wrap: Wrap,
    *,
    open_kms: OpensKms | None = None,
    http: httpx2.Client | None = None,
    okta: OktaClient | None = None,
    clock: Callable[[], float] = time.time,
    places: Sequence[Keeps] = (),
    sees: SeesInstances | None = None,
) -> Services:
    """Open the database and build what the answers need. ``http`` reaches the org's issuer, ``okta`` its API;
    ``places`` keep the checkpoints of the audits beside the database, and ``sees`` asks EC2 for instances.

    Conflict when the database is older than what this process saw of it.
    """
    database, writer, _ = _opened(settings, clock)
    authorities = Authorities(wrap, open_kms, told=into_audit(writer))
    views = Views()
    http = http or httpx2.Client(timeout=KEYS_SECONDS)
    verifier = TokenVerifier(
        settings.issuer, settings.client_id, partial(read_keys, http, settings.issuer), clock
    )
    endpoint = TokenEndpoint(http, settings.issuer, settings.client_id)
    org = (
        org_side.with_log(database, writer, okta, endpoint, clock)
        if okta
        else org_side.without_log(
            database,
            writer,
            wrap,
            endpoint=endpoint,
            verifier=verifier,
            clock=clock,
            every=settings.refresh_seconds,
        )
    )
    house = Housekeeping(database, writer, clock, settings.vanished_days * 86400)
    checkpoints = Checkpoints(database, writer, authorities, clock, places)
    callers = AwsCallers(http, settings.url, settings.sts_endpoint)
    return Services(
        database=database,
        writer=writer,
        authorities=authorities,
        views=views,
        issuer=Issuer(
            database=database,
            writer=writer,
            authorities=authorities,
            views=views,
            clock=clock,
            freshness=org.freshness,
        ),
        states=HostStates(writer, clock),
        challenges=Challenges(keys.shared(database, wrap, "challenges")),
        verifier=verifier,
        sign_in=SignInSettings(settings.issuer, settings.client_id, org_side.SCOPES),
        freshness=org.freshness,
        admin_group=settings.admin_group,
        admin_machines=frozenset(settings.admin_machines),
        url=settings.url,
        clock=clock,
        scopes=org.scopes,
        machines=MachineProofs(settings.url, IssuerKeys(http), callers, clock),
        cloud=_cloud(settings, callers, clock, sees),
        groups_of=org.groups_of,
        refresh=org.refresh,
        duties=(org.duty, house.duty(), checkpoints_duty(checkpoints, database)),
        problems=authorities.problems,
    )


def _cloud(
    settings: ServeSettings,
    callers: AwsCallers,
    clock: Callable[[], float],
    sees: SeesInstances | None,
) -> CloudIdentities | None:
    if settings.aws_certificates is None:
        return None
    return CloudIdentities(read_certificates(settings.aws_certificates), callers, clock, sees)


def read_keys(http: httpx2.Client, issuer: str) -> Mapping[str, Any]:
    """The JWK set that the issuer's discovery document names. Source: OpenID Connect Discovery 1.0, 4."""
    what = f"cannot read the keys of {issuer}"
    fix = "see that the control plane reaches the org, and that --issuer is what it calls itself"
    try:
        found = http.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        described = found.raise_for_status().json()
        listed: Mapping[str, Any] = http.get(described["jwks_uri"]).raise_for_status().json()
    except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
        why = reason(error)
        raise Unreachable(what, why=why, fix=fix, code="issuer") from error
    if described.get("issuer") != issuer:
        why = f"its document is of the issuer {str(described.get('issuer'))[:80]!r}"
        raise Unreachable(what, why=why, fix=fix, code="issuer")
    return listed


def run(
    settings: ServeSettings,
    built: Services,
    *,
    more: Sequence[Endpoint] = (),
    duties: Sequence[Duty] = (),
    stopping: threading.Event | None = None,
    listened: socket.socket | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; then finish what is under way and close. ``stopping`` is set then.

    ``listened`` is a socket that listens already.
    """
    keep_memory()
    running = Duties((*built.duties, *duties))
    before = built.problems
    built = replace(built, problems=lambda: (*before(), *running.problems()))
    served = server(settings, app.build(built, more))
    signal.signal(signal.SIGTERM, served.end)
    gc.freeze()  # what is there now stays: no collection looks through it again, and few through the rest
    gc.set_threshold(GARBAGE)
    try:
        served.run([listened] if listened else None)
    finally:
        if stopping is not None:
            stopping.set()
        running.close()
        built.writer.close()
        built.database.close()


def keep_memory() -> None:
    """No core of this process, also not for a program that the kernel pipes it to, which RLIMIT_CORE does not bound: it
    would hold the authorities' keys. Sources: core(5), prctl(2).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)


class Server(uvicorn.Server):
    """Lets go at once those whose questions it holds: else they hold up its end, and are cut off with a 500."""

    def end(self, *_: object) -> None:
        """At a signal, also at one that comes before uvicorn listens to it. uvicorn raises it again when it has ended: to
        die of it then would leave things open.
        """
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self.config.app.end()  # type: ignore[union-attr] # of app.build
        await super().shutdown(sockets)


def server(settings: ServeSettings, application: app.Application) -> Server:
    """UsageError for plain HTTP elsewhere than on loopback."""
    host, port = listening.place(settings.listen, tls=settings.tls_cert is not None)
    return Server(
        uvicorn.Config(
            application,
            host=host,
            port=port,
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
            http=PatientProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=PROXIES
            in os.environ,  # else whoever is on this machine says where they come from
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
            h11_max_incomplete_event_size=32 * 1024,
            limit_concurrency=10_000,
            backlog=listening.BACKLOG,
        )
    )


def log_to_stderr() -> None:
    """One line per event; never a body, a header or a query."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level="WARNING")
    logging.getLogger("ostiary").setLevel("INFO")
    logging.getLogger("uvicorn.error").addFilter(no_end)


def no_end(record: logging.LogRecord) -> bool:
    """Whether it is another thing than a host's held request that the end of this process cut off: it asks again."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))
