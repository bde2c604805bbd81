"""A project of the control plane as the engine sees it: attributes, owner, what is held by it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ostiary.doors.servers.desired import KIND, attributes
from ostiary.doors.servers.wire.admin import Project, ProjectWanted, Rule
from ostiary.doors.servers.wire.message import VERSION, decode
from ostiary.doors.servers.words import of_people, rights
from ostiary.model.preauthorization import NONE, REQUIRED
from ostiary.plan.resource import Found, Json, Key, Owner

GIVEN_ONCE = ("uid_start", "gid_start", "kms")


def found_of(scope: str, project: Project, estate: str) -> Found:
    """``estate`` is ours; the generation is none of the attributes, since much else makes it grow."""
    signing = (one for one in project.authorities if (one.use, one.state) == ("user", "signing"))
    shown = attributes(
        {
            "uid_start": project.uid_start,
            "gid_start": project.gid_start,
            "kms": next((one.kms_key for one in signing), ""),
        },
        project.settings,
        project.rules,
        project.machines,
    )
    owner = Owner.OTHER_ESTATE
    if project.estate in ("", estate):
        owner = Owner.OURS if project.estate else Owner.FOREIGN
    return Found(
        Key(KIND, scope, project.name),
        shown,
        owner,
        ids={"id": project.id},
        owned_by=f"estate {project.estate}" if owner is Owner.OTHER_ESTATE else "",
        raw={"estate": project.estate, **shown},
    )


def differences(found: Mapping[str, Json], wanted: Mapping[str, Json]) -> tuple[str, ...]:
    """Rules differ as ``access`` does: its sentences say all of them."""
    return tuple(
        name
        for name, value in wanted.items()
        if name != "rules" and not _same(name, found.get(name), value)
    )


def _same(name: str, found: Json, wanted: Json) -> bool:
    """An alias may stand for any key: only that there is one can be compared."""
    if name == "kms" and found and "alias/" in str(wanted):
        return found == wanted or "alias/" not in str(found)
    return found == wanted


def rules_of(attributes_: Mapping[str, Any]) -> tuple[Rule, ...]:
    wanted = {"v": VERSION, "generation": 0, "settings": {}, "rules": attributes_["rules"]}
    return decode(ProjectWanted, json.dumps(wanted).encode()).rules


def lost(before: Mapping[str, Any], after: Mapping[str, Any]) -> frozenset[str]:
    """What somebody would miss of ``before``. Where a preauthorization is required from now on: every right of people."""
    gone = held_in(before) - held_in(after)
    if not shuts(before, after):
        return gone
    people = (rule for rule in rules_of(before) if of_people(rule))
    return gone | {line for rule in people for line in rights(rule)}


def shuts(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a preauthorization is required from now on, and was not before."""
    return not _requires(before) and _requires(after)


def opens(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a preauthorization was required, and is no longer: what rules give people is theirs at all times."""
    return _requires(before) and not _requires(after)


def _requires(attributes_: Mapping[str, Any]) -> bool:
    return bool(attributes_["settings"].get("preauthorization", NONE) == REQUIRED)


def held_in(attributes_: Mapping[str, Any]) -> frozenset[str]:
    """What somebody would miss: every right without its bounds, every machine, every owner, other ways into the hosts."""
    held = {line for rule in rules_of(attributes_) for line in rights(rule)}
    settings = attributes_["settings"]
    held |= {f"machine {name}" for name in attributes_["machines"]}
    held |= {f"owner {name}" for name in settings["owners"]}
    return frozenset(held | ({"other ways"} if settings["other_ways"] == "report" else set()))
