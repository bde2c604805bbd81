"""``ostiary gateway deploy``: a file or an AMI into running nodes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.gateway_destroy import destroy
from ostiary.cli.gateway_import import run_import, sentence
from ostiary.cli.gateway_plan import ALLOW, show
from ostiary.cli.gateway_reach import reach, reach_options
from ostiary.cli.options import confirm, details_option, estate_option, json_option
from ostiary.cli.progress import progress, stopping
from ostiary.cli.typed import as_typed
from ostiary.errors import Partial

if TYPE_CHECKING:
    from ostiary.doors.gateway.deploy.probes import Probe
    from ostiary.doors.gateway.deploy.work import Deployed

__all__ = ["deploy", "destroy"]


@click.command()
@click.argument("source", metavar="FILE|AMI")
@click.option("--name", required=True, help="Of this gateway: 2 to 25 of a-z, 0-9, -.")
@click.option(
    "--admin-range", multiple=True, metavar="CIDR", help="From where SSH is allowed; repeatable."
)
@click.option(
    "--from",
    "from_ranges",
    multiple=True,
    metavar="CIDR",
    help="From where people come [anywhere].",
)
@click.option(
    "--size", default="medium", help="small, medium, large, or an instance type [medium]."
)
@click.option("--nodes", default=1, type=int, help="More than one: a load balancer in front [1].")
@click.option("--certificate", default="", metavar="ARN", help="Of ACM, for the load balancer.")
@click.option("--domain", default="", help="Host name of the gateway.")
@click.option("--internal", is_flag=True, help="No public address.")
@click.option(
    "--admin-ui", is_flag=True, help="Let the admin ranges reach port 443 of nodes behind it too."
)
@click.option("--vpc", default="", metavar="ID", help="[the default VPC]")
@click.option("--subnet", "subnets", multiple=True, metavar="ID", help="[one a zone]; repeatable.")
@click.option("--route", default="auto", help="How a FILE is imported [auto].")
@click.option("--expect-digest", default="", metavar="SHA256", help="What Okta's page says.")
@click.option("--accept-unsigned", is_flag=True, help="Import a file without manifest.")
@click.option("--only-node", default="", metavar="NAME", help="Replace no other node in this run.")
@click.option("--no-probe", is_flag=True, help="Do not ask the gateway whether it answers.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@ALLOW
@reach_options
@estate_option
@details_option
@json_option
def deploy(
    *,
    source: str,
    name: str,
    admin_range: tuple[str, ...],
    from_ranges: tuple[str, ...],
    size: str,
    nodes: int,
    certificate: str,
    domain: str,
    internal: bool,
    admin_ui: bool,
    only_node: str,
    vpc: str,
    subnets: tuple[str, ...],
    route: str,
    expect_digest: str,
    accept_unsigned: bool,
    no_probe: bool,
    yes: bool,
    allow_deletions: tuple[str, ...],
    region: str | None,
    profile: str | None,
    runs: str | None,
    estate_file: str | None,
    details: bool,
    as_json: bool,
) -> None:
    """Bring an appliance FILE, or an AMI, to running gateway nodes; run again, only differences are made.

    A node whose AMI or size changes is replaced, and starts empty: with several, take --only-node, one after another.
    """
    from ostiary.doors.gateway.deploy import health, work  # noqa: PLC0415 - clients are built only by commands that call
    from ostiary.doors.gateway.deploy.settings import DeploySettings, check, ranges  # noqa: PLC0415
    from ostiary.doors.gateway.importing.settings import ImportSettings  # noqa: PLC0415
    from ostiary.plan.guard import Overrides  # noqa: PLC0415

    settings = DeploySettings(
        name=name,
        admin_ranges=ranges(admin_range),
        from_ranges=ranges(from_ranges or ("0.0.0.0/0",)),
        size=size,
        nodes=nodes,
        certificate=certificate,
        internal=internal,
        domain=domain,
        vpc=vpc,
        subnets=subnets,
        admin_ui=admin_ui,
    )
    check(settings)
    overrides = Overrides.parse(allow_deletions, ())
    reached = reach(estate_file=estate_file, region=region, profile=profile, runs=runs)
    work.check_place(reached, settings)
    image_id = source
    if not source.startswith("ami-"):
        asked = ImportSettings(
            route=route, expect_digest=expect_digest, accept_unsigned=accept_unsigned
        )
        imported = run_import(reached, Path(source), asked)
        image_id = imported.image_id
        term.say(sentence(imported))
    resources = work.wanted(reached, settings, image_id, only_node)
    with progress("reading") as on_event:
        made = work.plan_deploy(reached, settings, resources, on_event)
    show(made, as_json=as_json, details=details)
    if made.writes:
        changes = term.counted(len(made.writes), "change")
        if any(one.action == "replace" and one.key.kind == "ec2-instance" for one in made.writes):
            term.say("! a node that is replaced starts empty: have a backup outside of it first")
        confirm(f"make {changes} for gateway {name} in {reached.region}", yes=yes)
        stop = threading.Event()
        with stopping(stop, reached.stopping), progress("deploying") as on_event:
            work.apply_deploy(
                reached,
                settings,
                made,
                overrides=overrides,
                image_id=image_id,
                on_event=on_event,
                stop=stop,
            )
    with progress("checking"):
        ailing = health.ailing(reached, name, waiting=bool(made.writes))
    deployed = work.look(reached, name)
    probes = () if no_probe or internal else _probed(deployed)
    _tell(deployed, probes, as_json=as_json)
    silent = [one for one in probes if one.needed and one.state != "alive"]
    if ailing or silent:
        raise Partial(
            f"gateway {name} is made, and is not well yet",
            why="\n".join((*ailing, *(f"{one.target}: {one.state}, {one.told}" for one in silent))),
            fix="it may still be starting: run the same command again in some minutes",
        )


def _probed(deployed: Deployed) -> tuple[Probe, ...]:
    from ostiary.doors.gateway.deploy.probes import probe_api, probe_tls  # noqa: PLC0415

    if not deployed.address:
        return ()
    domain = deployed.settings.domain if deployed.settings else ""
    with progress("probing"):
        secure = probe_tls(deployed.address)
        if secure.state != "alive":
            return (secure,)
        return (secure, probe_api(deployed.address, domain))


def _tell(deployed: Deployed, probes: tuple[Probe, ...], *, as_json: bool) -> None:
    if as_json:
        shown = [{"target": p.target, "state": p.state, "told": p.told} for p in probes]
        term.result_json({**deployed.as_json(), "probes": shown})
        return
    rows = [
        (one.name, one.instance_id, one.state, one.private_ip, one.public_ip)
        for one in deployed.nodes
    ]
    term.result("\n" + term.table(("node", "instance", "state", "inside", "outside"), rows))
    what = "load balancer" if deployed.balanced else "address"
    term.result(f"\n{what} {deployed.address}")
    for one in probes:
        term.result(f"{one.target}: {one.state}, {one.told}")
    term.say(
        as_typed(f"next: ostiary gateway checklist {deployed.name} --region {deployed.region}")
    )
