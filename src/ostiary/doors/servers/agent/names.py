"""Which names and numbers may become an account here: judged again by the host, whatever the control plane says. Pure.

useradd itself takes ``a;b``, ``..``, ``ALL`` and ``#0`` (Debian 12), so nothing reaches it that this file did not pass.
"""

from __future__ import annotations

import re

from ostiary.doors.servers.agent.files import FORMER, MANAGED

LONGEST_COMMENT = 64
LOWEST = 1000  # UID_MIN of login.defs(5): below are the system's
HIGHEST = 2**31 - 1  # above, some file systems and tools take numbers for negative
_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_SHELL = re.compile(r"(/[A-Za-z0-9._+-]+)+")

RESERVED = frozenset(
    """
    root daemon bin sys sync games man lp mail news uucp proxy backup list irc gnats nobody sshd ntp messagebus adm
    operator halt shutdown ftp polkitd chrony tss dbus rpc cron all admin wheel sudo docker lxd libvirt disk shadow
    kmem tty kvm utmp staff users ubuntu debian ec2-user centos rocky cloud-user
    postgres mysql redis nginx apache www-data git jenkins
    """.split()  # noqa: SIM905 - fifty names read better so
)
# Members of these are as good as root, or read what only root should: never given by a name that happens to match.
ROOT_LIKE = frozenset(
    """
    root adm disk docker lxd lxc incus incus-admin libvirt kvm kmem shadow sudo admin wheel tty video systemd-journal
    utmp staff podman google-sudoers
    """.split()  # noqa: SIM905 - as above
)

# docs/UIDS-GIDS.md of systemd: (first, last, whose).
TAKEN = (
    (60001, 60513, "systemd-homed"),
    (61184, 65519, "systemd's DynamicUser"),
    (65534, 65535, "nobody"),
    (524288, 1879048191, "systemd-nspawn and rootless containers"),
)
_NEVER = frozenset({65534, 65535})


def name_fault(name: str) -> str:
    """Why no user or group may be called so; "" if it may."""
    if not _NAME.fullmatch(name):
        return f"{name[:40]!r} is no name of at most 32 of a-z 0-9 _ -, a letter or _ first"
    if name in RESERVED | ROOT_LIKE | {MANAGED, FORMER} or name.startswith("systemd-"):
        return f"{name} is a name of the system"
    return ""


def number_fault(number: int) -> str:
    """Why nobody may have this UID or GID; "" if one may."""
    if not LOWEST <= number <= HIGHEST:
        return f"{number} is not between {LOWEST} and {HIGHEST}"
    if number in _NEVER:
        return f"{number} is nobody's"
    return ""


def range_of(number: int) -> str:
    """Who else may come to use this number: a warning, because the range alone says nothing of this host."""
    return next((whose for first, last, whose in TAKEN if first <= number <= last), "")


def comment(text: str) -> str:
    """What may stand in the comment field: no colon, no newline, no comma, ASCII."""
    return re.sub(r"[^A-Za-z0-9_ .@'-]", " ", text)[:LONGEST_COMMENT].strip()


def is_shell(path: str) -> bool:
    return bool(_SHELL.fullmatch(path)) and ".." not in path.split("/")


def is_name(text: str) -> bool:
    """Of the right form, whoever has it: root and daemon too."""
    return bool(_NAME.fullmatch(text))


def shown(text: str, most: int = 300) -> str:
    """For one line of a report or a log, whatever somebody chose to be called."""
    return re.sub(r"[^ -~]", "?", text)[:most]
