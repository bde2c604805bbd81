"""What the resident agent answers: to ``talk`` (JSON lines, ``talk.py``) and to the entry files of ``ssh``.

    {"do": "resolve", "host": H}                       -> {"ours": true}
    {"do": "connect", "host": H, "login": L, "hop": S} -> {"address": …, "port": …, "via": SERVER_ID or "", "login": …}
                                                          {"serial": …} when the pass is there

``connect`` makes the pass of the process that started the asker. ``hop`` is the id of the server behind, or "".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ostiary.doors.servers.client import one_time
from ostiary.doors.servers.client.control_api import Control, refusal_in
from ostiary.doors.servers.client.credentials import authorized
from ostiary.doors.servers.client.known_hosts import KnownHosts
from ostiary.doors.servers.client.listed import Listed
from ostiary.doors.servers.client.passes import Passes, Process, parent
from ostiary.doors.servers.client.refusals import STEP_UP, refused
from ostiary.doors.servers.wire.message import InvalidMessage, decode, encode
from ostiary.doors.servers.wire.paths import CERTIFICATES
from ostiary.doors.servers.wire.person import (
    HOP,
    LOGIN,
    X509,
    CertificateRequest,
    Issued,
    Refusal,
    ServerEntry,
    Session,
)
from ostiary.errors import Conflict, Denied, NotFound, OstiaryError, Unreachable, UsageError
from ostiary.pki import ssh_key

Answer = Mapping[str, Any]
Says = Callable[[Answer], None]


class Answers:
    """Everything that one signed-in person's resident agent can be asked. ``end`` makes it leave."""

    def __init__(
        self,
        control: Control,
        session: Session,
        listed: Listed,
        passes: Passes,
        known_hosts: KnownHosts,
        *,
        end: Callable[[], None],
    ) -> None:
        self._control = control
        self._session = session
        self._listed = listed
        self._passes = passes
        self._known_hosts = known_hosts
        self._end = end
        self._step_up: Refusal | None = None
        self.refusals: deque[str] = deque(maxlen=5)

    def answer(self, asked: Mapping[str, Any], asker: Process, say: Says) -> None:
        """Say one answer or, to ``connect``, two; an error as ``talk.py`` has it."""
        try:
            self._answer(asked, asker, say)
        except OstiaryError as error:
            say({**error.as_json(), "exit": error.exit_code})
        except OSError as error:
            fix = "see that there is room there, and run: ostiary login"
            what = f"the resident agent cannot write {error.filename}"
            say(OstiaryError(what, why=str(error.strerror).lower(), fix=fix).as_json())

    def _answer(self, asked: Mapping[str, Any], asker: Process, say: Says) -> None:
        do = asked.get("do")
        if do == "resolve":
            say({"ours": self._listed.known(str(asked.get("host", "")))})
        elif do == "connect":
            self._connect(asked, asker, say)
        elif do == "authorize":
            say({"headers": self._authorized(asked)})
        elif do == "who":
            say(self._who())
        elif do == "servers":
            say({"servers": [asdict(one) for one in self._listed.every()]})
        elif do == "x509":
            say({"issued": encode(self._x509(asked)).decode()})
        elif do == "end":
            say({})
            self._end()
        else:
            raise UsageError(
                "cannot answer the question", why=f"{do!r} is none", fix="run: ostiary login"
            )

    def _authorized(self, asked: Mapping[str, Any]) -> Mapping[str, str]:
        self._check_control(asked)
        parts = (str(asked.get(one, "")) for one in ("method", "path", "digest"))
        return authorized(self._session, *parts)

    def _check_control(self, asked: Mapping[str, Any]) -> None:
        """Denied for another control plane: whoever sets a URL must not get the session, nor a sign-in by advice of ours."""
        wanted, here = str(asked.get("control", "")), self._control.url
        if wanted != here:
            raise Denied(
                f"nobody is signed in at {wanted}",
                why=f"the sign-in here is at {here}",
                fix="see whether OSTIARY_CONTROL is yours; if so, sign in there: ostiary login --control URL",
                code="not-signed-in",
            )

    def _who(self) -> Answer:
        step_up = self._step_up
        return {
            "person": self._session.person,
            "login": self._session.login,
            "expires": self._session.expires,
            "device": self._session.device,
            "control": self._control.url,
            "passes": len(self._passes),
            "refusals": list(self.refusals),
            "acr_values": step_up.acr_values if step_up else "",
            "max_age": step_up.max_age if step_up else 0,
        }

    def _connect(self, asked: Mapping[str, Any], asker: Process, say: Says) -> None:
        server = self._listed.one(str(asked.get("host", "")))
        login = asked.get("login", "")
        if login != self._session.login:
            raise Denied(
                f"cannot enter {server.name} as {login}",
                why=f"there you are {self._session.login}, and nobody else",
                fix=f"run: ssh {self._session.login}@{server.name}",
                code="other-login",
            )
        via = self._bastion(server)
        say(
            {
                "address": server.address,
                "port": server.port,
                "via": via,
                "id": server.server_id,
                "login": login,
            }
        )
        issued = self._made(server, str(asked.get("hop", "")), parent(asker))
        say({"serial": issued.serial})

    def _bastion(self, server: ServerEntry) -> str:
        """The id of the server to go through, "" for none. Conflict where the way would never end."""
        way = [server]
        while bastion := way[-1].bastion:
            try:
                way.append(self._listed.one(bastion, server.project))
            except NotFound as gone:
                raise NotFound(
                    f"cannot reach {server.name}",
                    why=f"the way there is through {bastion}, which is not there",
                    fix=f"ask an owner of project {server.project}",
                    code="no-bastion",
                ) from gone
            if way[-1] in way[:-1]:
                raise Conflict(
                    f"cannot reach {server.name}",
                    why=f"the way there leads in a circle: {' through '.join(one.name for one in way)}",
                    fix=f"ask an owner of project {server.project} where --bastion of its hosts should lead",
                    code="bastion-circle",
                )
        return way[1].server_id if len(way) > 1 else ""

    def _made(self, server: ServerEntry, hop: str, process: Process) -> Issued:
        """A key, its certificate, the pass of ``process``."""
        key = Ed25519PrivateKey.generate()
        public = ssh_key.of(key.public_key()).text()
        issued = self._issued(
            server,
            CertificateRequest(
                server.server_id, public, HOP if hop else LOGIN, hop, server.project
            ),
        )
        if issued.server.server_id != server.server_id:
            raise Denied(
                f"refuse the certificate for {server.name}",
                why=f"it is for {issued.server.server_id}, not for {server.server_id}",
                code="foreign-certificate",
            )
        self._known_hosts.add(server, issued.host_authorities)
        self._passes.put(process, one_time.made(issued, key))
        return issued

    def _issued(self, server: ServerEntry, request: CertificateRequest) -> Issued:
        try:
            status, body = self._control.exchange("POST", CERTIFICATES, encode(request))
        except Unreachable as away:
            raise Unreachable(
                f"cannot enter {server.name}: {away.what}",
                why=f"{away.why}; sessions that are open go on, new ones need it",
                fix=f"{away.fix}; in need: ostiary servers breakglass --help",
                code=away.code,
            ) from away
        return self._granted(f"cannot enter {server.name}", status, body)

    def _x509(self, asked: Mapping[str, Any]) -> Issued:
        """For a key that the asker has made, and keeps."""
        self._check_control(asked)
        host, public, project = (
            str(asked.get(one, "")) for one in ("host", "public_key", "project")
        )
        request = CertificateRequest(host, public, X509, project=project)
        what = f"cannot get a certificate for {host}"
        try:
            status, body = self._control.exchange("POST", CERTIFICATES, encode(request))
        except Unreachable as away:
            raise Unreachable(
                f"{what}: {away.what}", why=away.why, fix=away.fix, code=away.code
            ) from away
        return self._granted(what, status, body)

    def _granted(self, what: str, status: int, body: bytes) -> Issued:
        """The certificate, or the error that says ``what`` cannot be done; what a step-up would have to be is kept."""
        if status < 400:  # noqa: PLR2004 - the first status of refusals
            return _read(body)
        refusal = refusal_in(status, body, self._control.url)
        if refusal.code == STEP_UP:
            self._step_up = refusal
        raise refused(what, status, refusal)


def _read(body: bytes) -> Issued:
    try:
        return decode(Issued, body)
    except InvalidMessage as wrong:
        raise Unreachable(
            "cannot read the certificate that came",
            why=str(wrong),
            fix="see that client and control plane are of one version",
            code="invalid-answer",
        ) from wrong
