"""Who may do what on which server: rules, and the one decision over them. Pure.

Rules only add: what no rule gives is refused. Sudo rules are a model, never text for sudoers; the agent renders them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

LOGIN = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
# A path and fixed arguments. Sudoers gives a meaning to * ? [ ] , : = \ ! " and to a trailing slash (a whole folder).
_COMMAND = re.compile(r"(/[A-Za-z0-9._+-]+)+( [A-Za-z0-9._+@%/-]+)*")
_SFTP = "internal-sftp"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_TARGET = re.compile(r"([A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9a-fA-F:]+\]):([0-9]{1,5})")
RESERVED = frozenset(
    {"root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy"}
    | {
        "backup",
        "list",
        "irc",
        "nobody",
        "sshd",
        "messagebus",
        "adm",
        "operator",
        "halt",
        "shutdown",
    }
    | {"postgres", "mysql", "redis", "nginx", "apache", "www-data", "git", "jenkins", "ostiary"}
    | {"all", "admin", "wheel", "sudo", "docker", "lxd", "disk", "shadow", "ubuntu", "ec2-user"}
)


@dataclass(frozen=True, slots=True)
class SudoRule:
    """``commands`` as a host may run them for this person; ``ALL`` alone gives every command."""

    name: str
    commands: tuple[str, ...]
    run_as: str = "root"
    nopasswd: bool = True
    noexec: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One entitlement of a project.

    ``subject`` is ``group:NAME`` or ``user:LOGIN`` as in Okta, or ``machine:NAME``; ``servers`` are labels that a server
    must all bear (none: every server of the project); ``forward`` targets ``HOST:PORT`` that a connection may be
    forwarded to; ``until`` in seconds since the epoch, None for no end; ``max_session`` in seconds, 0 for no bound;
    ``source_address`` networks that its certificates are good from, ``force_command`` the one command that they run.
    """

    subject: str
    login: bool = False
    admin: bool = False
    sudo: tuple[SudoRule, ...] = ()
    forward: tuple[str, ...] = ()
    sftp_only: bool = False
    agent_forwarding: bool = False
    x11: bool = False
    max_session: int = 0
    servers: tuple[tuple[str, str], ...] = ()
    until: float | None = None
    source_address: tuple[str, ...] = ()
    force_command: str = ""


@dataclass(frozen=True, slots=True)
class ServerAccess:
    """What a person may do on one server. ``because`` are the subjects of the rules that gave it."""

    login: bool = False
    admin: bool = False
    sudo: tuple[SudoRule, ...] = ()
    forward: tuple[str, ...] = ()
    sftp_only: bool = False
    agent_forwarding: bool = False
    x11: bool = False
    max_session: int = 0
    source_address: tuple[str, ...] = ()
    force_command: str = ""
    because: tuple[str, ...] = ()


def decide(
    rules: Iterable[Rule],
    person: str,
    groups: Collection[str],
    labels: Mapping[str, str],
    now: float,
) -> ServerAccess:
    """The union of the rules that hold for ``person`` on a server with ``labels``.

    Rights add up; a bound holds only where every rule that lets the person in has one (the largest of them). Of rules
    that let in to one command each (``sftp_only`` is one), and none to a shell, the first command holds; where one does,
    networks and times are those of the shell, so that two bounds of two rules do not cancel each other.
    """
    held = [rule for rule in rules if _holds(rule, person, groups, labels, now)]
    entering = [rule for rule in held if rule.login or rule.admin]
    if not entering:
        return ServerAccess()
    admin = any(rule.admin for rule in entering)
    command = min(map(_only, entering))
    entering = [rule for rule in entering if _only(rule) == command]
    sudo = {rule.name: rule for one in held for rule in one.sudo}
    bounds = [rule.max_session for rule in entering]
    networks = [rule.source_address for rule in entering]
    return ServerAccess(
        login=True,
        admin=admin,
        sudo=tuple(sudo[name] for name in sorted(sudo)),
        forward=tuple(sorted({target for rule in held for target in rule.forward})),
        sftp_only=command == _SFTP,
        agent_forwarding=any(rule.agent_forwarding for rule in held),
        x11=any(rule.x11 for rule in held),
        max_session=0 if 0 in bounds else max(bounds),
        source_address=tuple(sorted({one for some in networks for one in some}))
        if all(networks)
        else (),
        force_command="" if command == _SFTP else command,
        because=tuple(sorted({rule.subject for rule in held})),
    )


def _only(rule: Rule) -> str:
    """What a rule lets somebody run: "" for a shell, which comes before every command."""
    return _SFTP if rule.sftp_only else rule.force_command


def _holds(
    rule: Rule, person: str, groups: Collection[str], labels: Mapping[str, str], now: float
) -> bool:
    kind, _, name = rule.subject.partition(":")
    if kind == "group":
        meant = name in groups
    else:
        meant = person == (name if kind == "user" else rule.subject)
    in_time = rule.until is None or now < rule.until
    return meant and in_time and all(labels.get(key) == value for key, value in rule.servers)


def faults(rule: Rule) -> list[str]:
    """What is wrong with a rule; nothing when it may be kept."""
    found = []
    kind, _, name = rule.subject.partition(":")
    if kind not in ("group", "user", "machine") or not name or not name.isprintable():
        found.append(f"subject {rule.subject!r} is none of group:NAME, user:LOGIN, machine:NAME")
    if name.startswith("machine:"):
        found.append(f"subject {rule.subject!r} is a machine's: write machine:NAME")
    if rule.max_session < 0:
        found.append(f"max_session {rule.max_session} s is before the session begins")
    if rule.force_command.strip() != rule.force_command:
        found.append(f"force_command {rule.force_command[:60]!r} begins or ends with a space")
    if not rule.force_command.isprintable():
        found.append(f"force_command {rule.force_command[:60]!r} is not printable")
    found += [
        f"source_address {network[:60]!r} is no network such as 192.0.2.0/24"
        for network in rule.source_address
        if not _is_network(network)
    ]
    for target in rule.forward:
        match = _TARGET.fullmatch(target)
        if not match or not 1 <= int(match[2]) <= 65535:  # noqa: PLR2004 - TCP's ports
            found.append(f"forward {target!r} is not HOST:PORT")
    for sudo in rule.sudo:
        found += _sudo_faults(sudo)
    return found


def _is_network(text: str) -> bool:
    try:
        return str(ipaddress.ip_network(text)) == text
    except ValueError:
        return False


def _sudo_faults(rule: SudoRule) -> list[str]:
    found = []
    if not _NAME.fullmatch(rule.name):
        found.append(f"sudo rule {rule.name!r}: a name is of a-z 0-9 . _ -")
    if not LOGIN.fullmatch(rule.run_as):
        found.append(f"sudo rule {rule.name}: run_as {rule.run_as!r} is no user name")
    if rule.commands == ("ALL",):
        return found
    for command in rule.commands or ("",):
        plain = _COMMAND.fullmatch(command) and ".." not in command.split(" ")[0].split("/")
        if not plain or command.endswith("/") or command.split(" ")[0].endswith("/sudoedit"):
            found.append(
                f"sudo rule {rule.name}: {command!r} is not an absolute path with plain arguments"
            )
    return found


def slug(text: str) -> str:
    """What of a text fits a name on hosts: lower case, other characters replaced by ``-``, at most 32."""
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-")[:32]


def login_for(okta_login: str) -> str:
    """The LocalUser name of an Okta login: its first part in lower case, what does not fit replaced by ``-``.

    "" when nothing usable is left, or the name is one of the system's.
    """
    name = slug(okta_login.partition("@")[0])
    if not LOGIN.fullmatch(name) or name in RESERVED:
        return ""
    return name
