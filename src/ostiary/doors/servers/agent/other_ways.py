"""Every other way into this host: what lets somebody in who holds no certificate of the project. Read only.

Keys, passwords, authorities and commands that sshd trusts, and the ways that do not pass sshd at all: Session Manager and
the serial console. Accounts that the agent keeps are left out: sshd lets them in by certificate only.
Source: sshd_config(5), sshd(8), shadow(5); the cloud's own from the documentation of cloud-init and Amazon EC2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ostiary.doors.servers.agent import other_ways_keys as keys
from ostiary.doors.servers.agent import sshd
from ostiary.doors.servers.agent.accounts_lookup import Lookup, User
from ostiary.doors.servers.agent.files import MANAGED, HostError, Paths
from ostiary.doors.servers.agent.other_ways_beside import Way, beside, with_password

NO_LOGIN = frozenset({"nologin", "false", "sync", "shutdown", "halt"})
_HOSTS_EQUIV = ("etc/hosts.equiv", "etc/ssh/shosts.equiv")


def find(paths: Paths, lookup: Lookup, root: Path = Path("/")) -> tuple[Way, ...]:
    """All of them. ``root`` is where the files of others are looked for; accounts and sshd are this host's."""
    managed = lookup.group(MANAGED)
    ours = set(managed.members) if managed else set()
    people = [user for user in lookup.users.values() if user.name not in ours and can_login(user)]
    try:
        settings: Mapping[str, Sequence[str]] = sshd.effective(paths.sshd_config, "root")
    except HostError as error:
        return (Way("unknown", "", str(paths.sshd_config), str(error)), *beside(root))
    return (
        *_keys(people, settings),
        *_passwords(people, settings, root),
        *_settings(settings, paths, root),
        *beside(root),
    )


def can_login(user: User) -> bool:
    return user.shell.rpartition("/")[2] not in NO_LOGIN


def _keys(people: Sequence[User], settings: Mapping[str, Sequence[str]]) -> Iterator[Way]:
    patterns = " ".join(settings.get("authorizedkeysfile", ())).split()
    for user in people:
        for path in dict.fromkeys(keys.places(patterns, user)):
            for key in keys.read(path):
                kind = "authority" if key.is_authority else "key"
                yield Way(kind, user.name, str(path), key.text, "keys")


def _passwords(
    people: Sequence[User], settings: Mapping[str, Sequence[str]], root: Path
) -> Iterator[Way]:
    by_password = _says(settings, "passwordauthentication")
    by_question = _says(settings, "kbdinteractiveauthentication") and _says(settings, "usepam")
    if not by_password and not by_question:
        return
    having = set(with_password(root))
    lines = [
        ("PasswordAuthentication no", by_password),
        ("KbdInteractiveAuthentication no", by_question),
    ]
    closing = "sshd_config: " + "; ".join(line for line, needed in lines if needed)
    for user in people:
        if user.name not in having:
            continue
        if user.uid == 0 and settings.get("permitrootlogin", ["no"])[0] != "yes":
            continue
        yield Way("password", user.name, "sshd", "has a password, and sshd asks for it", closing)


def _settings(settings: Mapping[str, Sequence[str]], paths: Paths, root: Path) -> Iterator[Way]:
    for name in ("authorizedkeyscommand", "authorizedprincipalscommand"):
        command = " ".join(settings.get(name, ("none",)))
        if command not in ("none", ""):
            cloud = (
                "EC2 Instance Connect"
                if "ec2-instance-connect" in command or "eic_" in command
                else ""
            )
            spelled = {"authorizedkeyscommand": "AuthorizedKeysCommand"}.get(
                name, "AuthorizedPrincipalsCommand"
            )
            yield Way("keys-command", "", command, cloud or spelled, f"sshd_config: {spelled} none")
    for file in settings.get("trustedusercakeys", ()):
        if file not in ("none", str(paths.break_glass), str(paths.authorities)):
            for key in keys.read(Path(file)) or [keys.Key("", "cannot be read", is_authority=True)]:
                yield Way("authority", "", file, f"TrustedUserCAKeys {key.text}")
    if _says(settings, "hostbasedauthentication"):
        files = [f"/{one}" for one in _HOSTS_EQUIV if (root / one).exists()]
        where = ", ".join(files) or "~/.shosts"
        yield Way(
            "host-based",
            "",
            where,
            "HostbasedAuthentication",
            "sshd_config: HostbasedAuthentication no",
        )
    else:
        for one in _HOSTS_EQUIV:
            if (root / one).exists():
                yield Way("host-based", "", f"/{one}", "there, and not asked by sshd")
    if _says(settings, "gssapiauthentication"):
        yield Way(
            "kerberos", "", "sshd", "GSSAPIAuthentication", "sshd_config: GSSAPIAuthentication no"
        )


def _says(settings: Mapping[str, Sequence[str]], name: str) -> bool:
    return settings.get(name, ("no",))[0] == "yes"
