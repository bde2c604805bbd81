"""Every other way into this host: what lets somebody in who holds no certificate of the project. Read only.

Keys, passwords, authorities and commands that sshd trusts, and the ways that do not pass sshd at all: Session Manager and
the serial console. Accounts that the agent keeps are left out: sshd lets them in by certificate only.
Source: sshd_config(5), sshd(8), shadow(5); the cloud's own from the documentation of cloud-init and Amazon EC2.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from ostiary.doors.servers.agent import managed_group, sshd
from ostiary.doors.servers.agent import other_ways_keys as keys
from ostiary.doors.servers.agent.accounts_lookup import Lookup, User
from ostiary.doors.servers.agent.files import HostError, Paths
from ostiary.doors.servers.agent.other_ways_beside import Way, beside, with_password
from ostiary.doors.servers.agent.sshd_listeners import listeners

NO_LOGIN = frozenset({"nologin", "false", "sync", "shutdown", "halt"})
_HOSTS_EQUIV = ("etc/hosts.equiv", "etc/ssh/shosts.equiv")
_BY_ADDRESS = re.compile(
    r"^\s*Match\s.*\b(Address|LocalAddress|LocalPort|Host|RDomain)\b", re.IGNORECASE | re.MULTILINE
)
MOST_ASKED = 200  # people for whom sshd is asked what holds; one process each
_ALL = ""  # whose settings hold for the others

Settings = Mapping[str, Sequence[str]]


def find(paths: Paths, lookup: Lookup, root: Path = Path("/")) -> tuple[Way, ...]:
    """All of them. ``root`` is where the files of others are looked for; accounts and sshd are this host's."""
    ours = managed_group.members(lookup, paths)
    having = set(with_password(root))
    try:
        general = sshd.effective(paths.sshd_config, "nobody-of-this-name")
        others = [user for user in lookup.users.values() if user.name not in ours]
        people = [one for one in others if can_login(one) or _may_forward(one, general, having)]
        settings = {_ALL: general, **_asked(paths.sshd_config, people)}
    except HostError as error:
        return (Way("unknown", "", str(paths.sshd_config), str(error)), *beside(root))
    found: list[Way] = []
    for user in people:
        here = settings.get(user.name, settings[_ALL])
        found += _keys(user, here)
        if user.name in having:
            found += _password(user, here)
    for here in settings.values():
        found += _settings(here, paths)
    found += _host_based(
        any(_says(here, "hostbasedauthentication") for here in settings.values()), root
    )
    return (*dict.fromkeys([*found, *_by_address(paths), *_other_sshd(paths)]), *beside(root))


def can_login(user: User) -> bool:
    return user.shell.rpartition("/")[2] not in NO_LOGIN


def _may_forward(user: User, settings: Settings, having: Collection[str]) -> bool:
    """Whether sshd lets in somebody who has no shell: to forward ports, and to sshd's own sftp."""
    return user.name in having or any(map(keys.read, _files(user, settings)))


def _asked(config: Path, people: Sequence[User]) -> dict[str, Settings]:
    """What holds for each of the first people."""
    return {user.name: sshd.effective(config, user.name) for user in people[:MOST_ASKED]}


def _keys(user: User, settings: Settings) -> Iterator[Way]:
    if not _says(settings, "pubkeyauthentication"):
        return
    if user.uid == 0 and settings.get("permitrootlogin", ["no"])[0] == "no":
        return
    for path in _files(user, settings):
        for key in keys.read(path):
            kind = "authority" if key.is_authority else "key"
            yield Way(kind, user.name, str(path), key.text + _to(user), "keys")


def _files(user: User, settings: Settings) -> Collection[Path]:
    patterns = " ".join(settings.get("authorizedkeysfile", ())).split()
    return dict.fromkeys(keys.places(patterns, user))


def _to(user: User) -> str:
    return "" if can_login(user) else " (no shell: forwarding, sftp)"


def _password(user: User, settings: Settings) -> Iterator[Way]:
    asking = [
        ("PasswordAuthentication no", _says(settings, "passwordauthentication")),
        (
            "KbdInteractiveAuthentication no",
            _says(settings, "kbdinteractiveauthentication") and _says(settings, "usepam"),
        ),
    ]
    if user.uid == 0 and settings.get("permitrootlogin", ["no"])[0] != "yes":
        return
    if closing := "; ".join(line for line, asked in asking if asked):
        detail = f"has a password, and sshd asks for it{_to(user)}"
        yield Way("password", user.name, "sshd", detail, f"sshd_config: {closing}")


def _settings(settings: Settings, paths: Paths) -> Iterator[Way]:
    for name in ("AuthorizedKeysCommand", "AuthorizedPrincipalsCommand"):
        command = " ".join(settings.get(name.lower(), ("none",)))
        if command not in ("none", ""):
            cloud = any(mark in command for mark in ("ec2-instance-connect", "eic_"))
            detail = "EC2 Instance Connect" if cloud else name
            yield Way("keys-command", "", command, detail, f"sshd_config: {name} none")
    for file in settings.get("trustedusercakeys", ()):
        if file not in ("none", str(paths.break_glass), str(paths.authorities)):
            for key in keys.read(Path(file)) or [keys.Key("", keys.UNREAD, is_authority=True)]:
                yield Way("authority", "", file, f"TrustedUserCAKeys {key.text}")
    if _says(settings, "gssapiauthentication"):
        closing = "sshd_config: GSSAPIAuthentication no"
        yield Way("kerberos", "", "sshd", "GSSAPIAuthentication", closing)


def _host_based(asked: bool, root: Path) -> Iterator[Way]:
    files = [f"/{one}" for one in _HOSTS_EQUIV if (root / one).exists()]
    if asked:
        closing = "sshd_config: HostbasedAuthentication no"
        where = ", ".join(files) or "~/.shosts"
        yield Way("host-based", "", where, "HostbasedAuthentication", closing)
    else:
        for file in files:
            yield Way("host-based", "", file, "there, and not asked by sshd")


def _by_address(paths: Paths) -> Iterator[Way]:
    """What holds for some addresses only is beyond what sshd can be asked for in general: told as such."""
    for file in (paths.sshd_config, *sorted(paths.drop_in.parent.glob("*.conf"))):
        with contextlib.suppress(OSError):
            if _BY_ADDRESS.search(file.read_text("utf-8", "replace")):
                yield Way("unknown", "", str(file), "a Match by address is not looked into")


def _other_sshd(paths: Paths) -> Iterator[Way]:
    """What one is told on its command line counts before the files."""
    for one in listeners(paths.ssh):
        if one.name != paths.pam.name or set(one.told) & {"-f", "-o"}:
            started = " ".join((one.name, *one.told))
            yield Way("unknown", "", started, "an sshd with options of its own is not looked into")


def _says(settings: Settings, name: str) -> bool:
    return settings.get(name, ("no",))[0] == "yes"
