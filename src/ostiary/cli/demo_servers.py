"""The demo's server act: sign in at Okta, a certificate of three minutes, a shell command on a real sshd, once."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostiary.cli.demo_sshd import LABEL, NAME, Host, lacking
from ostiary.errors import OstiaryError, ProofFailed, Unreachable

if TYPE_CHECKING:
    from ostiary.doors.servers.client.control_api import Control
    from ostiary.doors.servers.wire.person import Session
    from ostiary.sandbox.seeds import Acme
    from ostiary.sandbox.serve import Listeners

Tell = Callable[[str], None]
ADMIN, OUTSIDER = "ada@acme.example", "linus@acme.example"


def servers_act(listeners: Listeners, seed: Acme, folder: Path, tell: Tell) -> Mapping[str, object]:
    """What happened, for ``demo --json``. Says plainly what this machine lacks, and which command installs it."""
    tell(
        "\nthe server door: a sign-in at Okta becomes a certificate of three minutes for one server"
    )
    if install := lacking():
        tell(f"  left out: this machine has no OpenSSH to enter; {install}")
        return {"left_out": {"OpenSSH": install}}
    from ostiary.cli.demo_control import control, home  # noqa: PLC0415 - everything heavy is imported here

    here = Path(tempfile.mkdtemp(prefix="servers-", dir=folder))
    with home(here), control(listeners, here) as url:
        return _act(seed, here, url, tell)


def _act(seed: Acme, folder: Path, url: str, tell: Tell) -> Mapping[str, object]:
    from ostiary.cli.demo_control import applied, hold, reached, signed_in  # noqa: PLC0415

    people = {one.login: one for one in seed.people}
    admin = signed_in(url, people[ADMIN])
    hold(url, admin)
    tell(f"\n$ ostiary login --control {url}")
    tell(f"  {admin.person}, by device flow with password and code; on servers: {admin.login}")
    tell(f"\n$ ostiary apply --estate servers.yaml\n{applied(folder, url)}")
    with reached(url, admin) as control, contextlib.ExitStack() as stack:
        lacks: dict[str, str] = {}
        server = _server(stack, folder, control, lacks)
        for what, why in lacks.items():
            tell(f"  left out: {what}, since here {why}")
        if server is None:
            return {"left_out": lacks}
        tell(f"\n$ ostiary agent enroll --name {NAME} --label role={LABEL}")
        tell(f"  {server.server_id}: {server.told}")
        hold(url, admin)
        shown = {"left_out": lacks, **_entered(folder, control, server, tell)}
        outsider = signed_in(url, people[OUTSIDER])
        shown["refused"] = _refused(url, outsider, server, tell)
        shown["audit"] = _audited(control, folder, tell)
    return shown


def _server(
    stack: contextlib.ExitStack, folder: Path, control: Control, lacks: dict[str, str]
) -> Host | None:
    """The most that this machine allows, running until ``stack`` ends; what is not possible goes into ``lacks``."""
    from ostiary.cli.demo_host import whole  # noqa: PLC0415
    from ostiary.cli.demo_host_private import private  # noqa: PLC0415
    from ostiary.doors.servers.wire.admin import ServersHeld  # noqa: PLC0415

    try:
        made = stack.enter_context(whole(folder / "host", control.url, _token(control)))
        if made is not None:
            return made
    except OstiaryError as failure:
        lacks["a host of its own"] = str(failure)
    try:
        for one in control.call("GET", "/v1/projects/prod/servers", kind=ServersHeld).servers:
            control.call("POST", f"/v1/servers/{one.id}/retire")
        return stack.enter_context(private(folder / "sshd", control.url, _token(control)))
    except OstiaryError as failure:
        lacks["a private sshd"] = str(failure)
    return None


def _token(control: Control) -> str:
    from ostiary.doors.servers.wire.admin import MadeToken, NewToken  # noqa: PLC0415

    path = "/v1/projects/prod/tokens"
    return control.call("POST", path, NewToken(1, 600.0), kind=MadeToken).token


def _entered(folder: Path, control: Control, server: Host, tell: Tell) -> dict[str, Any]:
    """The command run over ssh, and a certificate that somebody kept tried a second time."""
    from ostiary.cli.demo_certificate import Kept, ssh  # noqa: PLC0415
    from ostiary.doors.servers.client import ssh_config  # noqa: PLC0415

    kept = Kept.made(folder, control, server)
    facts = kept.described()
    told = f"  certificate {facts['serial']}: for {facts['principal']} alone, {facts['seconds']} s"
    shown: dict[str, Any] = {"certificate": facts}
    if not server.once:
        return {**shown, **_as_oneself(kept, told, tell)}
    config = folder / "ssh_config"
    config.write_text(ssh_config.block(kept.issued.login))
    command = 'echo "$(id -un) on $(hostname), as administrator $(sudo -n id -un)"'
    said = ssh(["-F", str(config), NAME, command])
    tell(f"\n$ ssh {NAME} '{command}'\n  {said}\n{told}")
    if said != f"{kept.issued.login} on {NAME}, as administrator root":
        raise ProofFailed("the command did not say what it must", why=said)
    kept.enter()
    try:
        again = kept.enter()
    except Unreachable as refused:
        tell(f"  ✓ refused  the same certificate a second time: {refused.why}")
        return {**shown, "form": "whole", "said": said, "second_use": "refused"}
    raise ProofFailed("a used certificate was let in again", why=again)


def _as_oneself(kept: Any, told: str, tell: Tell) -> dict[str, Any]:
    """Into a private sshd, as who runs the demo."""
    account = kept.server.account
    shown = {"form": "private sshd", "second_use": "not tried"}
    try:
        said = kept.enter()
    except Unreachable as refused:
        tell(f"{told}\n  left out: this machine's sshd does not let {account} in: {refused.why}")
        return {**shown, "said": "", "refused_by_sshd": refused.why}
    tell(f"\n$ ssh {NAME} 'echo in'\n  {said}   (as {account}, whose account stands in)\n{told}")
    tell("  not tried: a second use, which the agent's hook refuses")
    if said != "in":
        raise ProofFailed("the command did not say what it must", why=said)
    return {**shown, "said": said}


def _refused(url: str, outsider: Session, server: Host, tell: Tell) -> str:
    """The code with which somebody without a rule gets no certificate."""
    from ostiary.cli.demo_certificate import asked_for  # noqa: PLC0415
    from ostiary.cli.demo_control import reached  # noqa: PLC0415

    with reached(url, outsider) as control:
        try:
            asked_for(control, server.server_id)
        except OstiaryError as refused:
            tell(f"  ✓ refused  {outsider.person}, who signed in and has no rule: {refused.code}")
            return refused.code
    raise ProofFailed(f"{outsider.person} got a certificate", why="no rule lets them in")


def _audited(control: Control, folder: Path, tell: Tell) -> Mapping[str, object]:
    """The rows of the project, exported and verified offline."""
    from ostiary.doors.servers.audit import segment, verify  # noqa: PLC0415
    from ostiary.doors.servers.control.chain import START_HEAD  # noqa: PLC0415
    from ostiary.doors.servers.wire.admin import AuditRows, Project  # noqa: PLC0415

    project = control.call("GET", "/v1/projects/prod", kind=Project)
    rows = control.call("GET", "/v1/projects/prod/audit?after=0", kind=AuditRows).rows
    file = folder / "audit.jsonl"
    file.write_bytes(segment.beginning(project.id, START_HEAD) + segment.lines(rows))
    found = verify.verify([file], [], ())
    if found.faults:
        raise ProofFailed("the audit of the demo is not whole", why="\n".join(found.faults))
    tell(f"\n$ ostiary audit verify {file.name}\n  rows {found.first} to {found.last}, whole")
    return {"rows": found.rows, "events": sorted({row.event for row in rows})}
