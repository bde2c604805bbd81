"""Really entering a server by OpenSSH's own client, with keys that only a throw-away SSH agent holds.

Nothing of the caller's SSH configuration is read: what is proven is the certificate, not a key that lies about. The host
must show a certificate of the project's host authority for the very server id.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ostiary.doors.servers.breakglass.hand_over import to_agent
from ostiary.doors.servers.breakglass.sign import Signed
from ostiary.errors import NotFound, ProofFailed, UsageError
from ostiary.pki.ssh_key import PublicKey

_LINES = 5  # of what ssh says: of a bastion on the way too
_SECONDS = 30  # for one connection, all of it


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is; ``server_id`` is the name that its host certificate must have."""

    server_id: str
    address: str
    port: int = 22


def enter(
    signed: Sequence[Signed], login: str, way: Sequence[Place], hosts: Sequence[PublicKey]
) -> str:
    """What ``id -un`` says on the last server of ``way``, the ones before it being bastions. ProofFailed when refused."""
    programs = {name: shutil.which(name) for name in ("ssh", "ssh-agent")}
    if missing := [name for name, found in programs.items() if found is None]:
        raise NotFound(
            f"cannot enter by {missing[0]}",
            why="it is not installed",
            fix="install the OpenSSH client",
        )
    with _agent(str(programs["ssh-agent"])) as (folder, socket):
        for one in signed:
            to_agent(socket, one.key, one.certificate, one.certificate.key_id, _SECONDS)
        known = folder / "known_hosts"
        known.write_text("".join(f"@cert-authority * {key.text()}\n" for key in hosts))
        argv = [*_ssh(str(programs["ssh"]), login, way, socket, known), "id", "-un"]
        try:
            done = subprocess.run(  # noqa: S603 - an argument vector; login, ids and addresses were checked
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise _refused(way[-1], login, f"no answer within {_SECONDS} s") from late
    if done.returncode:
        said = done.stderr.strip().splitlines()[-_LINES:] or [f"ssh ended with {done.returncode}"]
        raise _refused(way[-1], login, "\n".join(said))
    return done.stdout.strip()


def _ssh(program: str, login: str, way: Sequence[Place], agent: str, known: Path) -> list[str]:
    place = way[-1]
    if not place.address or place.address.startswith("-") or not 0 < place.port < 65536:  # noqa: PLR2004 - TCP's ports
        raise UsageError(
            f"cannot reach {place.address!r} port {place.port}",
            why="that is no address and port of a host",
            fix="write it as srv_…=ADDRESS or srv_…=ADDRESS:PORT",
        )
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": "10",
        "IdentityAgent": agent,
        "IdentitiesOnly": "no",
        "IdentityFile": "none",
        "PreferredAuthentications": "publickey",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(known),
        "GlobalKnownHostsFile": "none",
        "HostKeyAlias": place.server_id,
        "ControlPath": "none",
    }
    argv = [program, "-F", "none", "-T", *(f"-o{name}={value}" for name, value in options.items())]
    if before := way[:-1]:
        hop = _ssh(program, login, before, agent, known)
        argv.append(f"-oProxyCommand={shlex.join([hop[0], '-W', '%h:%p', *hop[1:]])}")
    return [*argv, "-l", login, "-p", str(place.port), "--", place.address]


@contextlib.contextmanager
def _agent(program: str) -> Iterator[tuple[Path, str]]:
    """A folder of ours, and in it the socket of an agent that ends with the block."""
    with tempfile.TemporaryDirectory(prefix="ostiary-") as name:
        socket = f"{name}/agent"
        running = subprocess.Popen(  # noqa: S603 - an argument vector of ours
            [program, "-D", "-a", socket],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={**os.environ, "SSH_AUTH_SOCK": ""},
        )
        try:
            assert running.stdout is not None, "it was asked for"
            running.stdout.readline()  # it says its socket once it listens
            yield Path(name), socket
        finally:
            running.terminate()
            running.wait()
            assert running.stdout is not None, "as above"
            running.stdout.close()


def _refused(place: Place, login: str, why: str) -> ProofFailed:
    return ProofFailed(
        f"break-glass did not enter {place.server_id} at {place.address} as {login}",
        why=why,
        fix="see that the agent there has read the authority, and that the account is there",
        code="not-entered",
    )
