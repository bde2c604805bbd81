"""``ostiary demo``: the whole main job, a gateway and a server against the embedded Okta org and AWS, on loopback."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.progress import progress
from ostiary.errors import ProofFailed

if TYPE_CHECKING:
    from ostiary.cli.refusals import Refusal
    from ostiary.doors.federation.proof_told import Proof
    from ostiary.doors.federation.sign_ins import SignInReport
    from ostiary.doors.federation.work import Work
    from ostiary.plan.plan import Plan
    from ostiary.sandbox.seeds import Acme
    from ostiary.sandbox.serve import Listeners

LEFT_OUT = "left out: Identity Center is not in this version"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the tour.")
@click.option(
    "--keep", type=click.Path(path_type=Path), metavar="FOLDER", help="Keep estate and runs there."
)
def demo(*, as_json: bool, keep: Path | None) -> None:
    """Boot an Okta org and two AWS Organizations, federate 14 accounts, sign in as everybody, deploy a gateway, ssh into a server.

    Needs nothing but this installation: no network, no root, no account anywhere.
    """
    from ostiary.cli.demo_gateway import gateway_act  # noqa: PLC0415 - everything heavy is imported here
    from ostiary.cli.demo_servers import servers_act  # noqa: PLC0415
    from ostiary.cli.refusals import try_refusals  # noqa: PLC0415
    from ostiary.doors.federation.entering import Entering  # noqa: PLC0415
    from ostiary.doors.federation.sign_ins import Secret, perform, plan_sign_ins  # noqa: PLC0415
    from ostiary.plan.guard import Overrides  # noqa: PLC0415
    from ostiary.plan.render import summary_line  # noqa: PLC0415

    started = time.monotonic()
    with _folder(keep) as folder, _booted(folder) as (listeners, seed):
        tell = _quiet if as_json else term.result
        tell(
            f"Okta org {listeners.okta_url}, AWS {listeners.aws_url}: two Organizations, {len(seed.people)} people"
        )
        work = _open(folder)
        with progress("reading") as on_event:
            made = work.plan(on_event=on_event if sys.stderr.isatty() else None)
        tell(f"\n$ ostiary plan\n{summary_line(made)}")
        with progress("applying") as on_event:
            outcome = work.apply(
                made, overrides=Overrides(), on_event=on_event if sys.stderr.isatty() else None
            )
        outcome.raise_for_result()
        proof = work.prove()
        tell(
            f"\n$ ostiary apply\n{len(outcome.done)} changes done, each journalled first\n{proof.sentence()}"
        )

        secrets = {one.login: Secret(one.password, one.totp_secret) for one in seed.people}
        entering = Entering(work.connected)
        planned = plan_sign_ins(work.estate, work.desired(), secrets)
        report = perform(planned, secrets, entering.open_app, entering.enter)
        tell(
            "\nsigning in as everybody: Okta session, assertion, AssumeRoleWithSAML, GetCallerIdentity"
        )
        tell(_who_got_what(work, report))
        refusals = try_refusals(listeners.world, entering, work.estate.consoles["std"], secrets)
        tell("\nwhat must not work")
        for refusal in refusals:
            tell(
                f"  {'✓ refused' if refusal.refused else '✗ ACCEPTED'}  {refusal.what:<40} {refusal.code}"
            )
        second = _open(folder).plan()
        tell(f"\n$ ostiary plan\n{summary_line(second)}")
        gateway = gateway_act(folder, tell)
        servers = servers_act(listeners, seed, folder, tell)
        acts = {"gateway": gateway, "servers": servers}
        summary = {**_summary(work, report, refusals, second, proof), **acts}
        if as_json:
            term.result_json(summary)
        tell(f"\n{time.monotonic() - started:.0f} s. {LEFT_OUT}")
    _judge(report, refusals, second)


def _quiet(text: str) -> None:
    del text


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="ostiary-demo-") as name:
        yield Path(name)


@contextmanager
def _booted(folder: Path) -> Iterator[tuple[Listeners, Acme]]:
    """A sandbox in this process, and its environment in ours while it lives."""
    from ostiary.sandbox.daemon import environment, write_aws_files  # noqa: PLC0415
    from ostiary.sandbox.seeds import acme  # noqa: PLC0415
    from ostiary.sandbox.serve import Listeners  # noqa: PLC0415
    from ostiary.sandbox.world import World  # noqa: PLC0415

    world = World()
    seed = acme(world)
    listeners = Listeners(world, folder)
    write_aws_files(seed, folder)
    before = dict(os.environ)
    os.environ.update(environment(seed, listeners, folder))
    listeners.start()
    try:
        yield listeners, seed
    finally:
        listeners.stop()
        os.environ.clear()
        os.environ.update(before)


def _open(folder: Path) -> Work:
    from importlib.resources import files  # noqa: PLC0415

    from ostiary.doors.federation.work import open_estate  # noqa: PLC0415
    from ostiary.settings import load  # noqa: PLC0415

    estate = folder / "estate.yaml"
    estate.write_text(files("ostiary.sandbox").joinpath("acme.yaml").read_text("utf-8"))
    return open_estate(load(estate_file=str(estate)), "apply")


def _who_got_what(work: Work, report: SignInReport) -> str:
    names = {account.id: account.name for account in work.survey().accounts}
    roles: dict[str, dict[str, list[str]]] = {}
    for one in report.results:
        mine = roles.setdefault(one.sign_in.login, {})
        for entitlement in sorted(one.entered):
            mine.setdefault(entitlement.role, []).append(names[entitlement.account_id])
    lines = []
    for login, mine in sorted(roles.items()):
        if not mine:
            lines.append(f"  {login:<26} no role, no app: turned away by Okta")
        for index, (role, accounts) in enumerate(sorted(mine.items())):
            lines.append(f"  {login if index == 0 else '':<26} {role:<14} {_few(accounts)}")
    failed = [one for one in report.results if not one.holds]
    lines += [
        f"  ✗ {one.sign_in.login} at {one.sign_in.console.name}: {one.error or one.refusals}"
        for one in failed
    ]
    lines.append(f"  {report.succeeded} of {report.expected} expected sign-ins succeeded")
    return "\n".join(lines)


def _few(names: list[str], most: int = 4) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _summary(
    work: Work, report: SignInReport, refusals: tuple[Refusal, ...], second: Plan, proof: Proof
) -> Mapping[str, object]:
    reached = {entitlement for one in report.results for entitlement in one.entered}
    return {
        "accounts": len({entitlement.account_id for entitlement in reached}),
        "partitions": sorted({entitlement.partition for entitlement in reached}),
        "roles": len(reached),
        "people": len({one.sign_in.login for one in report.results}),
        "sign_ins": {
            "expected": report.expected,
            "succeeded": report.succeeded,
            "holds": report.holds,
        },
        "refusals": {
            "expected": len(refusals),
            "refused": sum(one.refused for one in refusals),
            "cases": [one.as_json() for one in refusals],
        },
        "proof": proof.as_json(),
        "second_plan_changes": len(second.changes) + len(second.unread),
        "estate": work.estate.name,
    }


def _judge(report: SignInReport, refusals: tuple[Refusal, ...], second: Plan) -> None:
    wrong = [
        f"{one.sign_in.login} at {one.sign_in.console.name}"
        for one in report.results
        if not one.holds
    ]
    wrong += [f"accepted: {one.what}" for one in refusals if not one.refused]
    wrong += [f"second plan: {change.action} {change.key}" for change in second.changes]
    if wrong:
        raise ProofFailed("the demo did not come out as it must", why="; ".join(wrong[:10]))
