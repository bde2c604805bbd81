"""The commands of the agent: what each takes, and what it calls."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ostiary.doors.servers.agent import (
    bundle,
    cloud,
    discover_command,
    identity,
    leave,
    loop,
    names,
    selinux,
    sshd_install,
    trust,
    unit,
)
from ostiary.doors.servers.agent import state as states
from ostiary.doors.servers.agent.enroll import Wanted, enroll
from ostiary.doors.servers.agent.files import HostError, Paths, alone
from ostiary.doors.servers.agent.interpreter import interpreter
from ostiary.doors.servers.agent.typed import line
from ostiary.doors.servers.wire.host import CloudIdentity

LONGEST_TOKEN = 4096


def parser() -> argparse.ArgumentParser:
    """Each command sets ``work(given, paths) -> exit code``, and ``root`` false where anybody may."""
    made = argparse.ArgumentParser(prog="ostiary agent", description="The agent of a host.")
    made.set_defaults(root=True)
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    _add_enroll(commands.add_parser("enroll", help="join a project of a control plane"))
    running = commands.add_parser("run", help="keep this host in line, until stopped")
    running.set_defaults(work=_run)
    once = commands.add_parser("once", help="ask, apply and report once")
    once.add_argument(
        "--accept-older", action="store_true", help="of a control plane restored from a backup"
    )
    once.set_defaults(work=_once)
    telling = commands.add_parser("status", help="what this host is and holds")
    telling.add_argument("--json", action="store_true", dest="as_json")
    telling.set_defaults(work=_status)
    discover_command.add(commands)
    leaving = commands.add_parser("remove", help="leave the project; this host as it was before")
    leaving.add_argument("--offline", action="store_true", help="do not tell the control plane")
    leaving.set_defaults(work=_remove)
    image = commands.add_parser("prepare-image", help="strip all that is this host's own")
    image.add_argument("--yes", action="store_true", help="homes of LocalUsers are deleted too")
    image.set_defaults(work=_prepare_image)
    bundling = commands.add_parser("bundle", help="write the agent as one file, for hosts")
    bundling.add_argument("file", type=Path, metavar="FILE")
    bundling.set_defaults(work=_bundle, root=False)
    printing = commands.add_parser("unit", help="print the service of systemd for this agent")
    printing.set_defaults(work=_unit, root=False)
    policy = commands.add_parser(
        "selinux", help="write the source of a policy module for SELinux (untested)"
    )
    policy.add_argument("folder", type=Path, metavar="FOLDER")
    policy.set_defaults(work=_selinux, root=False)
    return made


def _add_enroll(joining: argparse.ArgumentParser) -> None:
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


def _enroll(given: argparse.Namespace, paths: Paths) -> int:
    made = enroll(
        Wanted(
            url=given.url,
            token="" if given.cloud else _token(given.token_file),
            name=given.name,
            address=given.address,
            port=given.port,
            bastion=given.bastion,
            labels=dict(map(_label, given.label)),
            ca_file=given.ca_file,
            break_glass_account=given.break_glass_account,
            cloud=cloud.identity(given.url) if given.cloud else CloudIdentity(),
        ),
        paths,
        _say,
    )
    told = f"{made.server_id}  {made.name} in {made.project}"
    sys.stdout.write(f"{names.shown(told)}\n")
    _say("nobody is let in before it runs: install its unit, or start: ostiary agent run")
    return 0


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise HostError(f"{text!r} is no label", fix="write: --label KEY=VALUE")
    return key, value


def _token(file: str) -> str:
    what = f"cannot read the token from {file}"
    fix = "run: ostiary agent enroll --url URL --token-file FILE, or - for stdin"
    try:
        if file == "-":
            token = sys.stdin.read(LONGEST_TOKEN).strip()
        else:
            with Path(file).open(encoding="ascii") as opened:
                token = opened.read(LONGEST_TOKEN).strip()
    except (OSError, ValueError) as error:
        why = str(getattr(error, "strerror", None) or error).lower()
        raise HostError(what, why=why, fix=fix) from error
    if not token:  # which would be an enrollment by cloud identity
        raise HostError(what, why="it is empty", fix=fix)
    return token


def _run(_: argparse.Namespace, paths: Paths) -> int:
    stop = threading.Event()
    agent = loop.Agent(identity.read(paths), paths, _say)

    def end(*_: object) -> None:
        stop.set()
        if agent.waiting:
            raise loop.Stopped

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with _instead_of_service(paths, "run: systemctl status ostiary-agent"):
        agent.run(stop)
    return 0


@contextlib.contextmanager
def _instead_of_service(
    paths: Paths,
    fix: str = "run: systemctl disable --now ostiary-agent, or end it where it was started by hand",
) -> Iterator[None]:
    """HostError while the service runs: it would bring back what is taken away, and one of it is enough."""
    with alone(paths.var / "service.lock", waits=False) as held:
        if not held:
            raise HostError(
                "cannot do this now",
                why="the agent runs on this host",
                fix=fix,
            )
        yield


def _once(given: argparse.Namespace, paths: Paths) -> int:
    problems: list[str] = []
    agent = loop.Agent(identity.read(paths), paths, problems.append)
    agent.round(0, accept_older=given.accept_older)
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
        "in_force": sshd_install.in_force(paths),
    }
    if given.as_json:
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        for name, value in told.items():
            shown = " ".join(value) if isinstance(value, list) else value
            shown = {True: "yes", False: "no"}[value] if isinstance(value, bool) else shown
            text = f"{name}: {shown}"  # whole: there may be many users
            sys.stdout.write(f"{names.shown(text, len(text))}\n")
    return 0


def _remove(given: argparse.Namespace, paths: Paths) -> int:
    with _instead_of_service(paths):
        problems = leave.remove(
            paths, retire=not given.offline and paths.identity.exists(), say=_say
        )
    if not problems:
        _say("left; accounts that it made are closed, their homes stay")
    return _told(problems)


def _prepare_image(given: argparse.Namespace, paths: Paths) -> int:
    if not given.yes:
        raise HostError(
            "cannot prepare an image",
            why="it deletes host keys, accounts and homes of LocalUsers",
            fix="run: ostiary agent prepare-image --yes",
        )
    with _instead_of_service(paths):
        return _told(leave.prepare_image(paths, _say))


def _told(problems: tuple[str, ...]) -> int:
    for problem in problems:
        _say(problem)
    return 1 if problems else 0


def _bundle(given: argparse.Namespace, _: Paths) -> int:
    digest = bundle.bundle(given.file)
    sys.stdout.write(f"{digest}  {given.file}\n")
    return 0


def _selinux(given: argparse.Namespace, _: Paths) -> int:
    following = selinux.write(given.folder)
    sys.stderr.write(f"untested: try it in permissive mode first; as root: {following}\n")
    return 0


def _unit(_: argparse.Namespace, __: Paths) -> int:
    file = os.path.realpath(sys.argv[0])
    if not zipfile.is_zipfile(file):
        raise HostError(
            "cannot write the service",
            why=f"{file} is not the agent's one file, which hosts run",
            fix="run: ostiary agent bundle ostiary-agent.pyz && ./ostiary-agent.pyz unit",
        )
    sys.stdout.write(unit.text(interpreter(), file))
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"ostiary agent: {line(text)}\n")
    sys.stderr.flush()
