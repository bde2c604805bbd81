"""``ostiary servers breakglass sign`` and ``submit``: a way in signed offline, and its slip brought to the audit."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.options import json_option, not_empty
from ostiary.cli.servers_control import open_control
from ostiary.errors import UsageError

if TYPE_CHECKING:
    from ostiary.doors.servers.breakglass.sign import Signed

_ID = re.compile(r"srv_[a-z0-9]{16}", re.ASCII)
_SSH = "ssh -F none"

share_option = click.option(
    "--share",
    "share_files",
    multiple=True,
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A share; as many as are needed.",
)


@click.command()
@share_option
@click.option("--login", required=True, metavar="NAME", help="The account on the server.")
@click.option(
    "--server",
    required=True,
    metavar="ID",
    callback=not_empty,
    help="Its id: srv_…, see its host certificate.",
)
@click.option("--reason", required=True, metavar="TEXT", help="Why; it stands in the certificate.")
@click.option(
    "--seconds", default=600, show_default=True, help="How long it lets in, at most 3600."
)
@click.option("--hop", is_flag=True, help="To pass through the server only, as a bastion.")
@click.option(
    "--source-address", multiple=True, metavar="NETWORK", help="Good from there only; repeatable."
)
@click.option("--command", default="", help="Good for this command only.")
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write the key to FILE, in place of the SSH agent.",
)
@click.option(
    "--slips", metavar="FILE", type=click.Path(path_type=Path), help="Where slips are kept."
)
@json_option
def sign(
    *,
    share_files: tuple[Path, ...],
    login: str,
    server: str,
    reason: str,
    seconds: int,
    hop: bool,
    source_address: tuple[str, ...],
    command: str,
    out: Path | None,
    slips: Path | None,
    as_json: bool,
) -> None:
    """Sign a way in for minutes; the key goes into the SSH agent, or into files with --out.

    Nothing is asked of anybody. What was signed is kept in a file of slips: submit it when all is up again.
    """
    from ostiary.doors.servers.breakglass import certificate  # noqa: PLC0415
    from ostiary.doors.servers.breakglass import sign as signing  # noqa: PLC0415
    from ostiary.doors.servers.breakglass.slips import default_file  # noqa: PLC0415

    check_id(server)
    shares = signing.read_shares(share_files)
    agent = os.environ.get("SSH_AUTH_SOCK", "")
    if out is None and not agent:
        raise UsageError(
            "cannot tell where the key shall go",
            why="SSH_AUTH_SOCK is not set",
            fix="run: eval $(ssh-agent), or name a file with --out FILE",
        )
    project = shares[0].project
    wanted = certificate.Wanted(login, server, reason, seconds, hop, source_address, command)
    signed = signing.sign(shares, wanted, slips or default_file(project), int(time.time()))
    hand_over(signed, out, agent, seconds)
    if as_json:
        term.result_json(signed.as_json())
    else:
        term.result(sentence(signed, out))
    term.say(f"when all is up again: ostiary servers breakglass submit --project {project}")


def check_id(server: str) -> None:
    """UsageError for a name: hosts take a certificate for their id only, and offline nobody can be asked for it."""
    if not _ID.fullmatch(server):
        raise UsageError(
            f"cannot sign for the server {server[:64]}",
            why="it is no id as srv_abcdefghjkmnpqrs: the host's certificate says it, as its first principal",
            fix="run: ssh-keyscan -c ADDRESS | ssh-keygen -L -f -",
            code="bad-request",
        )


def hand_over(signed: Signed, out: Path | None, agent: str, seconds: int) -> None:
    from ostiary.doors.servers.breakglass.hand_over import to_agent, to_files  # noqa: PLC0415

    if out is not None:
        to_files(out, signed.key, signed.certificate)
    else:
        to_agent(agent, signed.key, signed.certificate, signed.certificate.key_id, seconds)


def sentence(signed: Signed, out: Path | None) -> str:
    made = signed.certificate
    login, _, server = made.principals[0].partition("@")
    until = time.strftime("%H:%M:%S", time.gmtime(made.valid_before))
    does, use = "lets {} in", f"enter with: {_ssh(server, out)} -l {login} ADDRESS"
    if server.endswith(".hop"):
        does = "lets {} through"
        through = _through(login, server.removesuffix(".hop"), out)
        use = f"enter what is behind it with: {_SSH} {through} -l {login} ADDRESS"
    lines = [
        f"serial {made.serial} {does.format(made.principals[0])} until {until} UTC",
        use,
        f"slip: {signed.slips_file}",
    ]
    if out is not None:
        lines.append(f"a private key is on disk now; after use: rm {out} {out}-cert.pub")
    return "\n".join(lines)


def _ssh(server: str, out: Path | None) -> str:
    """Without the configuration of ``ostiary ssh-config``, which would ask the control plane; the host is known by its id."""
    return f"{_SSH} -o HostKeyAlias={server}" + ("" if out is None else f" -i {out}")


def _through(login: str, bastion: str, out: Path | None) -> str:
    """-J gives the bastion none of the keys of -i: a key in a file wants the long form."""
    if out is None:
        return f"-J {login}@BASTION"
    return f"-i KEY -o ProxyCommand='{_ssh(bastion, out)} -W %h:%p {login}@BASTION'"


@click.command()
@click.argument("file", required=False, metavar="[FILE]", type=click.Path(path_type=Path))
@click.option("--project", required=True, metavar="NAME", callback=not_empty, help="Whose audit.")
@json_option
def submit(*, file: Path | None, project: str, as_json: bool) -> None:
    """Bring what was signed into the audit; what is there already stays as it is."""
    from ostiary.doors.servers.breakglass.slips import default_file, read  # noqa: PLC0415
    from ostiary.doors.servers.breakglass.submit import submit_all  # noqa: PLC0415

    slips = read(file or default_file(project))
    submit_all(open_control(), project, slips)
    if as_json:
        term.result_json({"submitted": len(slips)})
    else:
        term.result(f"{term.counted(len(slips), 'slip')} in the audit of {project}")
