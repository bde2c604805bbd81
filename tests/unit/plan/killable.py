"""A process to be killed: applies an estate onto a world in files, with a folder store. See test_kill.py.

    python killable.py FOLDER ACCOUNTS SIZE POINT      POINT: the moment of the run to die at, 0: none

Every object is a file ``world/<kind>-<scope>-<name>``; every mutation leaves a line in ``world.log``. It kills itself with
SIGKILL at the POINT-th of the moments that matter: before and after each durable append, before and after each mutation.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path

from ostiary.errors import StalePlan
from ostiary.plan.apply import apply
from ostiary.plan.guard import Guard, Overrides
from ostiary.plan.plan import fingerprint, make_plan
from ostiary.plan.resource import Found, Key, Owner, Reading, Ref, Resource, Risk
from ostiary.plan.runs import FolderStore
from ostiary.plan.wrap import LocalKeyWrap

APP = Key("app", "main", "AWS")


class Moments:
    """Counts the moments at which a kill hurts, and kills this process at one of them."""

    def __init__(self, point):
        self.point = point
        self.number = 0
        self.lock = threading.Lock()

    def pass_by(self):
        with self.lock:
            self.number += 1
            if self.number == self.point:
                os.kill(os.getpid(), signal.SIGKILL)


class FileKind:
    def __init__(self, name, folder, moments):
        self.name = name
        self.folder = folder
        self.moments = moments

    def read(self, scope, wanted):
        paths = (self.folder / "world").glob(f"{self.name}!{scope}!*")
        keys = [Key(*path.name.split("!")) for path in paths]
        found = [self.look(key) for key in keys]
        ours = tuple(one for one in found if one.owner is Owner.OURS or one.key.name in wanted)
        return Reading(self.name, scope, ours)

    def look(self, key):
        path = self._path(key)
        if not path.exists():
            return None
        row = json.loads(path.read_bytes())
        owner = Owner.OURS if row["mark"] == "acme" else Owner.FOREIGN
        return Found(key, row["data"], owner, ids={"id": row["id"]}, raw=row)

    def differences(self, found, wanted):
        return tuple(name for name, value in wanted.items() if found.attributes.get(name) != value)

    def risk(self, action, found, wanted):
        return Risk.DETACH if action == "delete" else Risk.NONE

    def detaches(self, action, found, wanted):
        return int(action == "delete")

    def create(self, key, wanted):
        found = self.look(key)
        if found is not None:
            return found
        return self._write(
            key, {"mark": "acme", "id": os.urandom(4).hex(), "data": wanted}, "create"
        )

    def update(self, found, wanted):
        if fingerprint(self.look(found.key)) != fingerprint(found):
            raise StalePlan(f"cannot update {found.key}")
        return self._write(found.key, dict(found.raw) | {"data": wanted}, "update")

    def delete(self, found):
        self._log("delete", found.key)
        self._path(found.key).unlink(missing_ok=True)
        self.moments.pass_by()

    def restore(self, key, before):
        raise NotImplementedError

    def release(self, found):
        raise NotImplementedError

    def _path(self, key):
        return self.folder / "world" / f"{key.kind}!{key.scope}!{key.name}"

    def _write(self, key, row, verb):
        self._log(verb, key)
        temporary = self.folder / f"{threading.get_ident()}.new"
        temporary.write_text(json.dumps(row))
        temporary.replace(self._path(key))
        self.moments.pass_by()
        return self.look(key)

    def _log(self, verb, key):
        self.moments.pass_by()
        with (self.folder / "world.log").open("a") as log:
            log.write(f"{verb} {key}\n")


class AnyPath:
    def check(self, account_id, touched):
        return type("Verdict", (), {"ok": True, "path": "BreakGlass", "why": ""})


def estate(accounts, size):
    """Size 1: one role per account; 2: another one instead; each with a trust that points at the app."""
    yield Resource(APP, {"label": "AWS"})
    for account in accounts:
        role = Key("role", account, f"Role{size}")
        yield Resource(role, {"size": size})
        yield Resource(Key("role", account, "Kept"), {"size": size})
        trust = Key("trust", account, f"Role{size}")
        yield Resource(trust, {"app": Ref(APP, "id")}, after=frozenset({role}))


def main(folder, number, size, point):
    accounts = [f"{account:012}" for account in range(111, 111 + number)]
    (folder / "world").mkdir(exist_ok=True)
    moments = Moments(point)
    kinds = [FileKind(name, folder, moments) for name in ("app", "role", "trust")]
    scopes = {"app": ["main"], "role": accounts, "trust": accounts}
    plan = make_plan(list(estate(accounts, size)), kinds, scopes, estate="acme", workers=2)
    real = os.fdatasync

    def fdatasync(file):
        moments.pass_by()
        real(file)
        moments.pass_by()

    os.fdatasync = fdatasync
    taken = {kind.name: 0 for kind in kinds}
    for change in plan.writes:
        taken[change.key.kind] += change.detaches
    store = FolderStore(folder / "runs")
    outcome = apply(
        plan,
        kinds,
        store=store,
        wrap=LocalKeyWrap.beside(store.folder),
        guard=Guard(AnyPath(), overrides=Overrides(taken)),
        workers=4,
    )
    outcome.raise_for_result()
    sys.stdout.write(json.dumps({"writes": len(plan.writes), "moments": moments.number}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
