"""The key of a project at the command line: made where ``--kms`` names none, and named by the project's alias."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.options import confirm
from ostiary.errors import UsageError

if TYPE_CHECKING:
    from ostiary.connect_region import Reached
    from ostiary.doors.servers.key_making import KeyMaking
    from ostiary.doors.servers.wire.admin import Authority

NEW = "new"  # what --kms says when it names no key

signer_option = click.option(
    "--signer", metavar="ARN", help="With a new key: the control plane's role."
)


def kept(key: Authority) -> str:
    """Where the private half is."""
    return "in shares" if key.use == "break-glass" else key.kms_key or "own key"


def made_first(way: Reached, name: str, signer: str | None, *, yes: bool) -> str:
    """The ARN of the key of a new project, made where it is not there yet."""
    from ostiary.doors.servers.key_making import first_key  # noqa: PLC0415

    return _made(first_key(way, name, _named(name, signer)), way, name, yes=yes)


def made_anew(way: Reached, name: str, signer: str | None, *, yes: bool) -> str:
    """The ARN of the key that a rotation goes to, made where it is not there yet."""
    from ostiary.doors.servers.key_making import another_key  # noqa: PLC0415

    return _made(another_key(way, name, _named(name, signer)), way, name, yes=yes)


def give_alias(way: Reached, name: str, arn: str) -> None:
    """Let the project's alias name this key, if it does not."""
    from ostiary.doors.servers.key_making import alias_of  # noqa: PLC0415

    making = alias_of(way, name, arn)
    making.make(making.plan())
    term.say(f"alias/ostiary/{name} is {arn}")


def _named(name: str, signer: str | None) -> str:
    if signer:
        return signer
    raise UsageError(
        f"cannot make a key for project {name}",
        why="its policy lets one role sign, and none is named",
        fix="add --signer with the ARN of the role that ostiary serve has",
    )


def _made(making: KeyMaking, way: Reached, name: str, *, yes: bool) -> str:
    made = making.plan()
    if made.writes:
        confirm(f"make a KMS key for project {name} in {way.region}", yes=yes)
    arn = making.make(made)
    term.say(f"key {arn}")
    return arn
