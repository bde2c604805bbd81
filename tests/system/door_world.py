"""The whole server door: an embedded Okta org, ``ostiary serve``, agents on hosts of ``hosts.py``, people who sign in.

Everything is the product's own commands and OpenSSH's. ``prod`` has a bastion and two servers behind it, ``lab`` one server
on the outer network. The org and the control plane run in this machine's network and are reached through relays; people are on
the client's network, each with a home of their own.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import ipaddress
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Self
from urllib.parse import urlsplit

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from free_port import free_port
from hosts import CONTROL, CONTROL_INNER, PYTHON, TOP, Fleet, Host, wait_for
from joserfc import jwk
from person import Person as AtOkta

OSTIARY = Path(sys.executable).parent / "ostiary"
HOSTS = {"bastion": "prod", "web1": "prod", "web2": "prod", "lab1": "lab"}
BEHIND = {"web1": "bastion", "web2": "bastion"}
RETURN = "http://127.0.0.1:8259/callback"  # ostiary login --browser
SECONDS = 3  # serve waits for hosts that ask for news, up to 10 s
AGENT_PID = "/run/agent-of-the-test.pid"
OTHERS = ("grace", "edgar", "ken", "linus")  # admin, no admin, sre, nobody
ADMINS = "platform-engineering"
RULES = {
    "prod": [
        {"subject": "group:platform-engineering", "login": True, "admin": True},
        {
            "subject": "group:data-engineering",
            "login": True,
            "servers": [{"key": "role", "value": "web"}],
            "sudo": [{"name": "who", "commands": ["/usr/bin/id"]}],
        },
        {"subject": "machine:deploy", "login": True, "admin": True},
    ],
    "lab": [{"subject": "group:sre", "login": True, "forward": ["127.0.0.1:22"]}],
}


Rules = Mapping[str, list[dict[str, object]]]


@dataclass(frozen=True)
class Site:
    """Hosts with their projects, the bastions of those behind one, the rules of projects, and who signs in beside ada."""

    hosts: Mapping[str, str]
    behind: Mapping[str, str]
    rules: Rules
    others: tuple[str, ...] = ()


WHOLE = Site(HOSTS, BEHIND, RULES, OTHERS)


class Door:
    """``fleet`` the hosts, ``people`` by first name, ``url`` of the control plane as people and agents reach it.

    ``database`` is the control plane's, SQLite in ``folder`` unless told.
    """

    def __init__(self, folder: Path, site: Site = WHOLE, database: str = "") -> None:
        self.folder, self.site = folder, site
        self.database = database or f"sqlite:///{folder}/control.db"
        self.people: dict[str, Client] = {}
        self._ending = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as ending:
            self.fleet = ending.enter_context(Fleet(list(self.site.hosts), behind=self.site.behind))
            for host in self.fleet:
                host.start_sshd()
            self._start_org(ending)
            self._choose_port()
            self.start_serve()
            ending.callback(self.stop_serve)
            self.fleet.relay(self.fleet.control, self.port, inward=True, address="0.0.0.0")
            self._ending = ending.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for person in self.people.values():
            person.leave()
        self._ending.close()

    def __getitem__(self, name: str) -> Host:
        return self.fleet[name]

    def fill(self) -> None:
        """Projects, rules and enrolled hosts, made by an administrator who signs in."""
        ada = Client(self, "ada")
        with ThreadPoolExecutor() as together:
            others = [together.submit(Client(self, name).sign_in) for name in self.site.others]
            ada.sign_in()
            self.machines = self._machines()
            for project in self.site.rules:
                ada.ostiary("servers", "project", "create", project)
                self.set_rules(project)
            self.ids = dict(
                together.map(lambda name: (name, self._enroll(ada, name)), self.site.hosts)
            )
            for one in others:
                one.result()
            self._start_agents()
            # Who had no server looks again only after a while.
            for one in [
                together.submit(person.ostiary, "servers", "list")
                for person in self.people.values()
            ]:
                one.result()
        self._ending.callback(self._end_agents)

    def _machines(self) -> list[dict[str, object]]:
        """One that proves itself by a key of its own, for which ada answers; the private half is in a file."""
        key = jwk.ECKey.generate_key("P-256", {"kid": "one"})
        self.machine_key = self.folder / "machine.jwk"
        self.machine_key.touch(mode=0o600)
        self.machine_key.write_text(json.dumps(key.as_dict(private=True)))
        public = json.dumps({"keys": [key.as_dict(private=False)]})
        return [
            {
                "name": "deploy",
                "kind": "private-key-jwt",
                "owner": "ada@acme.example",
                "until": time.time() + 3600,
                "public_keys": public,
                "rate": 100_000,
            }
        ]

    def _start_agents(self) -> None:
        self._agents = {host.name: start_agent(host) for host in self.fleet}

    def _end_agents(self) -> None:
        for name, process in self._agents.items():
            end_agent(self.fleet[name], process)

    @contextlib.contextmanager
    def without_agent(self, name: str) -> Iterator[None]:
        """The host keeps what it was told last; afterwards its agent is there again."""
        end_agent(self.fleet[name], self._agents[name])
        try:
            yield
        finally:
            self._agents[name] = start_agent(self.fleet[name])

    def come_back(self) -> None:
        """The control plane again, until it has read the org's log; agents begin anew, who would else wait up to a minute."""
        began = time.time()
        self.start_serve()
        self._end_agents()
        self._start_agents()
        until(lambda: float(self.people["ada"].python(READ_AT)) > began, 60)

    def set_rules(
        self, project: str, rules: Sequence[Mapping[str, object]] = (), **settings: object
    ) -> None:
        """Rules (the site's unless told), machines and ``settings`` of a project, by its administrator."""
        machines = self.machines if project == "prod" else []
        rules = list(rules or self.site.rules[project])
        wanted = {"settings": settings, "rules": rules, "machines": machines}
        self.people["ada"].python(SET_RULES, project, json.dumps(wanted))

    def _enroll(self, admin: Client, name: str) -> str:
        """The id of the server as which the agent of this host enrolled."""
        host, project, behind = self.fleet[name], self.site.hosts[name], self.site.behind
        token = admin.ostiary("servers", "token", "create", "--project", project).stdout.split()[-1]
        host.write("/root/ca.pem", self.ca_file.read_text())
        role = "bastion" if name == "bastion" else "web"
        options = ["--name", name, "--address", host.address, "--label", f"role={role}"]
        if name in behind:
            options += ["--bastion", behind[name]]
        argv = ["enroll", "--url", self.agent_url, "--token-file", "-", "--ca-file", "/root/ca.pem"]
        return host.agent(*argv, *options, stdin=token + "\n").stdout.split()[0]

    def _start_org(self, ending: contextlib.ExitStack) -> None:
        home = self.folder / "org"
        home.mkdir()
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "OSTIARY_SANDBOX": str(home / "state"),
        }
        argv = [OSTIARY, "sandbox", "up", "--json"]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
        ending.callback(
            subprocess.run, [OSTIARY, "sandbox", "down"], env=env, capture_output=True, check=True
        )
        self.org = json.loads(done.stdout)
        port = urlsplit(self.org["okta_url"]).port
        self.fleet.relay(self.fleet.client, port, inward=True)
        self.trust = ssl.create_default_context(cafile=self.org["ca_file"])
        self.client_id = self._native_app()

    def _native_app(self) -> str:
        """The app of the sign-in, for everybody, made as an administrator of the org makes it."""
        grants = ["urn:ietf:params:oauth:grant-type:device_code", "authorization_code"]
        client = {
            "application_type": "native",
            "grant_types": grants,
            "response_types": ["code"],
            "redirect_uris": [RETURN],
        }
        app = self.okta(
            "POST",
            "/api/v1/apps",
            name="oidc_client",
            label="Servers",
            signOnMode="OPENID_CONNECT",
            settings={"oauthClient": client},
            credentials={"oauthClient": {"token_endpoint_auth_method": "none"}},
        )
        (everyone,) = self.okta("GET", "/api/v1/groups?q=Everyone")
        self.okta("PUT", f"/api/v1/apps/{app['id']}/groups/{everyone['id']}")
        return app["credentials"]["oauthClient"]["client_id"]

    def okta(self, method: str, path: str, **body):
        """A call of the org's API, as an administrator of the org."""
        headers = {"authorization": f"SSWS {self.org['env']['OKTA_CLIENT_TOKEN']}"}
        with httpx2.Client(verify=self.trust, headers=headers) as http:
            answer = http.request(method, self.org["okta_url"] + path, json=body or None)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def _choose_port(self) -> None:
        self.ca_file, self.certificate = certificate_for(
            self.folder, "control", CONTROL, CONTROL_INNER
        )
        self.port = free_port()
        self.url, self.agent_url = f"https://{CONTROL}:{self.port}", f"https://control:{self.port}"
        self.log = self.folder / "serve.log"

    def start_serve(self) -> None:
        env = {**ours("PATH", "PYTHONPATH"), "HOME": str(self.folder), **self.org["env"]}
        options = {
            "--database": self.database,
            "--listen": f"127.0.0.1:{self.port}",
            "--tls-cert": self.certificate,
            "--tls-key": self.certificate,
            "--url": self.url,
            "--issuer": self.org["okta_url"],
            "--client-id": self.client_id,
            "--admin-group": ADMINS,
            "--state-dir": self.folder / "serve",
        }
        argv = [OSTIARY, "serve", *(str(part) for option in options.items() for part in option)]
        with self.log.open("a") as log:
            serving = subprocess.Popen(argv, env=env, stdin=DEVNULL, stdout=log, stderr=log)
        self._serving = serving
        wait_for(lambda: listens(self.port) or serving.poll() is not None, "ostiary serve", 20)
        assert serving.poll() is None, self.log.read_text()

    def stop_serve(self, seconds: float = SECONDS) -> None:
        """In good order when it needs no more than ``seconds``."""
        _end(self._serving, seconds)


READ_AT = """
from ostiary.doors.servers.client.credentials import signed_in
from ostiary.doors.servers.wire.admin import Status
with signed_in() as control:
    print(control.call("GET", "/v1/status", kind=Status).okta_read)
"""

SET_RULES = """
import json, sys
from ostiary.doors.servers.client.credentials import signed_in
from ostiary.doors.servers.wire.admin import Project, ProjectWanted
from ostiary.doors.servers.wire.message import decode
name, wanted = sys.argv[1], json.loads(sys.argv[2])
with signed_in() as control:
    project = control.call("GET", f"/v1/projects/{name}", kind=Project)
    wanted |= {"v": 1, "generation": project.generation}
    message = decode(ProjectWanted, json.dumps(wanted).encode())
    control.call("PUT", f"/v1/projects/{name}", message, kind=Project)
"""


class Client:
    """Somebody at a machine on the client's network, and at a browser."""

    def __init__(self, door: Door, name: str) -> None:
        self.door, self.name = door, name
        self.home = door.folder / name
        run = self.home / "run"
        run.mkdir(parents=True, mode=0o700)
        (self.home / ".ssh").mkdir(mode=0o700)
        self.env = {
            **ours("PATH", "PYTHONPATH"),
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(run),
            "SHELL": "/bin/sh",
            "BROWSER": "/bin/true",
            "SSL_CERT_FILE": door.org["ca_file"],
        }
        door.people[name] = self

    @functools.cached_property
    def at_okta(self) -> AtOkta:
        """The same person at a browser, with an authenticator that gives no code twice."""
        for described in self.door.org["people"]:
            if described["login"] == f"{self.name}@acme.example":
                return AtOkta(described, self.door.trust)
        raise AssertionError(f"{self.name} is not at the org")

    def sign_in(self) -> None:
        """``ostiary login`` by the device flow: the address that it says is opened in a browser, and the device allowed."""
        options = ("--control", self.door.url, "--ca", self.door.ca_file)
        with self._signing_in(*options) as url, self.at_okta.browser() as browser:
            self.at_okta.allow_device(browser, url)
        self.configure()

    def sign_in_by_browser(self, *options: str) -> str:
        """``ostiary login`` in a browser on this machine, which comes back to it; what the browser shows at the end."""
        with self._signing_in(*options) as url, self.at_okta.browser() as browser:
            return self.at_okta.open(browser, url).text

    @contextlib.contextmanager
    def _signing_in(self, *options: object) -> Iterator[str]:
        """The address that ``ostiary login`` says, and at the end that it is content."""
        started = self.popen(OSTIARY, "login", *options, stdout=PIPE, stderr=PIPE)
        line = started.stderr.readline()
        found = re.fullmatch(r"sign in at: (https://\S+)\n", line)
        assert found, line + started.stderr.read()
        try:
            yield found[1]
        except BaseException:
            started.kill()
            raise
        finally:
            said, talk = started.communicate(timeout=30)
        assert started.returncode == 0, talk
        assert f"{self.name}@acme.example is signed in" in said

    def configure(self) -> None:
        self.ostiary("ssh-config", "--install")
        with (self.home / ".ssh/config").open("a") as config:
            config.write("KexAlgorithms curve25519-sha256\n")  # a fifth of the time of the default

    def leave(self) -> None:
        self.ostiary("logout", check=False)

    def popen(self, *argv: object, **options) -> subprocess.Popen[str]:
        options.setdefault("stdin", DEVNULL)
        return self.door.fleet.client.popen(argv, env=self.env, cwd=self.home, **options)

    def run(
        self, *argv: object, check: bool = True, stdin: str = "", env: Mapping[str, str] = {}
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.door.fleet.client.command(argv),
            env={**self.env, **env},
            cwd=self.home,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done

    def ostiary(self, *arguments: object, **options) -> subprocess.CompletedProcess[str]:
        return self.run(OSTIARY, *arguments, **options)

    def python(self, code: str, *arguments: str) -> str:
        return self.run(sys.executable, "-P", "-c", code, *arguments).stdout

    def ssh(self, *words: object, **options) -> subprocess.CompletedProcess[str]:
        """``ssh`` as anybody types it: its configuration is in the home."""
        config = self.home / ".ssh/config"
        return self.run("ssh", "-F", config, *words, **options)

    def until_in(self, host: str, seconds: float = 60.0) -> None:
        """Enter a host, as soon as its agent has heard of who may."""
        end = time.monotonic() + seconds
        while (done := self.ssh(host, "true", check=False)).returncode:
            log = (self.door[host].root / "run/agent.log").read_text()
            assert time.monotonic() < end, f"{self.name} at {host}: {done.stderr}\n{log[-2000:]}"
            time.sleep(0.2)


def ours(*names: str) -> dict[str, str]:
    """These variables of this process, so that a command is of the same tree as the tests."""
    return {name: os.environ.get(name, "") for name in names}


def start_agent(host: Host) -> subprocess.Popen[str]:
    """``ostiary-agent run`` on a host, as its unit would."""
    env = {
        "PYTHONPATH": str(TOP / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": os.environ["PATH"],
    }
    run = f"echo $$ > {AGENT_PID}; exec {PYTHON} -m ostiary.doors.servers.agent run"
    argv = ["sh", "-c", run]
    with (host.root / "run/agent.log").open("w") as log:
        return host.popen(argv, env=env, stdin=DEVNULL, stdout=log, stderr=log)


def end_agent(host: Host, process: subprocess.Popen[str], signal: str = "KILL") -> None:
    host.run(["kill", f"-{signal}", host.read(AGENT_PID).strip()], check=False)
    process.wait(15)


def certificate_for(folder: Path, *names: str) -> tuple[Path, Path]:
    """A certificate that signs itself: the file to trust, and the file with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = dt.datetime.now(dt.UTC)
    alternative = [
        x509.IPAddress(ipaddress.ip_address(one)) if one[0].isdigit() else x509.DNSName(one)
        for one in names
    ]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(Encoding.PEM)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "control-ca.pem").write_bytes(pem)
    (folder / "control.pem").touch(mode=0o600)
    (folder / "control.pem").write_bytes(private + pem)
    return folder / "control-ca.pem", folder / "control.pem"


def listens(port: int) -> bool:
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0


def _end(process: subprocess.Popen[str], seconds: float) -> None:
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def until(ready, seconds: float = 40.0):
    """What ``ready`` gives as soon as it is true."""
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.1)
    return found
