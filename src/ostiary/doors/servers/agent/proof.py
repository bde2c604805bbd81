"""A login proven before it counts: a private sshd with the configuration and the PAM stack that are to come.

It talks over a pipe (``sshd -i``), so that no port is opened, and trusts two authorities that live as long as the proof: one
in the place of the project's, whose certificate must enter once and be refused the second time, one in the place of
break-glass, whose certificate must enter twice. The candidate PAM stack is a service of its own: sshd calls its service by
the name that it was started with, so a link of another name does it (tried with OpenSSH 9.2), and by the keyword
PAMServiceName where it has one (9.8 and later: read in auth-pam.c and servconf.c, not tried). What the session runs is in
sshd itself (NOTHING): a shell would read the user's files first, and so the user could decide whether the proof holds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from ostiary.doors.servers.agent import guard, sshd, sshd_candidate
from ostiary.doors.servers.agent.files import HostError, Paths, folder, write
from ostiary.doors.servers.agent.principals import NOTHING
from ostiary.doors.servers.agent.run import attempt, run
from ostiary.doors.servers.agent.sshd_text import Trust

SERVICE = "ostiary-proof"
PRINCIPAL = "ostiary-proof"
SSH_ITSELF, NO_END, NO_PROGRAM = (
    255,
    124,
    127,
)  # any other code is that of what ran: NOTHING's, or of a ForceCommand
REFUSED = 254  # what sshd ends with where PAM opened no session (session.c)


@dataclass(frozen=True)
class Parts:
    """``interpreter`` runs ``hook``; ``pam`` is the text of sshd's PAM service without the hook."""

    hook: Path
    interpreter: str
    pam: str


def prove(user: str, paths: Paths, parts: Parts) -> None:
    """HostError with the log's last words unless ``user`` enters as he should, and not as he should not."""
    service = paths.pam.with_name(SERVICE)
    with sshd_candidate.apart(paths) as where:
        trust, files = _trust(where, user)
        try:
            write(service, guard.with_hook(parts.pam, _guard(where, parts)))
            config = sshd_candidate.build(where, paths, trust)
            (where / SERVICE).symlink_to(sshd.program())
            named = "pamservicename" in sshd.effective(config, user)
            for step, (name, serial, wanted) in enumerate(_STEPS):
                key = _certified(where, f"{name}{serial}", files[name], serial)
                code = _enter(where, config, (user, named), key)
                if _entered(code) is not wanted:
                    raise HostError(f"{_MEANING[step]} (ssh ended with {code}): {_log(where)}")
        finally:
            service.unlink(missing_ok=True)


# Which authority, which serial, whether it must enter.
_STEPS = (
    ("one-time", 1, True),
    ("one-time", 1, False),
    ("break-glass", 2, True),
    ("break-glass", 2, True),
)
_MEANING = (
    "a managed user could not enter",
    "a certificate could be used twice",
    "break-glass could not enter",
    "break-glass could enter only once",
)


def _trust(where: Path, user: str) -> tuple[Trust, dict[str, Path]]:
    files = {}
    for name in ("one-time", "break-glass"):
        files[name] = where / f"{name}-key"
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "proof", "-f", str(files[name]))
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "proof", "-f", str(where / "key"))
    public = {name: file.with_name(f"{file.name}.pub").read_text() for name, file in files.items()}
    write(where / "one-time", public["one-time"])
    write(where / "trusted", public["one-time"] + public["break-glass"])
    folder(where / "principals")
    write(where / "principals" / user, f'restrict,command="{NOTHING}" {PRINCIPAL}\n')
    folder(where / "var", 0o700)
    folder(where / "var" / "ledger", 0o700)
    trust = Trust(
        authorities=str(where / "trusted"),
        break_glass=str(where / "trusted"),
        principals=str(where / "principals" / "%u"),
    )
    return trust, files


def _guard(where: Path, parts: Parts) -> Path:
    path, trusted = where / "session", where / "one-time"
    keys = [trusted.read_text()]
    script = guard.script(keys, parts.interpreter, parts.hook, where / "var", trusted)
    write(path, script, 0o755)
    return path


def _certified(where: Path, name: str, authority: Path, serial: int) -> Path:
    """The certificate of ``key`` under a name of its own; made once."""
    key = where / name
    if not key.exists():
        for ending in ("", ".pub"):
            text = (where / f"key{ending}").read_text()
            write(where / f"{name}{ending}", text, 0o600)
        options = ["-I", "proof", "-n", PRINCIPAL, "-z", str(serial), "-V", "-5m:+5m"]
        run("ssh-keygen", "-q", "-s", str(authority), *options, str(where / f"{name}.pub"))
    return key


def _enter(where: Path, config: Path, who: tuple[str, bool], key: Path) -> int:
    user, named = who
    server = f"{where / SERVICE} -i -f {config} -E {where / 'log'}"
    if named:
        server += f" -o PAMServiceName={SERVICE}"
    settings = (
        f"ProxyCommand={server}",
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "GlobalKnownHostsFile=/dev/null",
        "PreferredAuthentications=publickey",
        "ControlPath=none",
    )
    options = [part for one in settings for part in ("-o", one)]
    command = ("ssh", "-F", "none", "-n", "-T", "-i", str(key), *options, f"{user}@proof", "true")
    return attempt(*command)[0]


def _entered(code: int) -> bool | None:
    """None where it did not enter for another reason than that PAM opened no session."""
    if code in (SSH_ITSELF, NO_END, NO_PROGRAM):
        return None
    return code != REFUSED


def _log(where: Path) -> str:
    time.sleep(0.1)  # sshd may still write
    try:
        lines = (where / "log").read_text(errors="replace").strip().splitlines()
    except OSError:
        return "sshd wrote no log"
    return "; ".join(line for line in lines[-4:])
