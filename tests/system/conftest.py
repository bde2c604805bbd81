"""A sandbox as people have it: started by the command, known by what it prints, stopped by the command."""

from __future__ import annotations

import functools
import json
import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from person import Person
from postgres_world import new_database, running

TOP = Path(__file__).resolve().parents[2]
OSTIARY = Path(sys.executable).parent / "ostiary"
ESTATE = TOP / "src/ostiary/sandbox/acme.yaml"
STRICT = os.environ.get("CI") == "true" or os.geteuid() == 0


class Sandbox:
    """A state folder of its own, the commands on it, and what ``up --json`` printed last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.described: dict = {}

    def ostiary(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        env |= self.described.get("env", {}) | {"OSTIARY_SANDBOX": str(self.folder / "state")}
        return subprocess.run(
            [OSTIARY, *arguments],
            cwd=self.folder,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def up(self, *options: str) -> dict:
        done = self.ostiary("sandbox", "up", "--json", *options)
        assert done.returncode == 0, done.stderr
        self.described = json.loads(done.stdout)
        return self.described

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.described["ca_file"])

    def api(self, method: str, path: str, **body) -> httpx2.Response:
        """A call of the Okta API with the token of the exported environment."""
        token = self.described["env"]["OKTA_CLIENT_TOKEN"]
        url = self.described["env"]["OKTA_CLIENT_ORGURL"] + path
        headers = {"authorization": f"SSWS {token}"}
        with httpx2.Client(verify=self.trust, headers=headers) as client:
            return client.request(method, url, **body)

    @functools.cached_property
    def tiles(self) -> dict[str, str]:
        """The link of each AWS app on the dashboard, by label."""
        apps = self.api("GET", '/api/v1/apps?filter=name eq "amazon_aws"').json()
        return {app["label"]: app["_links"]["appLinks"][0]["href"] for app in apps}

    @functools.cached_property
    def people(self) -> dict[str, Person]:
        """Acme's people by the first part of their logins."""
        described = self.described["people"]
        return {one["login"].partition("@")[0]: Person(one, self.trust) for one in described}


@pytest.fixture
def own_sandbox(tmp_path):
    """One for a test that starts, resets and stops it."""
    sandbox = Sandbox(tmp_path)
    yield sandbox
    sandbox.ostiary("sandbox", "down")


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory):
    """One for all foreign clients, with Acme's estate applied."""
    sandbox = Sandbox(tmp_path_factory.mktemp("sandbox"))
    sandbox.up()
    shutil.copy(ESTATE, sandbox.folder / "estate.yaml")
    try:
        applied = sandbox.ostiary("apply", "--yes", "--estate", "estate.yaml")
        assert applied.returncode == 0, applied.stderr
        again = sandbox.ostiary("plan", "--json", "--estate", "estate.yaml")
        assert json.loads(again.stdout)["changes"] == []
        yield sandbox
    finally:
        stopped = sandbox.ostiary("sandbox", "down")
        assert stopped.returncode == 0, stopped.stderr


class Client:
    """An installed foreign client with a home of its own and the environment that the sandbox exports."""

    def __init__(self, program: Path, sandbox: Sandbox, home: Path) -> None:
        self.program, self.home = program, home
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONUNBUFFERED": "1",
            **sandbox.described["env"],
            "AWS_CONFIG_FILE": str(home / "aws-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(home / "aws-credentials"),
        }

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """In a session of its own: without a terminal, what asks for a code reads it from standard input."""
        return subprocess.Popen(
            [self.program, *arguments],
            cwd=self.home,
            env=self.env | env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, answer: str = "", **env: str) -> str:
        with self.start(*arguments, **env) as process:
            output, talk = process.communicate(answer, timeout=60)
        assert process.returncode == 0, f"{output}\n{talk}"
        return output


@pytest.fixture
def client(sandbox, tmp_path):
    """``client(name)``: the client of that environment, whose program has the same name unless told."""

    def client(name: str, program: str = "") -> Client:
        path = TOP / ".envs" / name / "bin" / (program or name)
        if not path.exists():
            text = f"not run: no {path.relative_to(TOP)}; make test installs it"
            (pytest.fail if STRICT else pytest.skip)(text)
        home = tmp_path / name
        home.mkdir(exist_ok=True)
        return Client(path, sandbox, home)

    return client


@pytest.fixture(scope="module")
def cluster():
    """A PostgreSQL of the module's own."""
    with running() as folder:
        yield folder


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """Of an empty database, on each of both kinds."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/c.db"
        return
    with new_database(request.getfixturevalue("cluster")) as url:
        yield url
