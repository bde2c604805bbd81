"""The kind ``server-project``: a project of the control plane, with its rules, machines and settings.

Ours by the project's member ``estate``. Numbers and the KMS key are given once, when a project is made. Written whole, with
the generation that was read, so that nothing is overwritten unseen (HTTP 412 otherwise).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol, cast

from ostiary.doors.servers.desired import KIND
from ostiary.doors.servers.project_found import (
    GIVEN_ONCE,
    differences,
    found_of,
    held_in,
    lost,
    rules_of,
    shuts,
)
from ostiary.doors.servers.wire.admin import (
    NewProject,
    Project,
    Projects,
    ProjectWanted,
    ServersHeld,
)
from ostiary.doors.servers.wire.message import VERSION, decode
from ostiary.doors.servers.wire.paths import project_path
from ostiary.doors.servers.words import of_people
from ostiary.errors import Conflict, NotFound, OstiaryError, StalePlan
from ostiary.plan.change import fingerprint
from ostiary.plan.resource import Found, Json, Key, Owner, Reading, Resource, Risk, Value

ATTEMPTS = 5  # of a PUT: the generation also grows when somebody signs in for the first time
SHOWN = 3  # servers named where a deletion is refused


class Calls(Protocol):
    """The control plane, as ``client.control_api.Control``."""

    def call(self, method: str, path: str, message: Any = None, kind: Any = None) -> Any: ...


class ProjectKind:
    name = KIND

    def __init__(self, estate: str, control: Calls) -> None:
        self._estate = estate
        self._control = control

    def read(self, scope: str, wanted: Mapping[str, Resource]) -> Reading:
        try:
            listed: Projects = self._control.call("GET", "/v1/projects", kind=Projects)
        except OstiaryError as error:
            return Reading(self.name, scope, complete=False, why=error)
        found = (found_of(scope, one, self._estate) for one in listed.projects)
        kept = (one for one in found if one.owner is Owner.OURS or one.key.name in wanted)
        return Reading(self.name, scope, tuple(kept))

    def look(self, key: Key) -> Found | None:
        project = self._project(key.name)
        return found_of(key.scope, project, self._estate) if project else None

    def differences(self, found: Found, wanted: Mapping[str, Json]) -> tuple[str, ...]:
        """Rules differ as ``access`` does: sentences say all of them."""
        return differences(found.attributes, wanted)

    def risk(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> Risk:
        """Who loses something is counted; that nobody would be administrator any more is a cut-over.

        So it is that all of them are out until somebody preauthorizes them.
        """
        if action == "delete":
            return Risk.DETACH
        if found is None or wanted is None:
            return Risk.NONE
        before, after = rules_of(found.attributes), rules_of(wanted)
        if any(rule.admin for rule in before) and not any(rule.admin for rule in after):
            return Risk.CUTOVER
        if shuts(found.attributes, wanted) and any(r.admin and of_people(r) for r in before):
            return Risk.CUTOVER
        return Risk.DETACH if self.detaches(action, found, wanted) else Risk.NONE

    def detaches(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> int:
        """Rights and machines that would be gone; of a deletion all of them, and at least one."""
        if found is None or action == "create":
            return 0
        if action == "delete":
            return max(1, len(held_in(found.attributes)))
        return len(lost(found.attributes, wanted or {}))

    def grade_image(self, found: Found, image: Mapping[str, Json]) -> tuple[Risk, int]:
        """A before-image is the attributes that were: going back to them is a change like any other."""
        wanted = cast("Mapping[str, Value]", image)
        return self.risk("update", found, wanted), self.detaches("update", found, wanted)

    def needed_by(self, found: Found) -> str:
        """Which servers are enrolled in a project that is no longer wanted."""
        path = f"{project_path(found.key.name)}/servers"
        try:
            held: ServersHeld = self._control.call("GET", path, kind=ServersHeld)
        except OstiaryError as error:
            return f"which servers are enrolled is not known ({error})"
        names = [one.name for one in held.servers if one.state != "retired"]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        return f"servers are enrolled: {', '.join(names[:SHOWN])}{more}" if names else ""

    def create(self, key: Key, wanted: Mapping[str, Json]) -> Found:
        asked = NewProject(
            name=key.name,
            uid_start=_number(wanted, "uid_start"),
            gid_start=_number(wanted, "gid_start"),
            kms_key=str(wanted["kms"]),
            estate=self._estate,
        )
        try:
            made: Project = self._control.call("POST", "/v1/projects", asked, kind=Project)
        except Conflict as exists:
            now = self.look(key)
            if now is None or now.owner is not Owner.OURS:
                raise Conflict(
                    f"cannot create {key}",
                    why=exists.why,
                    fix=f"run: ostiary adopt {key}, or choose another name",
                    code=exists.code,
                ) from exists
            return self.update(now, wanted)
        return self._put(key, found_of(key.scope, made, self._estate), wanted, self._estate)

    def update(self, found: Found, wanted: Mapping[str, Json]) -> Found:
        return self._put(found.key, found, wanted, self._estate)

    def delete(self, found: Found) -> None:
        now = self.look(found.key)
        if now is None:
            return
        if fingerprint(now) != fingerprint(found):
            raise _stale(found.key)
        if now.owner is not Owner.OURS:
            raise Conflict(f"cannot delete {found.key}", why=f"its owner: {now.owner.value}")
        self._remove(found.key)

    def release(self, found: Found) -> None:
        now = self.look(found.key)
        if now is not None:
            self._put(found.key, now, now.attributes, "")

    def restore(self, key: Key, before: Mapping[str, Json] | None) -> None:
        """Numbers that people were given meanwhile stay given: they are never counted back."""
        now = self.look(key)
        if before is None:
            if now is not None and now.owner is Owner.OURS:
                self._remove(key)
            return
        if now is None:
            self.create(key, before)
            now = self.look(key)
        if now is not None:
            self._put(key, now, before, str(before["estate"]))

    def _put(self, key: Key, found: Found, wanted: Mapping[str, Json], estate: str) -> Found:
        """Write all of a project, if it is still as ``found``."""
        if given := [name for name in GIVEN_ONCE if name in self.differences(found, wanted)]:
            raise Conflict(
                f"cannot change {', '.join(given)} of {key}",
                why="it is given once, when a project is made",
                fix=f"run: {rotation(key.name, wanted['kms'])}"
                if given == ["kms"]
                else "take the line back, or make another project",
            )
        for last in range(ATTEMPTS):
            project = self._project(key.name)
            if project is None or fingerprint(
                found_of(key.scope, project, self._estate)
            ) != fingerprint(found):
                raise _stale(key)
            asked = {
                "v": VERSION,
                "generation": project.generation,
                "settings": wanted["settings"],
                "rules": wanted["rules"],
                "machines": list(cast("dict[str, Json]", wanted["machines"]).values()),
                "estate": estate,
            }
            message = decode(ProjectWanted, json.dumps(asked).encode())
            try:
                written: Project = self._control.call(
                    "PUT", project_path(key.name), message, kind=Project
                )
            except StalePlan:
                if last == ATTEMPTS - 1:
                    raise
                continue
            return found_of(key.scope, written, self._estate)
        raise _stale(key)

    def _remove(self, key: Key) -> None:
        try:
            self._control.call("DELETE", project_path(key.name))
        except NotFound as gone:
            if gone.code == "no-refusal":
                raise
            return  # a repeated deletion whose first answer was lost

    def _project(self, name: str) -> Project | None:
        try:
            project: Project = self._control.call("GET", project_path(name), kind=Project)
        except NotFound as absent:
            if (
                absent.code == "no-refusal"
            ):  # not the words of a control plane: who knows what is there
                raise
            return None
        return project


def rotation(project: str, kms: Json) -> str:
    """The command that begins to go over to a KMS key, or to a key of the control plane's own for ""."""
    key = f" --kms {kms}" if kms else ""
    return f"ostiary servers project rotate {project} --step begin{key}"


def _stale(key: Key) -> StalePlan:
    return StalePlan(
        f"cannot write {key}", why="changed since it was read", fix="run: ostiary plan"
    )


def _number(wanted: Mapping[str, Json], name: str) -> int:
    return int(str(wanted[name]))
