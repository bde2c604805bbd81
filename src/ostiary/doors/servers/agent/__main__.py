"""``ostiary-agent``: the commands of a host. Lines for people go to stderr, results to stdout.

Exit codes: 0 done, 1 not done and the reason said, 2 wrong command line.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import threading
from pathlib import Path

from ostiary.doors.servers.agent import identity, loop, trust
from ostiary.doors.servers.agent import state as states
from ostiary.doors.servers.agent.enroll import Wanted, enroll
from ostiary.doors.servers.agent.files import HostError, Paths

LONGEST_TOKEN = 4096


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    given = parser.parse_args(arguments)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # tokens and keys stay out of core dumps
    os.umask(0o022)
    try:
        _needs_root()
        code: int = given.work(given, Paths())
    except HostError as error:
        _complain(error)
        return 1
    return code


def _complain(error: HostError) -> None:
    """The three lines of errors.py."""
    sys.stderr.write(f"ostiary: error: {error.what}\n")
    for name, text in (("why", error.why), ("fix", error.fix)):
        if text:
            sys.stderr.write(f"  {name}: {text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ostiary agent", description="The agent of a host.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    joining = commands.add_parser("enroll", help="join a project of a control plane")
    joining.add_argument("--url", required=True, help="of the control plane")
    proof = joining.add_mutually_exclusive_group(required=True)
    proof.add_argument("--token-file", metavar="FILE", help="enrollment token; - reads stdin")
    proof.add_argument("--cloud", action="store_true", help="the EC2 instance's own identity")
    joining.add_argument("--name", default="", help="what people type [the host's name]")
    joining.add_argument("--address", default="", help="where clients or the bastion reach it")
    joining.add_argument("--port", type=int, default=22, help="of sshd [22]")
    joining.add_argument("--bastion", default="", metavar="NAME", help="server to go through")
    joining.add_argument("--label", action="append", default=[], metavar="KEY=VALUE")
    joining.add_argument("--ca-file", default="", metavar="FILE", help="authority of the URL")
    joining.add_argument(
        "--break-glass-account", default="", metavar="NAME", help="may be entered by break-glass"
    )
    joining.set_defaults(work=_enroll)
    running = commands.add_parser("run", help="keep this host in line, until stopped")
    running.set_defaults(work=_run)
    once = commands.add_parser("once", help="ask, apply and report once")
    once.set_defaults(work=_once)
    telling = commands.add_parser("status", help="what this host is and holds")
    telling.add_argument("--json", action="store_true", dest="as_json")
    telling.set_defaults(work=_status)
    return parser


def _needs_root() -> None:
    if os.geteuid() != 0:
        raise HostError("cannot do this", why="the agent makes accounts, so it needs root")


def _enroll(given: argparse.Namespace, paths: Paths) -> int:
    labels = {}
    for one in given.label:
        key, equals, value = one.partition("=")
        if not key or not equals:
            raise HostError(f"{one!r} is no label", fix="write: --label KEY=VALUE")
        labels[key] = value
    made = enroll(
        Wanted(
            url=given.url,
            token=_token(given.token_file),
            name=given.name,
            address=given.address,
            port=given.port,
            bastion=given.bastion,
            labels=labels,
            ca_file=given.ca_file,
            break_glass_account=given.break_glass_account,
        ),
        paths,
    )
    sys.stdout.write(f"{made.server_id}  {made.name} in {made.project}\n")
    return 0


def _token(file: str) -> str:
    try:
        if file == "-":
            return sys.stdin.read(LONGEST_TOKEN).strip()
        with Path(file).open(encoding="ascii") as opened:
            return opened.read(LONGEST_TOKEN).strip()
    except (OSError, ValueError) as error:
        raise HostError(f"cannot read the token from {file}: {error}") from error


def _run(_: argparse.Namespace, paths: Paths) -> int:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    loop.Agent(identity.read(paths), paths, _say).run(stop)
    return 0


def _once(_: argparse.Namespace, paths: Paths) -> int:
    problems: list[str] = []
    loop.Agent(identity.read(paths), paths, problems.append).round(0)
    for problem in problems:
        _say(problem)
    return 1 if problems else 0


def _status(given: argparse.Namespace, paths: Paths) -> int:
    who, state = identity.read(paths), states.read(paths.state)
    told = {
        "server": who.server_id,
        "name": who.name,
        "project": who.project,
        "control": who.url,
        "generation": state.generation if state else 0,
        "users": [user.login for user in state.users] if state else [],
        "trusted": list(trust.fingerprints(paths)),
    }
    if given.as_json:
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        for name, value in told.items():
            shown = " ".join(value) if isinstance(value, list) else value
            sys.stdout.write(f"{name}: {shown}\n")
    return 0


def _say(line: str) -> None:
    sys.stderr.write(f"ostiary agent: {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
