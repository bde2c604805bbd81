"""``ostiary ssh-config``: let ssh, scp, sftp, rsync and Ansible find the way by themselves."""

from __future__ import annotations

import os
import pwd
import shlex
from pathlib import Path

import click

from ostiary import term
from ostiary.errors import UsageError


@click.command("ssh-config")
@click.option("--install", is_flag=True, help="Write it, and include it in ~/.ssh/config.")
@click.option("--remove", is_flag=True, help="Take it out again.")
def ssh_config(*, install: bool, remove: bool) -> None:
    """Print the lines that make ssh enter our servers; every other host stays as it was."""
    from ostiary.doors.servers.client import place  # noqa: PLC0415
    from ostiary.doors.servers.client import ssh_config as config  # noqa: PLC0415

    if install and remove:
        raise UsageError("cannot both install and remove", fix="give --install or --remove")
    if remove:
        changed = config.remove(place.home())
    elif install:
        config.check_ssh()
        changed = config.install(place.home(), place.read_profile().login)
    else:
        term.result(config.block(place.read_profile().login).rstrip())
        return
    for file in changed:
        term.say(f"{'wrote' if file.exists() else 'removed'} {file}")
    if not changed:
        term.say("nothing to change")
    if install:
        _tell_if_unread(place.home())


def _tell_if_unread(home: Path) -> None:
    """Say it where ``ssh`` reads another home's file: it goes by the list of users, not by HOME (``ssh(1)``)."""
    try:
        read = Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return
    if read.resolve() != home.resolve():
        term.say(
            f"ssh reads {read}/.ssh/config, whatever HOME says: call it as "
            + shlex.join(("ssh", "-F", f"{home}/.ssh/config"))
        )
