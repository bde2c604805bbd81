"""``ostiary login`` and ``logout``: who somebody is at the Okta org, held by the resident agent of this machine."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.options import json_option
from ostiary.errors import Denied, OstiaryError, UsageError

if TYPE_CHECKING:
    from ostiary.doors.servers.client.control_api import Control
    from ostiary.doors.servers.client.issuer import Issuer, Tokens
    from ostiary.doors.servers.client.place import Profile
    from ostiary.doors.servers.wire.person import Session

REVOKED = "device-revoked"
WAITING = "waiting until you have; Ctrl-C gives up"


@click.command()
@click.option("--control", metavar="URL", help="The control plane [the last one, OSTIARY_CONTROL].")
@click.option("--ca", metavar="FILE", help="Authority of its certificate, PEM [the system's].")
@click.option("--browser", is_flag=True, help="Sign in in a browser on this machine, with no code.")
@click.option("--step-up", is_flag=True, help="Sign in as strongly as the last refusal asked for.")
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    metavar="PORT",
    help="Where the browser comes back: 127.0.0.1:PORT [8259].",
)
@click.option("--machine", metavar="NAME", help="Sign in as this machine principal.")
@click.option("--token-file", metavar="FILE", help="Its pipeline's OIDC token; - for stdin.")
@click.option("--key-file", metavar="FILE", help="Its own private key, a JWK.")
@click.option("--aws", is_flag=True, help="Its proof is the AWS role that this runs in.")
@json_option
def login(
    *,
    control: str | None,
    ca: str | None,
    browser: bool,
    step_up: bool,
    port: int | None,
    machine: str | None,
    token_file: str | None,
    key_file: str | None,
    aws: bool,
    as_json: bool,
) -> None:
    """Sign in at the Okta org, so that ssh, scp and everything over them enter servers.

    Without --browser, a code is shown that can be entered in a browser anywhere. A small agent holds the
    sign-in until it ends; no key and no certificate for ssh is ever written to disk.
    """
    from ostiary.doors.servers.client import begin  # noqa: PLC0415 - as all below
    from ostiary.doors.servers.client.closed import close_to_others  # noqa: PLC0415
    from ostiary.doors.servers.client.control_api import Control  # noqa: PLC0415

    close_to_others()  # this process holds the tokens of the org, and the session until the agent has it
    proofs = sum(map(bool, (token_file, key_file, aws)))
    if proofs != (1 if machine else 0):
        why = "--machine goes with exactly one of --token-file, --key-file and --aws"
        raise UsageError("cannot sign in as a machine", why=why, fix="run: ostiary login --help")
    profile = _profile(control, ca)
    if not control:
        _tell_another(profile.control)
    begin.check_places()
    with Control(profile.control, profile.ca) as reached:
        if machine:
            from ostiary.cli import login_machine  # noqa: PLC0415

            kind, proof = login_machine.proof(machine, profile.control, token_file, key_file)
            session = begin.machine(reached, machine, kind, proof)
        else:
            session = _person(reached, browser=browser, step_up=step_up, port=port)
    before = begin.who()
    begin.hold(begin.profile_of(profile, session), session)
    if before and before["person"] != session.person:
        term.say(f"! {before['person']} was signed in here, and is no more")
    _tell(session, profile, as_json=as_json)


def _profile(control: str | None, ca: str | None) -> Profile:
    from ostiary.doors.servers.client import place  # noqa: PLC0415

    known = place.read_profile()
    if control:
        _check_scheme(control)
    if control and control.rstrip("/") != known.control:
        known = replace(known, control=control.rstrip("/"), ca="")
    if ca:
        known = replace(known, ca=str(Path(ca).absolute()))
    if not known.control:
        raise UsageError(
            "cannot tell which control plane",
            why="nobody signed in here before",
            fix="run: ostiary login --control URL",
        )
    if ca and known.control.startswith("https:"):
        _check_authority(ca)
    return known


def _tell_another(control: str) -> None:
    """Of a control plane that a variable names, before it is shown who somebody is: it may be somebody else's."""
    from ostiary.doors.servers.client import place  # noqa: PLC0415

    before = place.last_profile().control
    if before and before != control:
        term.say(f"! OSTIARY_CONTROL names {control}; the last sign-in was at {before}")


def _check_scheme(control: str) -> None:
    """UsageError for HOST:PORT alone, which says everything but the scheme."""
    from ostiary.doors.servers.client.bounded_http import loopback, plain  # noqa: PLC0415

    if "://" in control or not plain(control):
        return
    host = control.partition("/")[0].rpartition(":")[0] or control
    scheme = "http" if loopback(host.strip("[]")) else "https"
    raise UsageError(
        f"cannot use {control!r}",
        why="it is no URL of the form https://HOST[:PORT]",
        fix=f"run: ostiary login --control {scheme}://{control}",
    )


def _check_authority(ca: str) -> None:
    """UsageError for what is no file of certificates, in words of the option: a variable can name one too."""
    from ostiary.doors.servers.client import bounded_http  # noqa: PLC0415

    try:
        bounded_http.tls(ca)
    except UsageError as wrong:
        fix = "name a file of certificates in PEM with: --ca FILE"
        raise UsageError(wrong.what, why=wrong.why, fix=fix) from wrong


def _person(control: Control, *, browser: bool, step_up: bool, port: int | None) -> Session:
    from ostiary.doors.servers.client import begin, issuer, place  # noqa: PLC0415
    from ostiary.doors.servers.wire.person import SignInSettings  # noqa: PLC0415

    found = issuer.discover(control.call("GET", "/v1/sign-in", kind=SignInSettings))
    if step_up:
        acr_values, max_age = _asked_for()
        tokens = _in_browser(found, port, acr_values, max_age)
    elif browser:
        tokens = _in_browser(found, port)
    else:
        tokens = issuer.by_device(found, _show)
    try:
        return begin.person(control, tokens)
    except Denied as refused:
        if refused.code == REVOKED:  # and stays so: the control plane cannot know where the key is
            key = shlex.quote(str(place.config_folder() / "device.key"))
            refused.fix = f"if it is yours again, make it a new device: rm {key} && ostiary login"
        raise


def _show(address: str, code: str, both: str) -> None:
    term.say(f"sign in at: {both}")
    term.say(f"or enter the code {code} at: {address}")
    term.say(WAITING)


def _asked_for() -> tuple[str, int | None]:
    """What the last refusal wants: ``acr_values``, and an age of the sign-in, which a new one always has."""
    from ostiary.doors.servers.client import begin  # noqa: PLC0415

    who = begin.who()
    acr_values = str(who["acr_values"]) if who else ""
    if not who or not (acr_values or who["max_age"]):
        raise Denied(
            "cannot tell what a stronger sign-in is",
            why="no server was refused for want of one since the last sign-in",
            fix="run: ostiary login",
            code="no-step-up",
        )
    return acr_values, 0 if who["max_age"] else None


def _in_browser(
    found: Issuer, port: int | None, acr_values: str = "", max_age: int | None = None
) -> Tokens:
    from ostiary.doors.servers.client import browser, code_flow  # noqa: PLC0415

    with browser.Returning(port or browser.PORT) as returning:
        code = code_flow.begin_code(found, returning.address, acr_values, max_age)
        browser.show(code.url, term.say, port or browser.PORT)
        term.say(WAITING)
        return code_flow.redeem(found, code, returning.wait(state=code.state))


def _tell(session: Session, profile: Profile, *, as_json: bool) -> None:
    if as_json:
        term.result_json(
            {
                "person": session.person,
                "login": session.login,
                "expires": session.expires,
                "control": profile.control,
                "device": session.device,
            }
        )
        return
    from ostiary.doors.servers.client.credentials import GIVEN  # noqa: PLC0415

    if os.environ.get(GIVEN):
        term.say(f"! {GIVEN} is set: commands go on by the token in that file, not by this sign-in")
    until = _moment(datetime.fromtimestamp(session.expires).astimezone())
    term.result(f"{session.person} is signed in until {until}; on servers: {session.login}")
    if not _ssh_knows():
        term.say("for ssh, scp and the rest to know: ostiary ssh-config --install")


def _moment(until: datetime) -> str:
    """The time of day, after the day of the week where it is another."""
    today = datetime.now().astimezone().date()
    return f"{until:%H:%M}" if until.date() == today else f"{until:%a %H:%M}"


def _ssh_knows() -> bool:
    from ostiary.doors.servers.client import ssh_config  # noqa: PLC0415

    return ssh_config.installed()


@click.command()
def logout() -> None:
    """End the sign-in, here and at the control plane. Connections that are open stay so."""
    from ostiary.doors.servers.client import begin  # noqa: PLC0415
    from ostiary.doors.servers.client.credentials import GIVEN, signed_in  # noqa: PLC0415

    if begin.who() is None:
        term.say("nobody is signed in here")
        return
    with signed_in({name: one for name, one in os.environ.items() if name != GIVEN}) as control:
        try:
            begin.sign_out(control)
        except OstiaryError as error:
            raise type(error)(
                "signed out here only",
                why=f"{error.what}: {error.why}",
                fix="nothing is left here by which it could be used; there it ends by itself within 12 hours",
                code=error.code,
            ) from error
    term.say("signed out")
