"""The control plane of the demo: ``ostiary serve`` as a process, people signed in to it, its estate applied."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ostiary.cli.demo_person import allow_device
from ostiary.cli.demo_sshd import SECONDS, free_port
from ostiary.errors import ProofFailed, Unreachable

if TYPE_CHECKING:
    from ostiary.doors.servers.client.control_api import Control
    from ostiary.doors.servers.wire.person import Session
    from ostiary.sandbox.seeds import SeedPerson
    from ostiary.sandbox.serve import Listeners

# What this person's own sign-in goes by.
TOLD_ELSEWHERE = (
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "OSTIARY_CONTROL",
    "OSTIARY_CONTROL_CA",
    "OSTIARY_CONTROL_TOKEN_FILE",
)
ADMINS, OTHERS = "platform-engineering", "developers"
ESTATE = """\
estate: acme-servers
version: 1
runs: {{store: "file:servers-runs"}}
org: {{url: "${{env:OKTA_CLIENT_ORGURL}}"}}
servers:
  control: "{url}"
  projects: {{prod: {{uid_start: 70001, gid_start: 73001, max_age: 8h}}}}
assignments:
  - {{group: platform-engineering, may: {{login: prod, admin: true, servers: {{role: web}}}}}}
"""


@contextlib.contextmanager
def home(folder: Path) -> Iterator[None]:
    """The client keeps its few files and its sockets there, not in the person's own folders."""
    from ostiary.doors.servers.client import begin, place  # noqa: PLC0415

    before = {name: os.environ.pop(name) for name in TOLD_ELSEWHERE if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="ostiary-run-") as run:  # a path of a socket is short
        os.environ |= {"XDG_CONFIG_HOME": str(folder / "config"), "XDG_RUNTIME_DIR": run}
        try:
            yield
        finally:
            begin.leave(place.run_folder())
            del os.environ["XDG_CONFIG_HOME"], os.environ["XDG_RUNTIME_DIR"]
            os.environ |= before


@contextlib.contextmanager
def control(listeners: Listeners, folder: Path) -> Iterator[str]:
    """``ostiary serve`` on loopback, over SQLite, for a new native app of the org."""
    with listeners.world.lock:
        org = listeners.world.okta
        org.add_authorization_server("default")
        app = org.add_native_app("Ostiary servers", groups=(ADMINS, OTHERS))
    address = f"127.0.0.1:{free_port()}"
    url = f"http://{address}"
    command = [sys.executable, "-P", "-m", "ostiary", "serve", "--listen", address, "--url", url]
    command += ["--database", f"sqlite:///{folder}/control.db", "--state-dir", str(folder)]
    command += ["--issuer", f"{listeners.okta_url}/oauth2/default", "--client-id", app.id]
    log = folder / "serve.log"
    with log.open("w") as stream:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [*command, "--admin-group", ADMINS], stdin=subprocess.DEVNULL, stderr=stream
        )
        try:
            _wait(url, process, log)
            yield url
        finally:
            process.terminate()
            process.wait(SECONDS)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    from ostiary.doors.servers.client.control_api import Control as Reached  # noqa: PLC0415

    ends = time.monotonic() + SECONDS
    with Reached(url) as control:
        while process.poll() is None and time.monotonic() < ends:
            with contextlib.suppress(Unreachable):
                control.exchange("GET", "/healthz", b"")
                return
            time.sleep(0.05)
    raise Unreachable("the demo's control plane did not start", why=log.read_text()[-500:].strip())


def signed_in(url: str, person: SeedPerson) -> Session:
    """A session by device flow: ``person`` enters the code at a browser."""
    from ostiary.doors.servers.client import begin, issuer  # noqa: PLC0415
    from ostiary.doors.servers.client.control_api import Control as Reached  # noqa: PLC0415
    from ostiary.doors.servers.wire.person import SignInSettings  # noqa: PLC0415

    with Reached(url) as control:
        found = issuer.discover(control.call("GET", "/v1/sign-in", kind=SignInSettings))
        tokens = issuer.by_device(
            found, lambda _address, _code, both: allow_device(person, both), wait=lambda _: None
        )
        return begin.person(control, tokens)


def hold(url: str, session: Session) -> None:
    """Have a resident agent hold it, as ``ostiary login`` does; a new one knows servers that have just come."""
    from ostiary.doors.servers.client import begin  # noqa: PLC0415
    from ostiary.doors.servers.client.place import Profile  # noqa: PLC0415

    begin.hold(begin.profile_of(Profile(url), session), session)


@contextlib.contextmanager
def reached(url: str, session: Session) -> Iterator[Control]:
    from ostiary.doors.servers.client.control_api import Control as Reached  # noqa: PLC0415
    from ostiary.doors.servers.client.credentials import of_session  # noqa: PLC0415

    with Reached(url, "", of_session(session)) as control:
        yield control


def applied(folder: Path, url: str) -> str:
    """The project of the estate made, and that a second plan is empty. Lines for people."""
    from ostiary.cli.work import with_servers  # noqa: PLC0415
    from ostiary.doors.federation.work import open_estate  # noqa: PLC0415
    from ostiary.plan.render import summary_line  # noqa: PLC0415
    from ostiary.settings import load  # noqa: PLC0415

    file = folder / "servers.yaml"
    file.write_text(ESTATE.format(url=url))
    work = with_servers(open_estate(load(estate_file=str(file)), "apply"))
    try:
        made = work.plan()
        work.apply(made).raise_for_result()
        after = made.changes[0].after or {}
        again = work.plan()
        if again.changes:
            raise ProofFailed("the second plan of the servers is not empty", why=str(again.changes))
    finally:
        work.connected.close()
    access = after.get("access")
    lines = [str(line) for line in access] if isinstance(access, list) else []
    return "\n".join(f"  {line}" for line in (summary_line(made), *lines))
