"""The rules of projects as they are kept."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from ostiary.doors.servers.control.ledger import Ledger
from ostiary.doors.servers.control.projects import Project, changed
from ostiary.doors.servers.control.secret import new_id
from ostiary.doors.servers.control.tables import entitlements
from ostiary.errors import UsageError
from ostiary.model.server_access import Rule, SudoRule, faults


def of_project(connection: Connection, project_id: str) -> tuple[Rule, ...]:
    rows = connection.execute(
        select(entitlements)
        .where(entitlements.c.project_id == project_id)
        .order_by(entitlements.c.id)
    )
    return tuple(replace(_rule(json.loads(row.rule)), subject=row.subject) for row in rows)


def put(connection: Connection, ledger: Ledger, project: Project, wanted: Sequence[Rule]) -> None:
    """Make the rules of a project exactly ``wanted``. UsageError with everything that is wrong with them."""
    problems = [fault for rule in wanted for fault in faults(rule)]
    problems += [
        f"until of {rule.subject!r} is no time"
        for rule in wanted
        if rule.until is not None and not math.isfinite(rule.until)
    ]
    if problems:
        raise UsageError(
            f"cannot set the rules of project {project.name}",
            why="\n".join(problems),
            code="bad-request",
        )
    before = {_text(rule) for rule in of_project(connection, project.id)}
    after = {_text(rule) for rule in wanted}
    if before == after:
        return
    connection.execute(delete(entitlements).where(entitlements.c.project_id == project.id))
    for rule in wanted:
        connection.execute(
            insert(entitlements).values(
                id=new_id("ent"),
                project_id=project.id,
                subject=rule.subject,
                rule=_text(rule),
                until=rule.until,
                ended=rule.until is not None and rule.until <= ledger.now,
                created=ledger.now,
            )
        )
    changed(connection, project.id)
    body = {"added": sorted(after - before), "removed": sorted(before - after)}
    ledger.append(project.id, "rules.changed", body)


def _text(rule: Rule) -> str:
    return json.dumps(asdict(rule), sort_keys=True)


def _rule(value: Mapping[str, Any]) -> Rule:
    sudo = tuple(SudoRule(**{**one, "commands": tuple(one["commands"])}) for one in value["sudo"])
    servers = tuple((key, label) for key, label in value["servers"])
    texts = {name: tuple(value[name]) for name in ("forward", "source_address")}
    return Rule(**{**value, **texts, "sudo": sudo, "servers": servers})
