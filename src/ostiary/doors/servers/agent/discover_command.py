"""The commands by which an administrator looks at a host before the agent comes, and at what else leads into it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ostiary.doors.servers.agent import (
    accounts_files,
    accounts_takeover,
    accounts_takeover_plan,
    names,
    other_ways_close,
)
from ostiary.doors.servers.agent import state as states
from ostiary.doors.servers.agent.accounts_lookup import Lookup
from ostiary.doors.servers.agent.discover import (
    FIRST_OF_PEOPLE,
    NOBODY,
    Discovery,
    Planned,
    discover,
)
from ostiary.doors.servers.agent.files import HostError, Paths, write
from ostiary.doors.servers.agent.other_ways import find
from ostiary.doors.servers.agent.typed import LONGEST, as_typed


def add(commands: Any) -> None:
    """Add ``discover``, ``ways`` and ``takeover`` to argparse's subcommands; each sets ``work(given, paths) -> exit code``."""
    looking = commands.add_parser("discover", help="what is on this host before the agent comes")
    looking.add_argument("--uid-start", type=int, default=60001, help="of the project [60001]")
    looking.add_argument("--gid-start", type=int, default=63001, help="of the project [63001]")
    looking.add_argument(
        "--login", action="append", default=[], metavar="NAME", help="who would get an account"
    )
    looking.add_argument(
        "--group", action="append", default=[], metavar="NAME", help="a group that would be made"
    )
    looking.add_argument("--json", action="store_true", dest="as_json", help="for programs")
    looking.set_defaults(work=_discover)
    ways = commands.add_parser(
        "ways", help="other ways into this host, and the plan that closes them"
    )
    ways.add_argument("--reopen", action="store_true", help="undo what other_ways: close did")
    ways.set_defaults(work=_ways)
    taking = commands.add_parser("takeover", help="make accounts ours that were here before")
    what = taking.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--plan", metavar="FILE", help="write who, which numbers and files; read only"
    )
    what.add_argument("--apply", metavar="FILE", help="take over the logins in its `approve`")
    what.add_argument("--back", metavar="LOGIN", help="make an account what it was before")
    taking.add_argument(
        "--place",
        action="append",
        default=[],
        metavar="FOLDER",
        help="where files are [everywhere]",
    )
    taking.set_defaults(work=_takeover)


def _discover(given: argparse.Namespace, paths: Paths) -> int:
    planned = Planned(given.uid_start, given.gid_start, tuple(given.login), tuple(given.group))
    found = discover(paths, planned)
    if given.as_json:
        sys.stdout.write(found.as_json() + "\n")
    else:
        _print(map(as_typed, lines(found)))
    return 0


def _ways(given: argparse.Namespace, paths: Paths) -> int:
    if given.reopen:
        problems = other_ways_close.reopen(paths)
        _complain(problems)
        return 1 if problems else 0
    ways = find(paths, Lookup.now())
    _print(way.line for way in ways)
    plan = other_ways_close.plan(ways)
    _print(("other_ways: close would", *(f"  {line}" for line in plan.lines)))
    return 0


def _takeover(given: argparse.Namespace, paths: Paths) -> int:
    if given.back:
        accounts_takeover.back(given.back, paths.owned)
        return 0
    kept = states.read(paths.state)
    users = kept.users if kept else ()
    if given.plan:
        made = accounts_takeover_plan.plan(
            users, paths.owned, given.place or accounts_files.places()
        )
        write(Path(given.plan), made.as_json() + "\n", 0o600)
        _print(accounts_takeover_plan.lines(made))
        if not made.candidates:
            sys.stderr.write("nobody whom the project lets in has an account of another here\n")
            return 0
        then = as_typed(f"ostiary agent takeover --apply {given.plan}")
        sys.stderr.write(f"fill in `approve` in {given.plan}, then: {then}\n")
        return 0
    approved = accounts_takeover_plan.Plan.read(Path(given.apply))
    taken, problems = accounts_takeover.apply(approved, users, paths.owned)
    _print(f"took over {login}" for login in taken)
    _complain(problems)
    if not taken and not problems:
        raise HostError("nobody is approved", fix=f"fill in `approve` in {given.apply}")
    return 1 if problems else 0


def _print(told: Iterable[str]) -> None:
    """Names of files and processes are somebody's text: none of it moves a terminal, or makes a line of its own."""
    sys.stdout.write("".join(f"{names.shown(line, LONGEST)}\n" for line in told))


def _complain(problems: Iterable[str]) -> None:
    told = (names.shown(one, LONGEST) for one in problems)
    sys.stderr.write("".join(f"ostiary agent: {one}\n" for one in told))


def lines(found: Discovery) -> Iterable[str]:
    """For people. Accounts of the system without keys, password or rights are only counted."""
    quiet = 0
    yield f"accounts of {found.host}"
    for one in found.accounts:
        if (
            (one.uid < FIRST_OF_PEOPLE or one.uid == NOBODY)
            and one.uid != 0
            and not (one.keys or one.password or one.sudo)
        ):
            quiet += 1
            continue
        marks = [
            word
            for word, so in (
                ("password", one.password),
                ("ours", one.ours),
                ("from NSS", one.source == "nss"),
            )
            if so
        ]
        yield f"  {one.name}  UID {one.uid}  GID {one.gid}  {one.shell}" + "".join(
            f"  {mark}" for mark in marks
        )
        yield from (f"    group {name}" for name in one.groups)
        yield from (f"    key {key}" for key in one.keys)
        yield from (f"    sudo {rule}" for rule in one.sudo)
    yield f"  and {quiet} of the system without key, password or rights"
    for title, told in (
        ("conflicts", found.conflicts),
        ("warnings", found.warnings),
        ("other ways in", found.other_ways),
    ):
        yield f"{title}: {len(told) or 'none'}"
        yield from (f"  {line}" for line in told)
