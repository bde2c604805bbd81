"""Where a request for a certificate leads: which server is meant, who may enter it, and through which bastion."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sqlalchemy import Connection

from ostiary.doors.servers.control import inventory
from ostiary.doors.servers.control.inventory import Server
from ostiary.doors.servers.control.lately import Lately
from ostiary.doors.servers.control.people import Person
from ostiary.doors.servers.control.view import View, Views
from ostiary.doors.servers.wire.person import (
    HOP,
    LOGIN,
    NEEDS,
    X509,
    CertificateRequest,
    ServerEntry,
)
from ostiary.errors import Denied, NotFound, UsageError
from ostiary.model.server_access import ServerAccess

MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Way:
    """What somebody asks for, found and permitted: ``access`` is to ``target``, which for a hop lies behind ``server``.

    ``preauthorization`` is the id of the one by which it is, "" where none was needed.
    """

    view: View
    server: Server
    target: Server
    access: ServerAccess
    preauthorization: str = ""


class Places(Protocol):
    """Servers by name or id, with the view of their project."""

    def named(self, name: str) -> Sequence[tuple[Server, View]]: ...


class PlacesNow:
    """Places as they are now: each looked up once for all who ask together."""

    def __init__(self, connection: Connection, views: Views) -> None:
        self._connection = connection
        self._views = views
        self.found: dict[str, Sequence[tuple[Server, View]]] = {}

    def named(self, name: str) -> Sequence[tuple[Server, View]]:
        if name not in self.found:
            self.found[name] = [
                (server, self._views.at(self._connection, server.project_id, generation))
                for server, generation in inventory.find(self._connection, name)
            ]
        return self.found[name]


class PlacesLately:
    """Places as they were within the last second, none where nobody asked then. Where a way leads by them is judged anew by
    ``StillSo``, for any change of a project; where none does, by ``PlacesNow``.
    """

    def __init__(self) -> None:
        self._lately: Lately[Sequence[tuple[Server, View]]] = Lately()

    def named(self, name: str) -> Sequence[tuple[Server, View]]:
        return self._lately.get(name) or ()

    def keep(self, found: PlacesNow) -> None:
        self._lately.keep({name: those for name, those in found.found.items() if those})

    def forget(self) -> None:
        self._lately.forget()


def find_way(places: Places, person: Person, asked: CertificateRequest, now: float) -> Way:
    """Where the request leads, among the servers that the person may enter. Nobody learns whether others exist."""
    if asked.purpose not in (LOGIN, HOP, X509) or (asked.purpose == HOP) != bool(asked.forward_to):
        raise UsageError(
            "cannot issue such a certificate",
            why="its purpose is login, x509, or hop with the server behind in forward_to",
            code="bad-request",
        )
    name = asked.forward_to or asked.server
    ways = []
    closed = []
    for target, view in places.named(name):
        if asked.project not in ("", view.project.name):
            continue
        access = view.access(person, target, now)
        if access.login:
            by = view.preauthorization(person, target, now)
            ways.append(Way(view, target, target, access, by.id if by else ""))
        elif view.by_rules(person, target, now).login:
            closed.append((target, view))
    if not ways and closed:
        raise _not_preauthorized(person, *closed[0])
    if not ways:
        behind = () if asked.forward_to else _behind(places, person, asked, now)
        raise _may_pass(person, behind) if behind else _not_entitled(person, name)
    if len(ways) > 1:
        names = ", ".join(sorted(one.view.project.name for one in ways))
        raise UsageError(
            f"cannot tell which server {name} is meant",
            why=f"one is in each of {names}",
            fix=f"name the project, or its id: {ways[0].server.id}",
            code="ambiguous",
        )
    return _through(places, ways[0], asked) if asked.purpose == HOP else ways[0]


def _through(places: Places, way: Way, asked: CertificateRequest) -> Way:
    for bastion, _ in places.named(asked.server):
        same = bastion.project_id == way.target.project_id
        if same and bastion.name == way.target.bastion:
            return replace(way, server=bastion)
    raise Denied(
        f"cannot hop through {asked.server[:80]} to {way.target.name}",
        why=f"it is reached through {way.target.bastion}"
        if way.target.bastion
        else "it has no bastion",
        fix=f"run: ostiary ssh {way.target.name}",
        code="not-entitled",
    )


def _behind(
    places: Places, person: Person, asked: CertificateRequest, now: float
) -> Sequence[Server]:
    """The servers that the person may enter through the one that is asked for."""
    return [
        behind
        for bastion, view in places.named(asked.server)
        if asked.project in ("", view.project.name)
        for behind in view.behind.get(bastion.name, ())
        if view.access(person, behind, now).login
    ]


def _may_pass(person: Person, behind: Sequence[Server]) -> Denied:
    bastion, names = behind[0].bastion, sorted(one.name for one in behind)
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return Denied(
        f"{person.login} may pass through {bastion}, not enter it",
        why=f"no rule lets you in there; behind it you may enter {', '.join(names[:MOST_NAMED])}{more}",
        fix=f"run: ostiary ssh {names[0]}",
        code="hop-only",
    )


def _not_preauthorized(person: Person, server: Server, view: View) -> Denied:
    name, login = view.project.name, shlex.quote(person.login)
    return Denied(
        f"cannot enter {server.name}",
        why=f"project {name} requires a preauthorization, and {person.login} has none that is good now",
        fix=f"ask an owner of project {name} to run:"
        f" ostiary servers preauthorization create {login} --project {name} --hours 2 --reason TEXT",
        code="no-preauthorization",
    )


def _not_entitled(person: Person, name: str) -> NotFound:
    return NotFound(
        f"{person.login} may enter no server named {name[:80]!r}",
        why="there is none, or no rule of its project lets you in",
        fix="see yours with: ostiary servers list; ask an owner of the project for login",
        code="no-server",
    )


def entries(
    view: View, person: Person, held: Sequence[Server], now: float
) -> Iterator[ServerEntry]:
    """Of the servers of a project those that a person may enter or would with a preauthorization, and the bastions on the way."""
    ways = {one.name: view.access(person, one, now) for one in held}
    closed = {
        one.name
        for one in held
        if not view.counts(person, one, now) and view.by_rules(person, one, now).login
    }
    hops = {one.bastion for one in held if one.bastion and ways[one.name].login}
    behind = {one.bastion for one in held if one.bastion and one.name in closed} - hops
    for one in held:
        way = ways[one.name]
        needs = not way.login and one.name in closed | behind
        may_hop = one.name in hops or (needs and one.name not in closed)
        if way.login or may_hop or needs:
            yield entry(view, one, way, may_hop=may_hop, needs=needs)


def entry(
    view: View, server: Server, access: ServerAccess, *, may_hop: bool = False, needs: bool = False
) -> ServerEntry:
    """A server as people see it."""
    rights = {
        "login": access.login,
        "admin": access.admin,
        "forward": bool(access.forward),
        "sftp": access.sftp_only,
        "hop": may_hop,
        NEEDS: needs,
    }
    return ServerEntry(
        server_id=server.id,
        name=server.name,
        project=view.project.name,
        address=server.address,
        port=server.port,
        bastion=server.bastion,
        labels=dict(server.labels),
        last_seen=server.last_seen,
        may=tuple(name for name, given in rights.items() if given),
    )
