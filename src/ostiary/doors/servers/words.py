"""A rule of a project in words: one sentence for each right, as plans show who gains and who loses what."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from ostiary.doors.servers.wire.admin import Rule
from ostiary.doors.servers.wire.host import SudoRule
from ostiary.model.preauthorization import NONE, REQUIRED, needs_one

HOUR = 3600


def sentences(rule: Rule, preauthorization: str = NONE) -> tuple[str, ...]:
    """Every right that a rule gives, with its bounds: no two different rules have the same sentences.

    ``preauthorization`` is what the project says of it: where one is required, people have their rights only with it.
    """
    bounds = "".join(f", {bound}" for bound in _bounds(rule))
    only = ", when preauthorized" if preauthorization == REQUIRED and of_people(rule) else ""
    return tuple(f"{right}{bounds}{only}" for right in rights(rule))


def of_people(rule: Rule) -> bool:
    """Whether a rule is of people, not of a machine."""
    return needs_one(rule.subject)


def rights(rule: Rule) -> tuple[str, ...]:
    """The same without bounds: what somebody would miss if the rule were gone."""
    who = rule.subject.replace(":", " ", 1)
    labels = ", ".join(f"{label.key}={label.value}" for label in rule.servers)
    where = f"on {labels}" if labels else "on every server"
    return tuple(f"{who}: {right} {where}" for right in _rights(rule))


def _rights(rule: Rule) -> Iterator[str]:
    if rule.login:
        yield "sftp only" if rule.sftp_only else "login"
    if rule.admin:
        yield "admin"
    for one in rule.sudo:
        for command in one.commands:
            yield f"sudo {one.name}: {command}{_how(one)}"
    for target in rule.forward:
        yield f"forwarding to {target}"
    if rule.agent_forwarding:
        yield "agent forwarding"
    if rule.x11:
        yield "X11 forwarding"


def _how(rule: SudoRule) -> str:
    parts = [
        "" if rule.run_as == "root" else f"as {rule.run_as}",
        "without a password" if rule.nopasswd else "with a password",
        "noexec" if rule.noexec else "",
    ]
    said = ", ".join(filter(None, parts))
    return f" ({said})" if said else ""


def _bounds(rule: Rule) -> Iterator[str]:
    if rule.max_session:
        yield f"{duration(rule.max_session)} at most"
    if rule.source_address:
        yield f"from {' '.join(rule.source_address)}"
    if rule.force_command:
        yield f"only {rule.force_command!r}"
    if rule.until:
        yield f"until {day(rule.until)}"


def duration(seconds: int) -> str:
    """``8h``, ``1h30m``, ``90s``."""
    hours, rest = divmod(seconds, HOUR)
    minutes, odd = divmod(rest, 60)
    parts = (
        f"{hours}h" if hours else "",
        f"{minutes}m" if minutes else "",
        f"{odd}s" if odd else "",
    )
    return "".join(parts)


def day(until: float) -> str:
    """The last day of a bound, where it ends with one; else the moment. UTC."""
    end = datetime.fromtimestamp(until, UTC)
    if end.time() == datetime.min.time():
        return (end - timedelta(days=1)).date().isoformat()
    return f"{end:%Y-%m-%d %H:%M:%S}Z"
