"""A control plane as it is served, with people who are signed in: processes of ``ostiary serve`` on one database."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from measure import OSTIARY, TOP

sys.path.insert(0, str(TOP / "tests/contract"))
sys.path.insert(0, str(TOP / "tests/system"))

from control_world import ADMINS, CLIENT_ID, Client, Host, Issuer
from free_port import free_port

from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.wire.message import encode
from ostiary.doors.servers.wire.person import CertificateRequest
from ostiary.pki import ssh_key

GROUP = "sre"
PATH = "/v1/certificates"


@dataclass(frozen=True, slots=True)
class Plane:
    """``urls`` and ``pids`` of the processes, which all serve one database."""

    issuer: Issuer
    urls: Sequence[str]
    pids: Sequence[int]

    def signed_in(self, login: str, groups: Sequence[str]) -> Client:
        client = Client(self.urls[0])
        client.sign_in(self.issuer.token(login, groups))
        return client

    def project(self, name: str, servers: int) -> list[str]:
        """A project with so many servers, which the group may enter; their names."""
        by = self.signed_in("admin@acme.example", [ADMINS])
        made = by.call("POST", "/v1/projects", admin.NewProject(name, 70001, 70001), admin.Project)
        rules = (admin.Rule(f"group:{GROUP}", login=True),)
        wanted = admin.ProjectWanted(made.generation, admin.Settings(), rules)
        by.call("PUT", f"/v1/projects/{name}", wanted, admin.Project)
        asked = admin.NewToken(servers, 600.0)
        token = by.call("POST", f"/v1/projects/{name}/tokens", asked, admin.MadeToken).token
        names = [f"{name}-{number}" for number in range(servers)]
        for one in names:
            host = Host(self.urls[0])
            host.enroll(token, one)
            host.client.close()
        by.close()
        return names

    def people(self, number: int) -> list[Client]:
        """So many people of the group, signed in, each on a device of their own."""
        found = []
        for one in range(number):
            client = self.signed_in(f"person{one}@acme.example", [GROUP])
            client.close()
            found.append(client)
        return found

    def cpu(self) -> float:
        """CPU seconds of all processes so far, workers among them."""
        return sum(cpu_of(one) for pid in self.pids for one in (pid, *workers_of(pid)))


def request_for(server: str, by: Client) -> bytes:
    """The bytes of a request for a certificate, for a key of its own, proven: good for a minute."""
    public = ssh_key.of(Ed25519PrivateKey.generate().public_key()).text()
    body = encode(CertificateRequest(server, public, "login"))
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: control\r\n"
        + "".join(f"{name}: {value}\r\n" for name, value in by.headers("POST", PATH, body).items())
        + f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def workers_of(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_of(pid: int, *, ended: bool = False) -> float:
    """CPU seconds of a process, with ``ended`` those of its children that have ended too."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if ended else 13])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def plane(folder: Path, database: str, processes: int = 1, workers: int = 1) -> Iterator[Plane]:
    """So many ``ostiary serve`` on one database, one after the other so that the first makes the tables."""
    issuer = Issuer()
    started: list[subprocess.Popen[bytes]] = []
    urls = []
    try:
        for number in range(processes):
            port = free_port()
            urls.append(f"http://127.0.0.1:{port}")
            state = folder / f"state{number}"
            started.append(_serve(state, database, port, issuer, workers=workers))
            wait_for(urls[-1] + "/healthz", started[-1], log=state / "log")
        yield Plane(issuer, urls, [one.pid for one in started])
    finally:
        for one in started:
            one.terminate()
        for one in started:
            one.wait(timeout=30)
        issuer.close()


def _serve(
    state: Path, database: str, port: int, issuer: Issuer, *, workers: int
) -> subprocess.Popen[bytes]:
    state.mkdir(mode=0o700, exist_ok=True)
    asked = {
        "database": database,
        "listen": f"127.0.0.1:{port}",
        "issuer": issuer.url,
        "client-id": CLIENT_ID,
        "admin-group": ADMINS,
        "state-dir": state,
        "kek-file": state.parent / "kek",
        "workers": workers,
    }
    options = [text for name, value in asked.items() for text in (f"--{name}", str(value))]
    with (state / "log").open("wb") as log:
        return subprocess.Popen([str(OSTIARY), "serve", *options], stdout=log, stderr=log)


def wait_for(url: str, process: subprocess.Popen[Any], *, log: Path, seconds: float = 30.0) -> None:
    """Until it answers anything at all. RuntimeError with the end of its log if it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(url, timeout=2).close()
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing answers at {url}: {log.read_text()[-1000:]}")


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A cluster of its own that syncs as it should; the address of its database. Root runs it as nobody."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    programs = found[-1].parent if found else Path(shutil.which("initdb") or "").parent
    place = folder / "postgres"
    place.mkdir()
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        folder.chmod(0o755)
        os.chown(place, nobody.pw_uid, nobody.pw_gid)
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def run(*command: object) -> None:
        words = [str(one) for one in command]
        done = subprocess.run(words, cwd=place, capture_output=True, check=False, **user)
        if done.returncode:
            raise RuntimeError(f"{words[0]}: {done.stderr.decode()[-1000:]}")

    data = place / "data"
    run(programs / "initdb", "-D", data, "-U", "ostiary", "-A", "trust", "--locale=C", "-E", "UTF8")
    options = f"-c listen_addresses='' -c unix_socket_directories={place}"
    control = (programs / "pg_ctl", "-D", data, "-w")
    run(*control, "-l", place / "log", "-o", options, "start")
    try:
        yield f"postgresql://ostiary@/postgres?host={place}"
    finally:
        run(*control, "-m", "fast", "stop")
