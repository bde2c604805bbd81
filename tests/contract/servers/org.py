"""An embedded Okta org, a database and the poller between them; and what an administrator does at the org."""

from __future__ import annotations

from dataclasses import dataclass

from okta_world import make_client, make_world, user_id

from ostiary.doors.servers.control import people
from ostiary.doors.servers.control.database import Database
from ostiary.doors.servers.control.lease import Lease
from ostiary.doors.servers.control.okta_log import DUTY, OrgLog
from ostiary.doors.servers.control.people import Person
from ostiary.doors.servers.control.writer import Writer
from ostiary.sandbox.world import World


@dataclass
class Org:
    """``ann`` and ``ben`` in platform, ``cara`` in sre; ``known`` puts people into the database as a sign-in would."""

    world: World
    database: Database
    writer: Writer
    log: OrgLog
    lease: Lease

    def round(self) -> float:
        assert self.lease.hold()
        return self.log(self.lease)

    def admin(self, method, path, body=None):
        make_client(self.world)._json(method, path, body=body)

    def lifecycle(self, name, verb):
        self.admin("POST", f"/users/{user_id(self.world, name)}/lifecycle/{verb}")

    def member(self, name, group, *, inside):
        method = "PUT" if inside else "DELETE"
        group_id = self.world.okta.group(group).id
        self.admin(method, f"/groups/{group_id}/users/{user_id(self.world, name)}")

    def known(self, *names, groups=("Everyone", "platform")):
        for name in names:
            now = self.world.clock.now()
            person = Person(
                user_id(self.world, name), f"{name}@acme.example", tuple(groups), True, now
            )
            self.writer.write([], lambda c, ledger, one=person: people.keep(c, ledger, one))

    def person(self, name) -> Person | None:
        with self.database.reading() as connection:
            return people.get(connection, user_id(self.world, name))


def make_org(database: Database, writer: Writer, **settings) -> Org:
    world = make_world()
    log = OrgLog(database, writer, make_client(world), clock=world.clock.now, **settings)
    return Org(world, database, writer, log, Lease(database, DUTY))
