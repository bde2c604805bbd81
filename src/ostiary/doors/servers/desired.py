"""From the servers of an estate to the projects that should exist. Pure.

A project's attributes have the shapes of ``wire.admin``, as JSON. ``access`` says ``rules`` once more, in words: plans
show it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from ostiary.doors.servers.control.rules_wire import to_wire
from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.words import sentences
from ostiary.model.estate import Estate
from ostiary.model.estate_servers import SCOPE
from ostiary.model.servers import MachineSettings, ProjectSettings, ServersSettings
from ostiary.plan.resource import Json, Key, Resource

KIND = "server-project"


def projects(estate: Estate, today: date) -> tuple[Resource, ...]:
    """Every project of the estate with what holds on a day: what is overdue gives nothing."""
    servers = estate.servers
    if servers is None:
        return ()
    return tuple(
        Resource(key_of(name), _wanted(estate, servers, settings, today))
        for name, settings in sorted(servers.projects.items())
    )


def key_of(project: str) -> Key:
    return Key(KIND, SCOPE, project)


def overdue(estate: Estate, today: date) -> tuple[str, ...]:
    """Assignments and machines whose last day is past, one line each."""
    lines = [
        f"{one.place}: the assignment of {one.principal} ended on {one.until}: what it gave is removed;"
        " take the lines out"
        for one in estate.server_assignments
        if one.is_overdue(today)
    ]
    machines = estate.servers.machines.values() if estate.servers else ()
    lines += [
        f"{one.place}: machine {one.name} ended on {one.until}: it is removed; take the lines out"
        for one in machines
        if today > one.until
    ]
    return tuple(lines)


def _wanted(
    estate: Estate, servers: ServersSettings, project: ProjectSettings, today: date
) -> dict[str, Any]:
    machines = [
        one
        for one in servers.machines.values()
        if one.project == project.name and today <= one.until
    ]
    gone = {f"machine:{name}" for name in servers.machines} - {
        f"machine:{one.name}" for one in machines
    }
    rules = [
        to_wire(one.rule)
        for one in estate.server_assignments
        if project.name in one.projects
        and not one.is_overdue(today)
        and one.rule.subject not in gone
    ]
    settings = admin.Settings(
        acr_values=project.acr_values,
        max_age=project.max_age,
        other_ways=project.other_ways,
        accounts=project.accounts,
        owners=project.owners,
        preauthorization=project.preauthorization,
    )
    return attributes(
        {"uid_start": project.uid_start, "gid_start": project.gid_start, "kms": project.kms},
        settings,
        rules,
        [_machine(one) for one in machines],
    )


def attributes(
    given: Mapping[str, Json],
    settings: admin.Settings,
    rules: Iterable[admin.Rule],
    machines: Iterable[admin.Machine],
) -> dict[str, Json]:
    """What a project is, in one order whoever says it. ``given`` are uid_start, gid_start and kms."""
    different = {json.dumps(asdict(rule), sort_keys=True): rule for rule in rules}
    kept = [different[text] for text in sorted(different)]
    shown: dict[str, Json] = json.loads(
        json.dumps(
            {
                **given,
                "settings": {
                    **asdict(settings),
                    "accounts": sorted(settings.accounts),
                    "owners": sorted(settings.owners),
                },
                "access": sorted(
                    line for rule in kept for line in sentences(rule, settings.preauthorization)
                ),
                "rules": [asdict(rule) for rule in kept],
                "machines": {
                    one.name: asdict(one) for one in sorted(machines, key=lambda one: one.name)
                },
            }
        )
    )
    return shown


def _labels(texts: Mapping[str, str]) -> tuple[admin.Label, ...]:
    return tuple(admin.Label(key, texts[key]) for key in sorted(texts))


def _machine(one: MachineSettings) -> admin.Machine:
    end = datetime.combine(one.until + timedelta(days=1), time(), UTC)
    return admin.Machine(
        name=one.name,
        kind=one.kind,
        owner=one.owner,
        until=end.timestamp(),
        issuer=one.issuer,
        audience=one.audience,
        claims=_labels(one.claims),
        public_keys=one.public_keys,
        arn=one.arn,
        rate=one.rate,
    )
