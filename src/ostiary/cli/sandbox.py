"""``ostiary sandbox``: start, stop, reset and describe the embedded Okta org and AWS."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from ostiary import term
from ostiary.cli.sandbox_appliance import appliance
from ostiary.errors import Conflict, NotFound, Unreachable

START_SECONDS = 30


def state_folder() -> Path:
    """Where a running sandbox keeps its CA, AWS files and description."""
    root = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    return Path(os.environ.get("OSTIARY_SANDBOX", f"{root}/ostiary/sandbox"))


def description(folder: Path) -> dict[str, Any] | None:
    """What ``up --json`` printed, if that sandbox still runs.

    It runs as long as it holds its lock: a process id alone may by now be another's, and would be signalled.
    """
    try:
        described: dict[str, Any] = json.loads((folder / "sandbox.json").read_text())
        with (folder / "lock").open() as held:
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return described
    except FileNotFoundError:
        pass
    return None


@click.group()
def sandbox() -> None:
    """An Okta org and an AWS Organization on loopback, that refuse what the real ones refuse."""


@sandbox.command()
@click.option("--json", "as_json", is_flag=True, help="Print URLs, environment and people as JSON.")
@click.option("--okta-port", default=0, help="Port of the Okta org; 0 takes a free one.")
@click.option("--aws-port", default=0, help="Port of AWS; 0 takes a free one.")
@click.option(
    "--switch",
    "switches",
    multiple=True,
    metavar="NAME=VALUE",
    help="A fault, as latency=0.08 or throttle_share=0.2.",
)
@click.option("--foreground", is_flag=True, help="Stay attached; Ctrl-C ends it.")
def up(
    *, as_json: bool, okta_port: int, aws_port: int, switches: tuple[str, ...], foreground: bool
) -> None:
    """Start the sandbox, detached, and return when it answers."""
    folder = state_folder()
    running = description(folder)
    if running is not None:
        if as_json:
            term.result_json(running)
            return
        raise Conflict(
            f"cannot start a second sandbox in {folder}",
            why=f"process {running['pid']} serves it",
            fix="run: ostiary sandbox reset",
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    arguments = [
        "--folder",
        str(folder),
        "--okta-port",
        str(okta_port),
        "--aws-port",
        str(aws_port),
    ]
    for switch in switches:
        arguments += ["--switch", switch]
    if foreground:
        from ostiary.sandbox.daemon import main  # noqa: PLC0415 - the sandbox is loaded only to serve

        main(arguments)
        return
    _report(_spawn(folder, arguments), as_json=as_json)


def _spawn(folder: Path, arguments: list[str]) -> dict[str, Any]:
    log = folder / "sandbox.log"
    (folder / "sandbox.json").unlink(missing_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "ostiary.sandbox.daemon", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        described = description(folder)
        if described is not None:
            return described
        if process.poll() is not None:
            break
        time.sleep(0.02)
    last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no message"]
    raise Unreachable("cannot start the sandbox", why=last[0], fix=f"read {log}")


@sandbox.command()
@click.option("--json", "as_json", is_flag=True, help="Print the same as up --json.")
def status(*, as_json: bool) -> None:
    """Say whether it runs, and where."""
    _report(_running(), as_json=as_json)


@sandbox.command()
def down() -> None:
    """Stop it."""
    described = _running()
    os.kill(described["pid"], signal.SIGTERM)
    deadline = time.monotonic() + START_SECONDS
    while description(state_folder()) is not None:
        if time.monotonic() > deadline:
            raise Unreachable(f"cannot stop process {described['pid']}", why="it did not end")
        time.sleep(0.02)
    (state_folder() / "sandbox.json").unlink(missing_ok=True)
    term.say("sandbox stopped")


@sandbox.command()
def reset() -> None:
    """Put the world back to its beginning.

    Addresses, people and keys stay the same.
    """
    described = _running()
    stamp = state_folder() / "sandbox.json"
    before = stamp.stat().st_mtime_ns
    os.kill(described["pid"], signal.SIGHUP)
    deadline = time.monotonic() + START_SECONDS
    while stamp.stat().st_mtime_ns == before:
        if time.monotonic() > deadline:
            raise Unreachable("cannot reset the sandbox", why="it did not answer the signal")
        time.sleep(0.02)
    term.say("sandbox reset")


@sandbox.command()
@click.argument("login", metavar="USER")
def code(*, login: str) -> None:
    """The one-time code that USER's authenticator shows.

    The org's pages ask for it after the password. USER is ada@acme.example or ada.
    """
    from ostiary.okta.sign_in import STEP, totp  # noqa: PLC0415

    for person in _running()["people"]:
        if login in (person["login"], person["login"].partition("@")[0]):
            step, past = divmod(time.time(), STEP)
            term.result(totp(person["totp_secret"], int(step)))
            term.say(f"good for {STEP - past:.0f} s, for one sign-in")
            return
    raise NotFound(f"nobody in the sandbox is {login}", fix="see them with: ostiary sandbox status")


sandbox.add_command(appliance)


def _running() -> dict[str, Any]:
    described = description(state_folder())
    if described is None:
        raise NotFound("no sandbox is running", fix="run: ostiary sandbox up")
    return described


def _report(described: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        term.result_json(described)
        return
    term.result(f"Okta org   {described['okta_url']}")
    term.result(f"AWS        {described['aws_url']}")
    term.result(f"CA         {described['ca_file']}")
    term.result("\nexport these, then use any client:")
    for name, value in described["env"].items():
        term.result(f"  export {name}={value}")
    rows = [
        (person["login"], person["password"], ", ".join(person["groups"]))
        for person in described["people"]
    ]
    term.result("\n" + term.table(("person", "password", "groups"), rows))
