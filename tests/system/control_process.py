"""``ostiary serve`` as a process of its own, with faults: killed, traced, on a full disk."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from control_world import ADMINS, CLIENT_ID, Client, Host, Refused
from free_port import free_port

from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.wire.admin import Rule


class Process:
    """One control plane. ``before`` goes in front of the command (strace, faketime); ``kek`` "" names no key."""

    def __init__(self, database, folder, issuer, *, port=None, before=(), kek=None, options=()):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"serve-{self.port}.log"
        key = () if kek == "" else ("--kek-file", str(kek or folder / "kek"))
        self._command = [
            *before,
            sys.executable,
            *("-m", "ostiary", "serve", "--database", database),
            *("--listen", f"127.0.0.1:{self.port}", "--issuer", issuer.url),
            *("--client-id", CLIENT_ID, "--admin-group", ADMINS),
            *("--state-dir", str(folder / f"state-{self.port}")),
            *(*key, *options),
        ]
        self.process = None

    def start(self, seconds=60):
        """Start, and return when it answers; how long that took."""
        began = time.monotonic()
        self.launch()
        while not self.answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() - began < seconds, self.log.read_text()
            time.sleep(0.02)
        return time.monotonic() - began

    def launch(self):
        env = {name: value for name, value in os.environ.items() if not name.startswith("OKTA_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stderr=log, stdout=log, env=env)

    def answers(self):
        client = Client(self.url)
        try:
            return client.raw("GET", "/healthz")[0] == 204
        except OSError:
            return False
        finally:
            client.close()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        """As an init does; the exit code."""
        if self.process is None or self.process.poll() is not None:
            return None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


PAUSE = 0.1  # seconds until who got nothing signs in again: sixteen all the time leave no core to what starts


class People:
    """Somebody's way to whatever process is up: they sign in once and go on asking."""

    def __init__(self, issuer, urls):
        self.issuer = issuer
        self.urls = urls
        self.answers = []  # one for each certificate, as they come

    def more(self, answers):
        """Wait until so many more certificates have come to those who ask."""
        wanted, end = len(self.answers) + answers, time.monotonic() + 60
        while len(self.answers) < wanted:
            assert time.monotonic() < end, f"{len(self.answers)} of {wanted}"
            time.sleep(0.01)

    def client(self, login, groups, number=0):
        client = Client(self.urls[number % len(self.urls)])
        try:
            client.sign_in(self.issuer.token(login, groups))
        except BaseException:
            client.close()
            raise
        return client

    def project(self, name="prod", groups=("sre",)):
        """A project that these groups may enter; its host web1."""
        by = self.client("admin@acme.example", [ADMINS])
        new = admin.NewProject(name, 60001, 63001)
        made = by.call("POST", "/v1/projects", new, admin.Project)
        rules = tuple(Rule(f"group:{one}", login=True) for one in groups)
        wanted = admin.ProjectWanted(made.generation, admin.Settings(), rules)
        by.call("PUT", f"/v1/projects/{name}", wanted)
        token = by.call(
            "POST", f"/v1/projects/{name}/tokens", admin.NewToken(10, 600.0), admin.MadeToken
        )
        by.close()
        host = Host(self.urls[0])
        host.enroll(token.token, "web1")
        host.client.close()
        return host

    def ask_until(self, stop, many, each=0.0):
        """``many`` people who ask until ``stop`` is set: the answers, and how often there was none."""

        def ask(number):
            got, failed = [], 0
            client = None
            login = f"p{number}@acme.example"
            while not stop.is_set():
                try:
                    client = client or self.client(login, ["sre"], number)
                    got.append(client.certificate("web1"))
                    self.answers.append(None)
                    time.sleep(each)
                except (OSError, Refused, ConnectionError, ValueError, IndexError):
                    failed += 1
                    if client is not None:
                        client.close()
                    client = None
                    number += 1
                    time.sleep(PAUSE)
                except Exception as error:
                    if type(error).__module__ != "http.client":
                        raise
                    failed += 1
                    if client is not None:
                        client.close()
                    client = None
                    time.sleep(PAUSE)
            if client is not None:
                client.close()
            return got, failed

        with ThreadPoolExecutor(many) as pool:
            found = list(pool.map(ask, range(many)))
        return [one for got, _ in found for one in got], sum(failed for _, failed in found)
