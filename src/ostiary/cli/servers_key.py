"""The key of a project at the command line: made where ``--kms`` names none, and named by the project's alias."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.options import F, confirm
from ostiary.errors import NotFound, Partial, UsageError

if TYPE_CHECKING:
    from ostiary.connect_region import Reached
    from ostiary.doors.servers.key_making import KeyMaking
    from ostiary.doors.servers.wire.admin import Authority

NEW = "new"  # what --kms says when it names no key
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+", re.ASCII)

signer_option = click.option(
    "--signer", metavar="ARN", help="With a new key: the control plane's role."
)


def kms_option(text: str) -> Callable[[F], F]:
    return click.option(
        "--kms", metavar="[ARN]", is_flag=False, flag_value=NEW, default="", help=text
    )


def check_signer(name: str, signer: str | None, kms: str) -> None:
    """UsageError where the role goes with no key, so that nobody takes a key of the control plane's own for one in KMS."""
    if signer is None or kms == NEW:
        return
    raise UsageError(
        f"cannot let a role sign for project {name}",
        why="--signer is for a key that is made here, by --kms without ARN",
        fix="add --kms behind --signer ARN, or leave --signer out",
    )


def kept(key: Authority) -> str:
    """Where the private half is."""
    return "in shares" if key.use == "break-glass" else key.kms_key or "own key"


def made_first(way: Reached, name: str, signer: str | None, *, yes: bool) -> str:
    """The ARN of the key of a new project, made where it is not there yet."""
    from ostiary.doors.servers.key_making import first_key  # noqa: PLC0415

    role = _named(name, signer)
    return _made(first_key(way, name, role), way, name, role, yes=yes)


def made_anew(way: Reached, name: str, signer: str | None, *, yes: bool) -> str:
    """The ARN of the key that a rotation goes to, made where it is not there yet."""
    from ostiary.doors.servers.key_making import another_key  # noqa: PLC0415

    role = _named(name, signer)
    return _made(another_key(way, name, role), way, name, role, yes=yes)


def give_alias(way: Reached, name: str, arn: str) -> None:
    """Let the project's alias name this key, if it does not."""
    from ostiary.doors.servers.key_making import alias_of  # noqa: PLC0415

    making = alias_of(way, name, arn)
    making.make(making.plan())
    term.say(f"alias/ostiary/{name} is {arn}")


def _named(name: str, signer: str | None) -> str:
    if signer and _ROLE.fullmatch(signer):
        return signer
    why = f"{signer!r} is no ARN of a role" if signer else "none is named"
    raise UsageError(
        f"cannot make a key for project {name}",
        why=f"its policy lets one role sign, and {why}",
        fix="add --signer with the ARN of the role that ostiary serve has",
    )


def _made(making: KeyMaking, way: Reached, name: str, signer: str, *, yes: bool) -> str:
    made = making.plan()
    if made.writes:
        confirm(f"make a KMS key for project {name} in {way.region}", yes=yes)
    try:
        arn = making.make(made)
    except Partial as failed:
        if "MalformedPolicyDocument" not in failed.why:
            raise
        raise NotFound(
            f"cannot make a key for project {name}",
            why=f"KMS knows no role {signer} that its policy could name",
            fix=f"see it with: aws iam get-role --role-name {signer.rpartition('/')[2]}",
            code="MalformedPolicyDocumentException",
        ) from failed
    term.say(f"key {arn}")
    return arn
