"""The command line: a lazy command table over the doors.

``COMMANDS`` maps a name to the module and function that make it, and the line shown by ``--help``; nothing
of a command is imported before it is called.
"""

from __future__ import annotations

import importlib
import shlex
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import click

from ostiary import __version__, term
from ostiary.cli import ctrl_c
from ostiary.cli.typed import as_typed, given_in
from ostiary.errors import Interrupted, OstiaryError, UsageError

COMMANDS = {
    "init": ("init:init", "Write an estate file from what exists"),
    "plan": ("estate:plan", "Show what would change; only reads"),
    "apply": ("estate:apply", "Do what a plan says, then prove it"),
    "drift": ("estate:drift", "Say where the world differs from the estate"),
    "adopt": ("owned:adopt", "Take an existing object under management"),
    "destroy": ("owned:destroy", "Remove everything that bears this estate's mark"),
    "bootstrap": ("bootstrap:bootstrap", "Render or make the plan and apply roles"),
    "runs": ("runs:runs", "List runs and what each one did"),
    "restore": ("runs:restore", "Write back what a run changed"),
    "doctor": ("doctor:doctor", "Test every permission and setting by harmless reads"),
    "access": ("access:access", "Answer who can reach what"),
    "groups": ("groups:groups", "Judge role groups, filters and patterns"),
    "gateway": ("gateway:gateway", "The Access Gateway appliance: inspect, import, deploy"),
    "login": ("login:login", "Sign in at Okta, to enter servers"),
    "logout": ("login:logout", "End the sign-in"),
    "ssh": ("ssh:ssh", "Enter a server by a part of its name"),
    "ssh-config": ("ssh_config:ssh_config", "Let ssh, scp and the rest find our servers"),
    "audit": ("audit:audit", "The audit of server access: export, verify, reconcile"),
    "serve": ("serve:serve", "The control plane of server access"),
    "agent": ("agent:agent", "The agent of a host: enroll, run, status, remove"),
    "servers": ("servers:servers", "Servers entered by ssh: projects, tokens, inventory, devices"),
    "sandbox": (
        "sandbox:sandbox",
        "An offline Okta org and AWS that refuse what the real ones refuse",
    ),
    "demo": ("demo:demo", "The whole main job, offline, in a minute"),
}

CUT_OFF = (
    141  # whoever read stdout has gone, as a shell says it of SIGPIPE: nobody knows what was done
)


class CommandTable(click.Group):
    """Looks commands up in a table and imports them only to run them."""

    def __init__(self, *, table: Mapping[str, tuple[str, str]], **settings: Any) -> None:
        super().__init__(**settings)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.table)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Names the command that was perhaps meant."""
        if args[0] in self.table:
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches  # noqa: PLC0415 - only for who mistyped

        if near := get_close_matches(args[0], self.table, n=1):
            raise click.UsageError(f"no such command '{args[0]}', did you mean {near[0]}?", ctx)
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self.table:
            return None
        module, _, function = self.table[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(f"ostiary.cli.{module}"), function)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{function} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self.table.items()])


@click.group(
    cls=CommandTable, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="ostiary", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show a traceback with an error.")
@click.pass_context
def root(context: click.Context, *, debug: bool) -> None:
    """Keep the doors between an Okta org and AWS.

    One estate file says who may enter which AWS accounts and servers; plan, apply, and prove it by really signing in.
    """
    context.obj = {"debug": debug}


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code. ``--debug`` adds a traceback to an error."""
    as_json = "--json" in arguments
    try:
        ended = root.main(list(arguments), prog_name="ostiary", standalone_mode=False)
    except (
        click.exceptions.NoArgsIsHelpError
    ) as bare:  # a group without a command: its help, on stderr
        term.say(bare.format_message())
        return UsageError.exit_code
    except click.UsageError as wrong:
        command = wrong.ctx.command_path if wrong.ctx else "ostiary"
        what = _of_click(wrong.format_message())
        term.error(UsageError(what, fix=f"run: {command} --help"), as_json=as_json)
        return UsageError.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _interrupted()
    except OstiaryError as failure:
        _trace(arguments)
        given = given_in(arguments)
        failure.why, failure.fix = as_typed(failure.why, given), as_typed(failure.fix, given)
        term.error(failure, as_json=as_json)
        return failure.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return CUT_OFF
    except Exception as defect:  # noqa: BLE001 - whatever it is, people get the one error form
        _trace(arguments)
        if _is_of_interrupt(defect):
            return _interrupted()
        what = f"this is a defect of ostiary: {type(defect).__name__}"
        plain = [one for one in arguments if one != "--debug"]
        again = f"run: ostiary --debug {shlex.join(plain)}"
        term.error(OstiaryError(what, why=str(defect), fix=again), as_json=as_json)
        return OstiaryError.exit_code
    return ended if isinstance(ended, int) else 0  # click gives the code of an Exit


def _of_click(message: str) -> str:
    """Its sentences in one line, as ours begin and end."""
    text = " ".join(message.split()).rstrip(".")
    text = text.replace(". (Did", " (did").replace(". Choose from:", ": choose from")
    return text[:1].lower() + text[1:]


def _interrupted() -> int:
    ctrl_c.answered()
    term.say("ostiary: interrupted")
    return Interrupted.exit_code


def _is_of_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C lies behind it: where it comes in between the steps of a lock, Python's own modules fail over that
    ("release unlocked lock").
    """
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _trace(arguments: Sequence[str]) -> None:
    """The error under way, for who asked for it."""
    if "--debug" in arguments:
        traceback.print_exc()
