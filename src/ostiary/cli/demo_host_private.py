"""A private sshd for the demo, with the parts of the agent that need no root: identity, host certificate, trust, principals.

It runs as who runs the demo, whose own account stands in for the LocalUser; without PAM nothing keeps a certificate to one use.
"""

from __future__ import annotations

import contextlib
import getpass
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from ostiary import term
from ostiary.cli.demo_sshd import LABEL, NAME, Host, free_port, program, run, running
from ostiary.doors.servers.agent import host_certificate, principals, reconcile, trust
from ostiary.doors.servers.agent.control import Control
from ostiary.doors.servers.agent.enroll import Wanted, enroll
from ostiary.doors.servers.agent.files import HostError, Paths
from ostiary.doors.servers.agent.identity import Identity
from ostiary.doors.servers.wire.host import HostState
from ostiary.doors.servers.wire.message import decode
from ostiary.errors import OstiaryError

TOLD = (
    "a private sshd of this user; accounts, sudo rights and the hook that keeps a certificate to one use"
    " need root and namespaces"
)


@contextlib.contextmanager
def private(folder: Path, url: str, token: str) -> Iterator[Host]:
    """An enrolled sshd on a loopback port. OstiaryError with the agent's or its words when it did not come about."""
    folder.mkdir()
    port = free_port()
    parts = ("ssh", "etc", "var", "sudoers", "pam")
    paths = Paths(*(folder / one for one in parts))
    paths.ssh.mkdir()
    key = str(paths.host_key)
    run([program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", key])
    try:
        wanted = Wanted(url, token, NAME, "127.0.0.1", port, labels={"role": LABEL})
        made = enroll(wanted, paths, term.say)
        login = _in_line(made, url, paths)
    except HostError as error:
        raise OstiaryError(error.what, why=error.why, fix=error.fix) from error
    config = folder / "sshd_config"
    config.write_text(_config(port, paths, login))
    with running([program("sshd"), "-D", "-e", "-f", str(config)], port, folder / "sshd.log"):
        yield Host(made.server_id, port, getpass.getuser(), once=False, told=TOLD)


def _in_line(made: Identity, url: str, paths: Paths) -> str:
    """Bring its files in line with its first state; the LocalUser who may enter."""
    path = "/v1/hosts/state?generation=0&wait=0"
    answer = Control(url, paths).call("GET", path, server_id=made.server_id)
    state = decode(HostState, answer.body)
    trust.bring_in_line(state, paths, sys.executable, reconcile.hook_text())
    host_certificate.bring_in_line(state, paths)
    principals.bring_in_line(state.users, paths, {})
    return state.users[0].login


def _config(port: int, paths: Paths, login: str) -> str:
    settings: Mapping[str, object] = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": paths.host_key,
        "HostCertificate": paths.host_certificate,
        "TrustedUserCAKeys": paths.authorities,
        "AuthorizedPrincipalsFile": paths.principals / login,
        "AuthorizedKeysFile": "none",
        "UsePAM": "no",
        "PidFile": "none",
        "StrictModes": "no",
        "LogLevel": "VERBOSE",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
    }
    return "".join(f'{name} "{value}"\n' for name, value in settings.items())
