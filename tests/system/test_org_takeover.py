"""Two ``ostiary serve`` on one database and an org over HTTPS: one reads its log, and the other one when that is killed."""

import os
import ssl
import subprocess
import sys
import time

import httpx2
import pytest
from control_world import Client
from free_port import free_port
from sqlalchemy import create_engine, text

from ostiary.sandbox import seeds
from ostiary.sandbox.okta.objects import Proven
from ostiary.sandbox.serve import Listeners
from ostiary.sandbox.world import World

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
WITHIN = 15 + 5 + 5  # seconds: the lease, the time of the promise, a busy machine


class Site:
    """Acme's org, two processes, and the database that they share."""

    def __init__(self, folder):
        self.world = World()
        seeds.acme(self.world)
        self.app = self.world.okta.add_native_app("Servers", groups=("Everyone",))
        self.org = Listeners(self.world, folder)
        self.org.start()
        self.folder = folder
        self.engine = create_engine(f"sqlite:///{folder}/control.db")
        self.http = httpx2.Client(verify=ssl.create_default_context(cafile=self.org.ca_file))
        self.serves = {}

    def serve(self):
        """Start one; its process id."""
        port = free_port()
        command = [
            sys.executable,
            *("-m", "ostiary", "serve", "--database", f"sqlite:///{self.folder}/control.db"),
            *("--listen", f"127.0.0.1:{port}", "--issuer", self.org.okta_url),
            *("--client-id", self.app.id, "--admin-group", "platform-engineering"),
            *("--state-dir", f"{self.folder}/state-{port}", "--kek-file", f"{self.folder}/kek"),
        ]
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "SSL_CERT_FILE": str(self.org.ca_file),
            "OKTA_CLIENT_TOKEN": self.world.okta.api_token,
        }
        with (self.folder / f"{port}.log").open("w") as log:
            process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{port}"
        self.serves[process.pid] = (process, url)
        self.until(20, lambda: self.answers(url))
        return process.pid

    def answers(self, url):
        try:
            return httpx2.get(f"{url}/healthz").status_code == 204
        except httpx2.HTTPError:
            return False

    def holder(self):
        """The process id of the one that reads the log."""
        query = text("select holder from leases where duty = 'okta-log'")
        with self.engine.connect() as connection:
            held = connection.scalar(query)
        return int(held.split("/")[1]) if held else 0

    def read(self):
        with self.engine.connect() as connection:
            return connection.scalar(text("select max(read) from cursors")) or 0.0

    def sign_in(self, url, login):
        """Status of a request of the session that somebody begins."""
        form = {"client_id": self.app.id}
        base = f"{self.org.okta_url}/oauth2/v1"
        scope = {"scope": "openid profile"}
        code = self.http.post(f"{base}/device/authorize", data=form | scope).json()["device_code"]
        with self.world.lock:
            user = self.world.okta.user(login)
            now = self.world.clock.now()
            self.world.okta.device_grants[code].proven = Proven(user.id, True, now)
        tokens = self.http.post(
            f"{base}/token", data={**form, "grant_type": DEVICE, "device_code": code}
        ).json()
        client = Client(url).sign_in(tokens["id_token"])

        def status():
            try:
                return client.raw("GET", path, headers=client.headers("GET", path))[0]
            finally:
                client.close()

        path = "/v1/servers"
        client.close()
        return status

    def deactivate(self, login):
        with self.world.lock:
            user = self.world.okta.user(login).id
        headers = {"authorization": f"SSWS {self.world.okta.api_token}"}
        url = f"{self.org.okta_url}/api/v1/users/{user}/lifecycle/deactivate"
        assert self.http.post(url, headers=headers, json={}).status_code == 200

    def until(self, seconds, wanted):
        began = time.monotonic()
        while not wanted():
            assert time.monotonic() - began < seconds, self.logs()
            time.sleep(0.1)
        return time.monotonic() - began

    def logs(self):
        return "\n".join(path.read_text() for path in self.folder.glob("*.log"))

    def close(self):
        for process, _ in self.serves.values():
            process.kill()
            process.wait()
        self.http.close()
        self.engine.dispose()
        self.org.stop()


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    site.close()


def test_a_killed_reader_is_followed_and_nobody_slips_through(site):
    first = site.serve()
    site.until(10, site.read)
    second = site.serve()
    assert site.holder() == first
    process, url = site.serves[second]
    linus, ken = (site.sign_in(url, f"{name}@acme.example") for name in ("linus", "ken"))
    assert (linus(), ken()) == (200, 200)
    site.deactivate("linus@acme.example")
    assert site.until(5, lambda: linus() == 401) < 5
    killed, _ = site.serves.pop(first)
    killed.kill()
    killed.wait()
    site.deactivate("ken@acme.example")
    assert site.until(WITHIN, lambda: ken() == 401) < WITHIN
    assert site.holder() == second
    assert process.poll() is None
    assert site.world.okta.api_token not in site.logs()
