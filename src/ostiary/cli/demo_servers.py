"""The demo's server act: sign in at Okta, a certificate of three minutes, a shell command on a real sshd, once."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostiary.cli import demo_host
from ostiary.cli.demo_person import allow_device
from ostiary.errors import OstiaryError, ProofFailed, Unreachable

if TYPE_CHECKING:
    from ostiary.doors.servers.client.control_api import Control
    from ostiary.doors.servers.wire.person import Issued, Session
    from ostiary.sandbox.seeds import Acme, SeedPerson
    from ostiary.sandbox.serve import Listeners

Tell = Callable[[str], None]
ADMINS, OTHERS = "platform-engineering", "developers"
ADMIN, OUTSIDER = "ada@acme.example", "linus@acme.example"
SECONDS = 20
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


def servers_act(listeners: Listeners, seed: Acme, folder: Path, tell: Tell) -> Mapping[str, object]:
    """What happened, for ``demo --json``. Says plainly what this machine lacks, and which command installs it."""
    tell(
        "\nthe server door: a sign-in at Okta becomes a certificate of three minutes for one server"
    )
    if install := demo_host.lacking():
        tell(f"  left out: this machine has no OpenSSH to enter; {install}")
        return {"left_out": "no OpenSSH", "fix": install}
    here = folder / "servers"
    here.mkdir()
    with _home(here), _control(listeners, here) as url:
        return _act(seed, here, url, tell)


def _act(seed: Acme, folder: Path, url: str, tell: Tell) -> Mapping[str, object]:
    from ostiary.doors.servers.client.control_api import Control as Reached  # noqa: PLC0415

    people = {one.login: one for one in seed.people}
    with Reached(url) as nobody:
        admin = _signed_in(nobody, people[ADMIN], hold=True)
        tell(f"\n$ ostiary login --control {url}")
        tell(f"  {admin.person}, by device flow with password and code; on servers: {admin.login}")
        outsider = _signed_in(nobody, people[OUTSIDER])
    tell(f"\n$ ostiary apply --estate servers.yaml\n{_applied(folder, url)}")
    with _reached(url, admin) as control:
        token = _token(control)
        with demo_host.host(folder / "host", url, token) as server:
            tell(f"\n$ ostiary agent enroll --name {demo_host.NAME} --label role={demo_host.LABEL}")
            tell(f"  {server.server_id}: {server.told}")
            shown = _entered(folder, control, server, tell)
            shown["refused"] = _refused(url, outsider, tell)
            shown["audit"] = _audited(control, folder, tell)
    if not (shown["entered"] and shown["refused"] and shown["audit"]):
        raise ProofFailed("the server act did not come out as it must", why=str(shown))
    return shown


@contextlib.contextmanager
def _home(folder: Path) -> Iterator[None]:
    """The client keeps its few files and its sockets there, not in the person's own folders."""
    from ostiary.doors.servers.client import begin, place  # noqa: PLC0415

    run = folder / "run"
    run.mkdir(mode=0o700)
    before = {name: os.environ.get(name) for name in ("XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")}
    os.environ |= {"XDG_CONFIG_HOME": str(folder / "config"), "XDG_RUNTIME_DIR": str(run)}
    try:
        yield
    finally:
        begin.leave(place.run_folder())
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextlib.contextmanager
def _control(listeners: Listeners, folder: Path) -> Iterator[str]:
    """``ostiary serve`` on loopback, over SQLite, for a new native app of the org."""
    with listeners.world.lock:
        org = listeners.world.okta
        org.add_authorization_server("default")
        app = org.add_native_app("Ostiary servers", groups=(ADMINS, OTHERS))
    address = f"127.0.0.1:{demo_host.free_port()}"
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


def _signed_in(control: Control, person: SeedPerson, *, hold: bool = False) -> Session:
    """A session by device flow: ``person`` enters the code at a browser. With ``hold``, as ``ostiary login`` does."""
    from ostiary.doors.servers.client import begin, issuer  # noqa: PLC0415
    from ostiary.doors.servers.client.place import Profile  # noqa: PLC0415
    from ostiary.doors.servers.wire.person import SignInSettings  # noqa: PLC0415

    found = issuer.discover(control.call("GET", "/v1/sign-in", kind=SignInSettings))
    tokens = issuer.by_device(
        found, lambda _address, _code, both: allow_device(person, both), wait=lambda _: None
    )
    session = begin.person(control, tokens)
    if hold:
        begin.hold(begin.profile_of(Profile(control.url), session), session)
    return session


@contextlib.contextmanager
def _reached(url: str, session: Session) -> Iterator[Control]:
    from ostiary.doors.servers.client import place  # noqa: PLC0415
    from ostiary.doors.servers.client.control_api import Control as Reached  # noqa: PLC0415
    from ostiary.doors.servers.client.device import this_device  # noqa: PLC0415

    device = this_device(place.config_folder() / "device.key")
    with Reached(url, "", lambda: session.token, device) as control:
        yield control


def _applied(folder: Path, url: str) -> str:
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


def _token(control: Control) -> str:
    from ostiary.doors.servers.wire.admin import MadeToken, NewToken  # noqa: PLC0415

    path = "/v1/projects/prod/tokens"
    return control.call("POST", path, NewToken(1, 600.0), kind=MadeToken).token


def _entered(folder: Path, control: Control, server: demo_host.Host, tell: Tell) -> dict[str, Any]:
    """The command run over ssh, and a certificate that somebody kept tried a second time."""
    from ostiary.doors.servers.client import ssh_config  # noqa: PLC0415

    shown: dict[str, Any] = {"form": "whole" if server.once else "private sshd"}
    kept = Kept.made(folder, control, server)
    if server.once:
        config = folder / "ssh_config"
        config.write_text(ssh_config.block(kept.issued.login))
        command = 'echo "$(id -un) on $(hostname), as administrator $(sudo -n id -un)"'
        said = _ssh(["-F", str(config), demo_host.NAME, command])
        tell(f"\n$ ssh {demo_host.NAME} '{command}'\n  {said}")
        shown["entered"] = said == f"{kept.issued.login} on {demo_host.NAME}, as administrator root"
    certificate = kept.described()
    tell(
        f"  certificate {certificate['serial']}: for {certificate['principal']} alone, {certificate['seconds']} s"
    )
    first = kept.enter()
    if not server.once:
        tell(
            f"\n$ ssh {demo_host.NAME} 'echo in'\n  {first}   (as {server.account}, whose account stands in)"
        )
        tell("  not tried: a second use, which the hook of the agent refuses; it needs root")
        return {
            **shown,
            "entered": first == "in",
            "certificate": certificate,
            "second_use": "not tried",
        }
    try:
        second = kept.enter()
    except Unreachable as refused:
        tell(f"  ✓ refused  the same certificate a second time: {refused.why}")
        return {**shown, "certificate": certificate, "second_use": "refused"}
    raise ProofFailed("a used certificate was let in again", why=second)


@dataclass(frozen=True, slots=True)
class Kept:
    """A certificate that was put into files, as the client never does: what a thief would have."""

    issued: Issued
    folder: Path
    server: demo_host.Host

    @classmethod
    def made(cls, folder: Path, control: Control, server: demo_host.Host) -> Kept:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        from ostiary.doors.servers.client.place import write_private  # noqa: PLC0415
        from ostiary.doors.servers.wire.person import LOGIN, CertificateRequest, Issued  # noqa: PLC0415
        from ostiary.pki import ssh_key  # noqa: PLC0415

        key = Ed25519PrivateKey.generate()
        asked = CertificateRequest(server.server_id, ssh_key.of(key.public_key()).text(), LOGIN)
        issued = control.call("POST", "/v1/certificates", asked, kind=Issued)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        write_private(folder / "kept", private.decode())
        write_private(folder / "kept-cert.pub", f"{issued.certificate}\n")
        known = (f"@cert-authority * {one}\n" for one in issued.host_authorities)
        write_private(folder / "kept-hosts", "".join(known))
        return cls(issued, folder, server)

    def enter(self) -> str:
        """What ``echo in`` said there. Unreachable with sshd's reason when it did not let in."""
        account = self.server.account or self.issued.login
        options = {
            "CertificateFile": self.folder / "kept-cert.pub",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": self.folder / "kept-hosts",
            "HostKeyAlias": self.server.server_id,
            "StrictHostKeyChecking": "yes",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        where = ["-p", str(self.server.port), f"{account}@127.0.0.1", "echo in"]
        return _ssh(["-F", "none", "-i", str(self.folder / "kept"), *words, *where])

    def described(self) -> dict[str, object]:
        from ostiary.pki import ssh_certificate  # noqa: PLC0415

        made = ssh_certificate.parse(self.issued.certificate)
        seconds = made.valid_before - made.valid_after
        return {
            "serial": str(made.serial),
            "principal": ", ".join(made.principals),
            "seconds": seconds,
        }


def _ssh(arguments: list[str]) -> str:
    program = shutil.which("ssh", path=demo_host.PATHS) or "ssh"
    done = subprocess.run(  # noqa: S603 - a list of ours, no shell
        [program, "-T", "-o", "BatchMode=yes", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"ssh ended with {done.returncode}"]
        raise Unreachable("cannot enter the demo's server", why=said[-1])
    return done.stdout.strip()


def _refused(url: str, outsider: Session, tell: Tell) -> str:
    """The code with which somebody without a rule gets no certificate."""
    from ostiary.doors.servers.wire.person import LOGIN, CertificateRequest, Issued  # noqa: PLC0415

    with _reached(url, outsider) as control:
        public = "ssh-ed25519 " + "A" * 68
        try:
            control.call(
                "POST",
                "/v1/certificates",
                CertificateRequest(demo_host.NAME, public, LOGIN),
                kind=Issued,
            )
        except OstiaryError as refused:
            tell(f"  ✓ refused  {outsider.person}, who signed in and has no rule: {refused.code}")
            return refused.code
    raise ProofFailed(f"{outsider.person} got a certificate", why="no rule lets them in")


def _audited(control: Control, folder: Path, tell: Tell) -> Mapping[str, object]:
    """The rows of the project, exported and verified offline."""
    from ostiary.doors.servers.audit import segment, verify  # noqa: PLC0415
    from ostiary.doors.servers.control.chain import START_HEAD  # noqa: PLC0415
    from ostiary.doors.servers.wire.admin import AuditRows, Project  # noqa: PLC0415

    project = control.call("GET", "/v1/projects/prod", kind=Project)
    rows = control.call("GET", "/v1/projects/prod/audit?after=0", kind=AuditRows).rows
    file = folder / "audit.jsonl"
    file.write_bytes(segment.beginning(project.id, START_HEAD) + segment.lines(rows))
    found = verify.verify([file], [], ())
    if found.faults:
        raise ProofFailed("the audit of the demo is not whole", why="\n".join(found.faults))
    events = sorted({row.event for row in rows})
    tell(f"\n$ ostiary audit verify {file.name}\n  rows {found.first} to {found.last}, whole")
    return {"rows": found.rows, "events": events}
