"""A world in memory and kinds over it: what the engine's own tests run on, and a model of a well-behaved kind.

Objects are rows ``{"mark", "data", "extra", "id"}``. ``before`` is called ahead of every remote call with
(verb, key) and may raise or wait; ``after`` likewise when a mutation has taken effect: a raise there is a lost answer.
"""

import copy
import itertools
import threading
from contextlib import contextmanager

from ostiary.errors import Conflict, StalePlan, Unreachable
from ostiary.plan.plan import fingerprint
from ostiary.plan.resource import Found, Key, Owner, Reading, Risk

MUTATIONS = ("create", "update", "delete", "restore", "release")


class MemoryWorld:
    def __init__(self, estate="acme"):
        self.estate = estate
        self.rows = {}
        self.calls = []
        self.lock = threading.RLock()
        self.numbers = itertools.count(1)
        self.before = lambda verb, key: None
        self.after = lambda verb, key: None
        self.unreadable = set()
        self.creations = []

    def put(self, key, data, mark=None, **extra):
        with self.lock:
            self.creations.append(key)
            self.rows[key] = {
                "mark": mark,
                "data": copy.deepcopy(dict(data)),
                "extra": extra,
                "id": f"id-{next(self.numbers)}",
            }

    def dump(self):
        with self.lock:
            return copy.deepcopy(self.rows)

    def foreign(self):
        return {key: row for key, row in self.dump().items() if row["mark"] != self.estate}

    def mutations(self):
        return [(verb, key) for verb, key in self.calls if verb in MUTATIONS]

    @contextmanager
    def call(self, verb, key):
        self.before(verb, key)
        with self.lock:
            self.calls.append((verb, key))
            yield self.rows
        if verb in MUTATIONS:
            self.after(verb, key)


class MemoryKind:
    def __init__(self, world, name="thing", immutable=()):
        self.world = world
        self.name = name
        self.immutable = frozenset(immutable)

    def read(self, scope, wanted):
        with self.world.call("read", Key(self.name, scope, "*")) as rows:
            found = [
                self._found(key, row)
                for key, row in rows.items()
                if (key.kind, key.scope) == (self.name, scope)
                and (row["mark"] == self.world.estate or key.name in wanted)
            ]
        if scope in self.world.unreadable:
            return Reading(
                self.name, scope, tuple(found[:1]), complete=False, why=Unreachable("page 2 lost")
            )
        return Reading(self.name, scope, tuple(found))

    def look(self, key):
        with self.world.call("look", key) as rows:
            return self._found(key, rows[key]) if key in rows else None

    def differences(self, found, wanted):
        return tuple(
            name
            for name, value in wanted.items()
            if name not in found.attributes or found.attributes[name] != value
        )

    def risk(self, action, found, wanted):
        if action in ("delete", "replace"):
            return Risk.DETACH
        return Risk.TRUST if wanted and "trust" in wanted and action == "update" else Risk.NONE

    def detaches(self, action, found, wanted):
        if action == "delete":
            return max(1, len(found.attributes.get("members", ())))
        if action in ("update", "replace") and wanted:
            gone = set(found.attributes.get("members", ())) - set(wanted.get("members", ()))
            return len(gone)
        return 0

    def create(self, key, wanted):
        with self.world.call("create", key) as rows:
            row = rows.get(key)
            if row is None:
                self.world.put(key, wanted, self.world.estate)
            elif row["mark"] != self.world.estate:
                raise Conflict(f"cannot create {key}", why="it exists without our mark")
            elif row["data"] != wanted:
                row["data"] = copy.deepcopy(dict(wanted))
            return self._found(key, rows[key])

    def update(self, found, wanted):
        with self.world.call("update", found.key) as rows:
            row = self._unchanged(rows, found)
            row["data"] = copy.deepcopy({**row["data"], **wanted})
            row["mark"] = self.world.estate
            return self._found(found.key, row)

    def delete(self, found):
        with self.world.call("delete", found.key) as rows:
            if found.key in rows:
                self._unchanged(rows, found)
                del rows[found.key]

    def release(self, found):
        with self.world.call("release", found.key) as rows:
            self._unchanged(rows, found)["mark"] = None

    def restore(self, key, before):
        with self.world.call("restore", key) as rows:
            if before is None:
                rows.pop(key, None)
            elif key in rows:
                rows[key].update(mark=before["mark"], data=copy.deepcopy(before["data"]))
            else:
                self.world.put(key, before["data"], before["mark"])

    def _unchanged(self, rows, found):
        row = rows.get(found.key)
        if row is None or fingerprint(self._found(found.key, row)) != fingerprint(found):
            raise StalePlan(f"cannot change {found.key}", why="it changed since it was read")
        return row

    def _found(self, key, row):
        mark, extra = row["mark"], row["extra"]
        owner = {self.world.estate: Owner.OURS, None: Owner.FOREIGN}.get(mark, Owner.OTHER_ESTATE)
        if extra.get("stack"):
            owner = Owner.ELSEWHERE
        return Found(
            key,
            copy.deepcopy(row["data"]),
            owner,
            ids={"id": row["id"]},
            owned_by=extra.get("stack") or (mark if owner is Owner.OTHER_ESTATE else ""),
            protected=extra.get("protected", False),
            raw={"mark": mark, "data": copy.deepcopy(row["data"])},
        )
