"""A control plane in memory, at the seam of ``client.control_api``: messages go through their JSON both ways."""

import json
from dataclasses import dataclass, field, replace

from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.wire.message import decode, encode
from ostiary.errors import Conflict, NotFound, StalePlan, Unreachable


@dataclass
class ControlPeer:
    """``moves``: how often the generation grows between a GET and the PUT after it; ``lost``: calls whose answer is lost."""

    projects: dict = field(default_factory=dict)
    servers: dict = field(default_factory=dict)
    down: bool = False
    moves: int = 0
    lost: list = field(default_factory=list)
    calls: list = field(default_factory=list)

    def call(self, method, path, message=None, kind=None):
        self.calls.append(f"{method} {path}")
        if self.down:
            raise Unreachable("cannot reach the control plane", why="connection refused")
        if message is not None:
            message = decode(type(message), encode(message))
        answer = getattr(self, f"_{method.lower()}")(path.split("/")[2:], message)
        if f"{method} {path}" in self.lost:
            self.lost.remove(f"{method} {path}")
            raise Unreachable("cannot reach the control plane", maybe_done=True)
        return None if answer is None else decode(kind, encode(answer))

    def dump(self):
        return {
            name: json.loads(encode(replace(one, generation=0, id="", authorities=())))
            for name, one in sorted(self.projects.items())
        }

    def make(self, name, estate="", **more):
        asked = admin.NewProject(name, 60001, 63001, estate=estate, **more)
        return self._post(["projects"], asked)

    def change(self, name, **more):
        one = self.projects[name]
        self.projects[name] = replace(one, generation=one.generation + 1, **more)

    def _get(self, path, _message):
        if len(path) == 1:
            return admin.Projects(tuple(self.projects.values()))
        if path[1] not in self.projects:
            raise NotFound(f"no project is named {path[1]}", code="no-project")
        if path[2:] == ["servers"]:
            return admin.ServersHeld(tuple(self.servers.get(path[1], ())))
        return self.projects[path[1]]

    def _post(self, path, asked):
        assert path == ["projects"]
        if asked.name in self.projects:
            raise Conflict(f"cannot make project {asked.name}", why="it exists", code="exists")
        key = admin.Authority("ca_1", "user", "signing", "ssh-ed25519 AAAA", asked.kms_key, 1.0)
        self.projects[asked.name] = admin.Project(
            f"prj_{len(self.calls)}", asked.name, asked.uid_start, asked.gid_start, asked.uid_start,
            asked.gid_start, 1, asked.estate, admin.Settings(), (), (), (key,),
        )  # fmt: skip
        return self.projects[asked.name]

    def _put(self, path, asked):
        if self.moves:
            self.moves -= 1
            self.change(path[1])
        if asked.generation != self.projects[path[1]].generation:
            raise StalePlan(f"cannot set project {path[1]}", why="it changed", code="stale")
        more = {"estate": asked.estate, "settings": asked.settings, "machines": asked.machines}
        self.change(path[1], rules=asked.rules, **more)
        return self.projects[path[1]]

    def _delete(self, path, _message):
        if self.servers.get(path[1]):
            raise Conflict(f"cannot delete project {path[1]}", why="servers are enrolled")
        if self.projects.pop(path[1], None) is None:
            raise NotFound(f"no project is named {path[1]}", code="no-project")
