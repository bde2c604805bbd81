"""Another OpenID provider than Okta, one that we did not write: npm's oidc-provider, as people and ostiary serve meet it."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import pytest
from conftest import STRICT
from control_process import Process
from control_world import ADMINS, CLIENT_ID, Client, Host, Refused
from free_port import free_port

from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.wire.admin import AuditRows, Rule
from ostiary.doors.servers.wire.person import SignInSettings

HERE = Path(__file__).parent / "oidc_provider"
OSTIARY = Path(sys.executable).parent / "ostiary"
PEOPLE = {
    "u-root": {"login": "root@other.example", "groups": [ADMINS], "active": True},
    "u-ann": {"login": "ann@other.example", "groups": ["sre", "web"], "active": True},
    "u-eve": {"login": "eve@other.example", "groups": ["sre"], "active": True},
    "u-ben": {"login": "ben@other.example", "groups": [], "active": True},
}
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
FIELD = re.compile(r'name="(\w+)" value="([^"]*)"')
ACTION = re.compile(r'action="([^"]+)"')

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The provider with exactly what the lock names, without running anything of it."""
    if not (shutil.which("node") and shutil.which("npm")):
        (pytest.fail if STRICT else pytest.skip)("not run: no node and npm")
    folder = tmp_path_factory.mktemp("oidc-provider")
    for name in ("package.json", "package-lock.json", "provider.mjs"):
        shutil.copy(HERE / name, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


class Provider:
    """The provider as a process; ``people`` may be changed while it runs."""

    def __init__(self, folder):
        self._file = folder / "people.json"
        self.people = json.loads(json.dumps(PEOPLE))
        self.keep()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = ["node", "provider.mjs", str(port), CLIENT_ID, str(self._file)]
        env = {"PATH": os.environ["PATH"], "NODE_NO_WARNINGS": "1"}
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        until = time.monotonic() + 20
        while not any("listening" in line for line in self.said):
            assert self._process.poll() is None, self.said
            assert time.monotonic() < until, self.said
            time.sleep(0.02)

    def _read(self):
        self.said.extend(self._process.stdout)

    def keep(self):
        self._file.write_text(json.dumps(self.people))

    def put_out(self, person):
        self.people[person]["active"] = False
        self.keep()

    def close(self):
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._process.stdout.close()


def confirms(person, address):
    """Somebody opens the address with the code, signs in and lets the device in."""
    with httpx2.Client(headers={"x-person": person}, follow_redirects=True) as browser:
        page = browser.get(address)
        for _ in range(4):
            action = ACTION.search(page.text)
            if action is None:
                break
            page = browser.post(
                action[1], data={**dict(FIELD.findall(page.text)), "confirm": "yes"}
            )
        assert page.status_code == 200, page.text
        assert "success" in page.text.lower(), page.text


@pytest.fixture
def provider(installed):
    provider = Provider(installed)
    yield provider
    provider.close()


@pytest.fixture
def serve(provider, tmp_path):
    options = ("--refresh-seconds", "5")
    serve = Process(f"sqlite:///{tmp_path}/control.db", tmp_path, provider, options=options)
    try:
        serve.start()
        yield serve
    finally:
        serve.end()


class Signing:
    """People sign in by device flow as any client may, and by ``ostiary login``."""

    def __init__(self, provider, serve):
        self.provider = provider
        self.serve = serve
        self.clients = []

    def client(self):
        client = Client(self.serve.url)
        self.clients.append(client)
        return client

    def tokens(self, person, times=1):
        """``times`` a code is redeemed: a second time is refused, and ends what the first one gave."""
        settings = self.client().call("GET", "/v1/sign-in", kind=SignInSettings)
        found = httpx2.get(f"{settings.issuer}/.well-known/openid-configuration").json()
        form = {"client_id": settings.client_id}
        scope = " ".join(settings.scopes)
        begun = httpx2.post(found["device_authorization_endpoint"], data={**form, "scope": scope})
        code = begun.json()
        confirms(person, code["verification_uri_complete"])
        form |= {"grant_type": DEVICE, "device_code": code["device_code"]}
        given = httpx2.post(found["token_endpoint"], data=form)
        assert given.status_code == 200, given.text
        for _ in range(times - 1):
            again = httpx2.post(found["token_endpoint"], data=form)
            assert again.json()["error"] == "invalid_grant"
        return given.json()

    def sign_in(self, person, times=1):
        given = self.tokens(person, times)
        client = self.client()
        client.sign_in(given["id_token"], refresh_token=given["refresh_token"])
        return client

    def project(self, by, settings=None, **host_fields):
        made = by.call(
            "POST", "/v1/projects", admin.NewProject("prod", 60001, 63001), admin.Project
        )
        wanted = admin.ProjectWanted(
            made.generation, settings or admin.Settings(), (Rule("group:sre", login=True),)
        )
        by.call("PUT", "/v1/projects/prod", wanted, admin.Project)
        token = by.call(
            "POST", "/v1/projects/prod/tokens", admin.NewToken(1, 600.0), admin.MadeToken
        )
        host = Host(self.serve.url)
        self.clients.append(host.client)
        host.enroll(token.token, "web1", **host_fields)
        return host


@pytest.fixture
def signing(provider, serve):
    signing = Signing(provider, serve)
    yield signing
    for client in signing.clients:
        client.close()


def refusal(client):
    try:
        client.certificate("web1")
    except Refused as no:
        return no.code
    return ""


def test_its_groups_let_in_and_its_refresh_tokens_put_out(signing, provider, serve):
    host = signing.project(signing.sign_in("u-root"))
    ann, ben = signing.sign_in("u-ann"), signing.sign_in("u-ben")
    eve = signing.sign_in("u-eve", times=2)
    assert eve.certificate("web1").login == "eve"
    assert ann.certificate("web1").login == "ann"
    assert refusal(ben) == "no-server"
    assert {one.login for one in host.state().users} == {"ann", "eve"}
    provider.people["u-ben"]["groups"] = ["sre"]
    provider.put_out("u-ann")
    began = time.monotonic()
    gone = ["no-session", "", "no-session"]  # a code that was used twice was stolen: eve is out too
    while (now := [refusal(one) for one in (ann, ben, eve)]) != gone:
        assert time.monotonic() - began < 30, (now, serve.log.read_text())
        host.state()  # or the connection would be closed meanwhile
        time.sleep(0.5)
    assert [one.login for one in host.state().users] == ["ben"]


class Laptop:
    """Somebody's machine: a home of its own, ``ostiary`` there, and a browser that says who sits before it."""

    def __init__(self, home, serve, person):
        self.home, self.serve, self.person = home, serve, person
        (home / "run").mkdir(parents=True, mode=0o700)
        self.env = {"PATH": os.environ["PATH"], "HOME": str(home)}
        self.env |= {"XDG_RUNTIME_DIR": str(home / "run"), "BROWSER": "/bin/true"}

    def start(self, *words):
        command = [OSTIARY, *map(str, words)]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=self.env, cwd=self.home, text=True, **pipes)

    def run(self, *words):
        with self.start(*words) as process:
            out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def login(self, visit, *options):
        """``visit(person, address)`` with the address that is said; what is said at the end."""
        with self.start("login", "--control", self.serve.url, *options) as process:
            try:
                line = process.stderr.readline()
                assert line.startswith("sign in at: "), line + process.stderr.read()
                visit(self.person, line.removeprefix("sign in at: ").strip())
                out, err = process.communicate(timeout=30)
            except BaseException:
                process.kill()
                raise
        assert process.returncode == 0, err
        return out + err


@pytest.fixture
def laptop(serve, tmp_path):
    laptop = Laptop(tmp_path / "home", serve, "u-ann")
    yield laptop
    laptop.run("logout")


def test_ostiary_login_takes_it_for_its_org(laptop):
    assert "ann@other.example is signed in" in laptop.login(confirms)


def comes_back(person, address):
    """Somebody opens the address, signs in, and is led back to the machine."""
    with httpx2.Client(headers={"x-person": person}, follow_redirects=True) as browser:
        page = browser.get(address)
        assert "Go back to the terminal" in page.text, page.text


def test_a_code_with_pkce_comes_back_from_it_and_again_where_a_project_wants_a_new_sign_in(
    signing, serve, laptop
):
    """It says when somebody signed in only where it is asked, so the first sign-in is of any age."""
    by = signing.sign_in("u-root")
    signing.project(by, address="127.0.0.1", settings=admin.Settings(max_age=30))
    back = ("--browser", "--port", free_port())
    assert "ann@other.example is signed in" in laptop.login(comes_back, *back)
    code, _, err = laptop.run("ssh", "web1", "true")
    assert code != 0
    assert "nobody says how old it is; at most 30 s are allowed" in err
    assert "fix: run: ostiary login --step-up" in err
    laptop.login(comes_back, "--step-up", *back[1:])
    code, _, err = laptop.run("ssh", "web1", "true")
    assert "step" not in err
    assert "30 s" not in err
    issued = [
        json.loads(row.body)
        for row in by.call("GET", "/v1/projects/prod/audit?after=0", kind=AuditRows).rows
        if row.event == "certificate.issued"
    ]
    assert [one["person_login"] for one in issued] == ["ann@other.example"]
