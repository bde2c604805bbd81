"""A control plane as it is served, and the others: an issuer of ID tokens, people, administrators, hosts.

Nothing here is of the product but the control plane itself: the issuer signs real tokens with its own keys, a host signs
with its own SSH key, and everybody speaks HTTP.
"""

import hashlib
import hmac
import http.client
import json
import os
import select
import threading
import time
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwk, jwt
from tables_world import begin

from ostiary.doors.servers.control import app
from ostiary.doors.servers.control import serve as control
from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.wire.host import (
    Challenge,
    Enroll,
    Enrolled,
    HostReport,
    HostState,
)
from ostiary.doors.servers.wire.message import decode, encode
from ostiary.doors.servers.wire.person import (
    CertificateRequest,
    Issued,
    Refusal,
    Session,
    SignIn,
)
from ostiary.pki import ssh_key, sshsig
from ostiary.pki.signer import LocalSigner
from ostiary.plan.wrap import LocalKeyWrap

CLIENT_ID = "0oaservers"
CONTROL = "https://control.example"  # what the control plane calls itself, wherever it listens
ADMINS = "ostiary-admins"


@cache
def _key():
    """Made once for all tests of a process: it takes long."""
    return jwk.RSAKey.generate_key(2048, {"kid": "k1", "alg": "RS256", "use": "sig"})


class Issuer:
    """Publishes a key over HTTP and signs ID tokens with it, as the Okta org does."""

    def __init__(self):
        self.key = _key()
        world = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                keys = {"keys": [world.key.as_dict(private=False)]}
                found = {
                    "/.well-known/openid-configuration": {
                        "issuer": world.url,
                        "jwks_uri": f"{world.url}/keys",
                    },
                    "/keys": keys,
                }[self.path]
                body = json.dumps(found).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def token(self, login, groups=(), **claims):
        """An ID token; ``claims`` change or add, None takes away."""
        now = int(time.time())
        said = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "sub": f"00u{hashlib.sha256(login.encode()).hexdigest()[:17]}",
            "preferred_username": login,
            "iat": now,
            "exp": now + 3600,
            "auth_time": now,
            "amr": ["pwd", "mfa"],
            "jti": f"ID.{time.monotonic_ns()}",
            "groups": list(groups),
            **claims,
        }
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": "k1"}, said, self.key)

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass
class Refused(Exception):
    """What the control plane said no with."""

    status: int
    refusal: Refusal

    @property
    def code(self):
        return self.refusal.code


def signing_in(id_token, key=None, *, control=CONTROL, device="laptop", refresh_token=""):
    """The message of a device that has the key, for that control plane; of a new one unless told."""
    signer = LocalSigner(key or Ed25519PrivateKey.generate())
    hashed = [hashlib.sha256(one.encode()).hexdigest() for one in (id_token, refresh_token)]
    text = f"{control}\n{hashed[0]}\n{hashed[1]}\n{device}".encode()
    proof = sshsig.sign(signer, "ostiary-sign-in@v1", text)
    return SignIn(id_token, device, proof, refresh_token)


class Client:
    """One keep-alive connection of somebody: of whom has the session, or nobody. ``control`` is its URL for all, else ``url``."""

    def __init__(self, url, session=None, control=""):
        parts = urlsplit(url)
        self.control = control or url
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        self.token = self.proof_key = ""
        self.session = None
        self.clock = time.time
        if session is not None:
            self.hold(session)

    def raw(self, method, path, body=b"", headers=None):
        """Status, headers, body. A connection that the other side ended, idle for long, is made anew."""
        there = self._connection.sock
        if there is not None:
            asked = select.poll()  # as select, for numbers above 1,023 too
            asked.register(there, select.POLLIN)
            if asked.poll(0):
                self._connection.close()
        self._connection.request(method, path, body, headers or {})
        answer = self._connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()

    def call(self, method, path, message=None, kind=None, headers=None):
        body = encode(message) if message is not None else b""
        sent = {**self.headers(method, path, body), **(headers or {})}
        status, _, answer = self.raw(method, path, body, sent)
        if status in (204, 304):
            return None
        if status != 200:
            raise Refused(status, decode(Refusal, answer))
        return decode(kind, answer) if kind else answer

    def sign_in(self, id_token, key=None, **more):
        """From the device that has the key; from a new one unless told."""
        asked = signing_in(id_token, key, **{"control": self.control, **more})
        return self.hold(self.call("POST", "/v1/sign-in", asked, Session))

    def hold(self, session):
        self.session, self.token, self.proof_key = session, session.token, session.proof_key
        return self

    def headers(self, method, path, body=b"", when=None):
        """Those of one request in the session, made now unless told."""
        found = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if self.proof_key:
            when = when or str(int(self.clock()))
            digest = hashlib.sha256(body).hexdigest()
            stamp = f"{when} {os.urandom(12).hex()} {digest}"
            text = f"ostiary-request@v1\n{method}\n{path}\n{stamp}"
            mac = hmac.new(self.proof_key.encode(), text.encode(), hashlib.sha256)
            found["Ostiary-Proof"] = f"{stamp} {mac.hexdigest()}"
        return found

    def certificate(self, server, purpose="login", forward_to="", project="", key=None):
        key = key or Ed25519PrivateKey.generate()
        public = ssh_key.of(key.public_key()).text()
        asked = CertificateRequest(server, public, purpose, forward_to, project)
        return self.call("POST", "/v1/certificates", asked, Issued)

    def close(self):
        self._connection.close()


class Host:
    """A server, by its host key."""

    def __init__(self, url, key=None):
        self.key = key or Ed25519PrivateKey.generate()
        self.signer = LocalSigner(self.key)
        self.public = self.signer.public_key.text()
        self.client = Client(url)
        self.id = "-"

    def challenge(self):
        return self.client.call("POST", "/v1/hosts/challenge", kind=Challenge).challenge

    def header(self, method, path, body=b"", challenge=None, server_id=None):
        challenge = challenge or self.challenge()
        digest = hashlib.sha256(body).hexdigest()
        text = f"{method}\n{path}\n{challenge}\n{digest}".encode()
        signature = sshsig.sign(self.signer, "ostiary-host@v1", text)
        return f"{server_id or self.id} {challenge} {signature}"

    def call(self, method, path, message=None, kind=None, **proof):
        body = encode(message) if message is not None else b""
        headers = {"Ostiary-Host": self.header(method, path, body, **proof)}
        return self.client.call(method, path, message, kind, headers)

    def enroll(self, token, name, labels=None, bastion="", address="192.0.2.10", **more):
        asked = Enroll(
            token, name, address, 22, self.public, {"os": "debian"}, labels or {}, bastion, **more
        )
        enrolled = self.call("POST", "/v1/hosts/enroll", asked, Enrolled)
        self.id = enrolled.server_id
        return enrolled

    def state(self, generation=0, wait=0):
        path = f"/v1/hosts/state?generation={generation}&wait={wait}"
        return self.call("GET", path, kind=HostState)

    def report(self, generation=0, **more):
        told = {"trusted": (), "time": time.time(), **more}
        self.call("POST", "/v1/hosts/report", HostReport(generation=generation, **told))


class ControlWorld:
    """``ostiary serve`` in a thread of this process, on a port of its own."""

    def __init__(
        self,
        database,
        folder,
        clock=time.time,
        more=(),
        *,
        transport=None,
        settings=None,
        **services,
    ):
        begin(database)
        self.issuer = Issuer()
        told = {
            "database": database,
            "listen": "127.0.0.1:0",
            "url": CONTROL,
            "issuer": self.issuer.url,
            "client_id": CLIENT_ID,
            "admin_group": ADMINS,
            "state_dir": folder,
        }
        self.settings = control.ServeSettings(**{**told, **(settings or {})})
        self._http = httpx2.Client(transport=transport, verify=False)  # the issuer has no TLS
        wrap = LocalKeyWrap(folder / "kek")
        try:
            self.services = control.services(
                self.settings, wrap, http=self._http, clock=clock, **services
            )
        except BaseException:
            self._http.close()
            self.issuer.close()
            raise
        self.application = app.build(self.services, more)
        self._server = control.server(self.settings, self.application)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the control plane did not start"
            time.sleep(0.005)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._clients = []
        self._device_of_admin = Ed25519PrivateKey.generate()

    def client(self, session=None):
        client = Client(self.url, session, self.settings.url)
        client.clock = self.services.clock
        self._clients.append(client)
        return client

    def person(self, login, groups=(), **claims):
        """Somebody who has signed in."""
        return self.client().sign_in(self.issuer.token(login, groups, **claims))

    def admin(self):
        """An administrator, at one and the same device."""
        token = self.issuer.token("admin@acme.example", [ADMINS])
        return self.client().sign_in(token, self._device_of_admin)

    def host(self, key=None):
        host = Host(self.url, key)
        self._clients.append(host.client)
        return host

    def project(self, name="prod", rules=(), settings=None, uid_start=60001, gid_start=63001):
        """A project with these rules, made by an administrator."""
        by = self.admin()
        made = by.call(
            "POST", "/v1/projects", admin.NewProject(name, uid_start, gid_start), admin.Project
        )
        wanted = admin.ProjectWanted(made.generation, settings or admin.Settings(), tuple(rules))
        return by.call("PUT", f"/v1/projects/{name}", wanted, admin.Project)

    def token(self, project="prod", uses=1, seconds=600.0):
        """An enrollment token."""
        path = f"/v1/projects/{project}/tokens"
        return self.admin().call("POST", path, admin.NewToken(uses, seconds), admin.MadeToken).token

    def server(self, name, project="prod", **more):
        """A host that is enrolled."""
        host = self.host()
        host.enroll(self.token(project), name, **more)
        return host

    def close(self):
        self._server.should_exit = True
        self._thread.join()
        for client in self._clients:
            client.close()
        self.services.writer.close()
        self.services.database.close()
        self._http.close()
        self.issuer.close()
