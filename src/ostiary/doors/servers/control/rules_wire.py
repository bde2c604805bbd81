"""Rules as they travel and as they are judged: one meaning, two shapes."""

from __future__ import annotations

from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.wire.host import SudoRule as WireSudo
from ostiary.model.server_access import Rule, SudoRule


def to_wire(rule: Rule) -> admin.Rule:
    return admin.Rule(
        subject=rule.subject,
        login=rule.login,
        admin=rule.admin,
        sudo=tuple(sudo_to_wire(one) for one in rule.sudo),
        forward=rule.forward,
        sftp_only=rule.sftp_only,
        agent_forwarding=rule.agent_forwarding,
        x11=rule.x11,
        max_session=rule.max_session,
        servers=tuple(admin.Label(key, value) for key, value in rule.servers),
        until=rule.until or 0.0,
        source_address=rule.source_address,
        force_command=rule.force_command,
    )


def from_wire(rule: admin.Rule) -> Rule:
    return Rule(
        subject=rule.subject,
        login=rule.login,
        admin=rule.admin,
        sudo=tuple(
            SudoRule(one.name, one.commands, one.run_as, one.nopasswd, one.noexec)
            for one in rule.sudo
        ),
        forward=rule.forward,
        sftp_only=rule.sftp_only,
        agent_forwarding=rule.agent_forwarding,
        x11=rule.x11,
        max_session=rule.max_session,
        servers=tuple((one.key, one.value) for one in rule.servers),
        until=rule.until or None,
        source_address=rule.source_address,
        force_command=rule.force_command,
    )


def sudo_to_wire(rule: SudoRule) -> WireSudo:
    return WireSudo(rule.name, rule.commands, rule.run_as, rule.nopasswd, rule.noexec)
