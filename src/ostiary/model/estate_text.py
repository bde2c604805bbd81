"""Estate text to an ``Estate``: every problem of the file at once, each with its line, before any call is made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from ostiary.errors import EstateError
from ostiary.model.estate import (
    DEFAULT_STORE,
    AssignmentRule,
    Console,
    Estate,
    OrganizationSettings,
    OrgSettings,
    Place,
    RoleTemplate,
    RunsSettings,
)
from ostiary.model.estate_assignments import parse_assignment
from ostiary.model.estate_fields import Fields, Problems, named_entries
from ostiary.model.estate_places import parse_console, parse_org, parse_organization
from ostiary.model.estate_roles import RoleReader
from ostiary.model.estate_schema import ESTATE_NAME, NAME, ROLE_NAME, schema
from ostiary.model.estate_server_rights import parse_server_assignment, speaks_of_servers
from ostiary.model.estate_servers import parse_servers
from ostiary.model.estate_yaml import Node, Refused, Type, read_tree
from ostiary.model.server_access import SudoRule
from ostiary.model.servers import ServerAssignment, ServersSettings

__all__ = ["parse", "schema"]
MAIN = "main"  # what the short form calls its org, organization and console
OF_AWS = ("organizations", "organization", "consoles", "console", "roles")


def parse(
    text: str,
    *,
    file: str,
    env: Mapping[str, str] | None = None,
    read_file: Callable[[str], str] | None = None,
) -> Estate:
    """Read an estate.

    ``file`` is for messages only. With ``env``, a ``${env:NAME}`` that is not set is a problem; its value is
    not read here. ``read_file`` gives the text of a ``file:`` policy by its path as written (relative to
    the estate) and may raise OSError; without it such policies are a problem.

    Raises EstateError whose ``problems`` are lines of ``file:line: message``.
    """
    problems = Problems(file, env)
    try:
        root, found = read_tree(text)
    except Refused as error:
        problems.add(error.line, error.message)
        raise _bad(problems) from error
    for line, message in found:
        problems.add(line, message)
    estate = _Reading(root, problems, read_file).estate(text)
    if problems.found:
        raise _bad(problems)
    return estate


def _bad(problems: Problems) -> EstateError:
    lines = problems.lines()
    return EstateError(
        f"cannot use estate {problems.file}",
        problems=lines,
        fix=f"correct {problems.file} and run: ostiary plan --estate {problems.file}",
    )


class _Reading:
    def __init__(
        self, root: Node, problems: Problems, read_file: Callable[[str], str] | None
    ) -> None:
        self.problems = problems
        self.read_file = read_file
        self.fields = Fields(root, "estate", "the estate", problems)

    def estate(self, text: str) -> Estate:
        fields = self.fields
        name = fields.text("estate", ESTATE_NAME) or ""
        version = fields.integer("version", 1, 1, 1)
        runs = Fields(self._node("runs"), "runs", "runs", self.problems)
        orgs = self._orgs()
        organizations = self._organizations()
        consoles = self._consoles(name, orgs, organizations)
        roles = self._roles(consoles)
        servers, sudo = self._servers(orgs)
        assignments, on_servers = self._assignments(roles, consoles, servers, sudo)
        return Estate(
            name=name,
            version=version,
            orgs=orgs,
            organizations=organizations,
            consoles=consoles,
            roles=roles,
            assignments=assignments,
            servers=servers,
            server_assignments=on_servers,
            runs=RunsSettings(
                runs.reference("store") or DEFAULT_STORE,
                runs.reference("kms_key"),
                runs.place,
            ),
            file=self.problems.file,
            text_sha256=hashlib.sha256(text.encode()).hexdigest(),
        )

    def _node(self, key: str) -> Node:
        return self.fields.entries.get(key, Node(1, Type.MAPPING))

    def _sections(self, one: str, many: str) -> list[tuple[str, Fields]]:
        """The items of ``many``, or the single one of the short form."""
        short = self.fields.entries.get(one)
        if short is not None and many in self.fields:
            self.problems.add(
                short.line, f"{one} is the short form of {many}: write only one of them"
            )
        if short is not None:
            return [(MAIN, Fields(short, one, one, self.problems))]
        entries = named_entries(self.fields.entries.get(many), one, NAME, self.problems)
        return [
            (name, Fields(node, one, f"{one} {name!r}", self.problems, line))
            for name, node, line in entries
        ]

    def _orgs(self) -> dict[str, OrgSettings]:
        found = {name: parse_org(name, item) for name, item in self._sections("org", "orgs")}
        if not found:
            self.problems.add(1, "the estate names no Okta org: add org: {url: ...}")
        return found

    def _organizations(self) -> dict[str, OrganizationSettings]:
        sections = self._sections("organization", "organizations")
        if not sections and "organizations" not in self.fields and not self._of_servers_alone():
            # The default credentials, the commercial partition: the shortest estate there is.
            return {MAIN: OrganizationSettings(MAIN, place=Place(self.problems.file, 1))}
        return {name: parse_organization(name, item) for name, item in sections}

    def _of_servers_alone(self) -> bool:
        """Whether it speaks of servers and of nothing in AWS: then there is no Organization to read, and no console."""
        if "servers" not in self.fields or any(key in self.fields for key in OF_AWS):
            return False
        node = self.fields.entries.get("assignments")
        return node is None or all(speaks_of_servers(item) for item in node.items)

    def _consoles(
        self,
        estate: str,
        orgs: Mapping[str, OrgSettings],
        organizations: Mapping[str, OrganizationSettings],
    ) -> dict[str, Console]:
        sections = self._sections("console", "consoles")
        if not sections and "consoles" not in self.fields and not self._of_servers_alone():
            empty = Fields(Node(1, Type.MAPPING), "console", "console", self.problems)
            sections = [(MAIN, empty)]
        consoles: dict[str, Console] = {}
        for name, item in sections:
            label = f"AWS {estate}" if name == MAIN else f"AWS {estate} {name}"
            console = parse_console(name, item, label, orgs, organizations)
            for other in consoles.values():
                self._clash(item, console, other)
            consoles[name] = console
        return consoles

    def _clash(self, item: Fields, console: Console, other: Console) -> None:
        """Two consoles of one org whose role groups or apps could not be told apart."""
        if console.org != other.org:
            return
        if console.app_label == other.app_label:
            item.wrong("app", f"{console.app_label!r} is also the app of console {other.name!r}")
        if console.group_name == other.group_name:
            item.wrong(
                "group_name",
                f"{console.group_name!r} is also that of console {other.name!r}: each app would offer the "
                f'roles of both; give one another, such as "aws-{console.name}#{{alias}}#{{role}}#{{account}}"',
            )

    def _roles(self, consoles: Mapping[str, Console]) -> dict[str, RoleTemplate]:
        longest = max((console.session_seconds for console in consoles.values()), default=0)
        reader = RoleReader(self.problems, self.read_file, longest_session=longest)
        roles: dict[str, RoleTemplate] = {}
        node = self.fields.entries.get("roles")
        for name, item, line in named_entries(node, "role", ROLE_NAME, self.problems):
            twin = next((other for other in roles if other.lower() == name.lower()), None)
            if twin:  # IAM keeps role names apart by more than case
                self.problems.add(line, f"role {name!r} and role {twin!r} are one name to IAM")
            fields = Fields(item, "role", f"role {name!r}", self.problems, line)
            roles[name] = reader.role(name, fields)
        return roles

    def _servers(
        self, orgs: Mapping[str, OrgSettings]
    ) -> tuple[ServersSettings | None, Mapping[str, SudoRule]]:
        if "servers" not in self.fields:
            return None, {}
        fields = Fields(self._node("servers"), "servers", "servers", self.problems)
        return parse_servers(fields, orgs, self.read_file)

    def _assignments(
        self,
        roles: Mapping[str, RoleTemplate],
        consoles: Mapping[str, Console],
        servers: ServersSettings | None,
        sudo: Mapping[str, SudoRule],
    ) -> tuple[tuple[AssignmentRule, ...], tuple[ServerAssignment, ...]]:
        """Those of roles, and those of servers."""
        node = self.fields.entries.get("assignments")
        if node is None or node.type is Type.NOTHING:
            return (), ()
        if node.type is not Type.LIST:
            self.fields.wrong("assignments", f"must be a list, not {node.type.value}")
            return (), ()
        of_roles: list[AssignmentRule] = []
        on_servers: list[ServerAssignment] = []
        for number, item in enumerate(node.items, 1):
            fields = Fields(item, "assignment", f"assignment {number}", self.problems)
            if speaks_of_servers(item):
                known = servers or ServersSettings("")
                on_servers.append(parse_server_assignment(fields, known, sudo))
            else:
                of_roles.append(parse_assignment(fields, roles, consoles))
        return tuple(of_roles), tuple(on_servers)
