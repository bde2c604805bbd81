"""``ostiary servers inventory``, ``retire``, ``release``: enrolled servers as administrators see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.options import confirm, json_option, not_empty
from ostiary.cli.servers_control import ago, open_control, server_named, servers_held
from ostiary.doors.servers.wire.one_line import one_line
from ostiary.errors import UsageError

if TYPE_CHECKING:
    from ostiary.doors.servers.wire.admin import ServerHeld

project_option = click.option(
    "--project", metavar="NAME", callback=not_empty, help="Only this project."
)


@click.command()
@click.argument("selector", required=False, default="", metavar="[SELECTOR]")
@project_option
@click.option("--retired", is_flag=True, help="Also servers that are gone.")
@click.option("--ways", is_flag=True, help="Show every other way into each host.")
@json_option
def inventory(
    *, selector: str, project: str | None, retired: bool, ways: bool, as_json: bool
) -> None:
    """Every enrolled server: state, labels, last seen, clock, problems.

    SELECTOR is of labels: role=web,env!=dev,region (the label is there).
    """
    terms = parse_selector(selector)
    held = servers_held(open_control(), project)
    found = [
        (name, one)
        for name, one in held
        if (retired or one.state != "retired")
        and selected(terms, {label.key: label.value for label in one.labels})
    ]
    if as_json:
        term.result_json({"servers": [{"project": name, **asdict(one)} for name, one in found]})
        return
    if not found:
        term.say(_none(selector, project))
        return
    rows = [
        (
            one.name,
            name,
            one.state,
            f"{one.address}:{one.port}",
            one.bastion or "-",
            ",".join(f"{label.key}={label.value}" for label in one.labels) or "-",
            ago(one.last_seen),
            one.id,
        )
        for name, one in found
    ]
    headings = ("server", "project", "state", "address", "bastion", "labels", "seen", "id")
    term.result(term.table(headings, rows))
    active = {(name, one.name) for name, one in held if one.state == "active"}
    for name, one in found:
        lines = _noteworthy(one)
        if one.bastion and one.state != "retired" and (name, one.bastion) not in active:
            lines.append(f"nobody reaches it: no server {one.bastion} is active in {name}")
        for line in (*lines, *(one.other_ways if ways else ())):
            term.say(f"! {one.name}: {one_line(line)}")


def _none(selector: str, project: str | None) -> str:
    """That there is no server to show, and what brings one."""
    if selector:
        return f"no server that you may administer is like {selector}"
    token = f"ostiary servers token create --project {project or 'NAME'}"
    of = f"of project {project}" if project else "of a project that you may administer"
    return f"no server {of} has enrolled; one comes with: {token}"


def _noteworthy(one: ServerHeld) -> list[str]:
    return list(filter(None, (*one.problems, one.clock_problem)))


Terms = tuple[tuple[str, str, str], ...]


def parse_selector(text: str) -> Terms:
    """``role=web,env!=dev,region`` to (label, operator, value); UsageError for anything else."""
    terms = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        operator = "!=" if "!=" in part else "=" if "=" in part else ""
        halves = part.partition(operator) if operator else (part, "", "")
        key, _, value = (one.strip() for one in halves)
        if not key or (operator and not value) or value.startswith("="):
            raise UsageError(
                f"cannot use the selector {part!r}",
                why="it is none of label=value, label!=value, label",
                fix="write it like: role=web,env!=dev",
            )
        terms.append((key, operator, value))
    return tuple(terms)


def selected(terms: Terms, labels: Mapping[str, str]) -> bool:
    """Whether every term holds; a label that is absent differs from every value."""
    return all(
        (labels.get(key) == value) is (operator == "=") if operator else key in labels
        for key, operator, value in terms
    )


@click.command()
@click.argument("server", metavar="SERVER", callback=not_empty)
@project_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def retire(*, server: str, project: str | None, yes: bool) -> None:
    """Let SERVER (name or id) go: nobody gets a certificate for it, its name is free again."""
    control = open_control()
    name, found = server_named(control, server, project)
    confirm(f"retire {found.name} ({found.id}) of project {name}", yes=yes)
    control.call("POST", f"/v1/servers/{found.id}/retire", what=f"retire {found.name}")
    term.say(f"{found.name} is retired; what the agent made there goes with: ostiary agent remove")


@click.command()
@click.argument("server", metavar="SERVER", callback=not_empty)
@project_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def release(*, server: str, project: str | None, yes: bool) -> None:
    """Take SERVER out of quarantine: its identity was seen twice, and you know which machine is the right one."""
    control = open_control()
    name, found = server_named(control, server, project)
    if found.state != "quarantined":
        raise UsageError(
            f"cannot release {found.name}",
            why=f"it is not quarantined: it is {found.state}",
            fix="see them with: ostiary servers inventory",
        )
    confirm(f"let {found.name} ({found.id}) of project {name} be entered again", yes=yes)
    control.call("POST", f"/v1/servers/{found.id}/release", what=f"release {found.name}")
    term.say(f"{found.name} is released")
