"""Deploys a gateway and says what became of it, as the world has it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from ostiary.aws import instance_type, machine_image
from ostiary.aws.ec2_elastic_ip import ElasticIpKind
from ostiary.aws.ec2_instance import InstanceKind
from ostiary.aws.ec2_launch_template import LaunchTemplateKind
from ostiary.aws.ec2_security_group import SecurityGroupKind
from ostiary.aws.elb_listener import ListenerKind
from ostiary.aws.elb_load_balancer import LoadBalancerKind
from ostiary.aws.elb_target_group import TargetGroupKind
from ostiary.connect_region import Reached
from ostiary.doors.gateway.deploy.desired import desired
from ostiary.doors.gateway.deploy.fitting import check_type
from ostiary.doors.gateway.deploy.network import find_network
from ostiary.doors.gateway.deploy.record import keep, load
from ostiary.doors.gateway.deploy.settings import DeploySettings, check, check_region
from ostiary.doors.gateway.deploy.standing import staying
from ostiary.doors.gateway.engine import carry_out, plan_for
from ostiary.errors import NotFound
from ostiary.plan.change import OnEvent, Plan
from ostiary.plan.guard import Overrides
from ostiary.plan.outcome import Outcome
from ostiary.plan.resource import Found, Kind, Resource


@dataclass(frozen=True, slots=True)
class Node:
    name: str
    instance_id: str
    state: str
    private_ip: str
    public_ip: str


@dataclass(frozen=True, slots=True)
class Deployed:
    """A gateway as it stands. ``address`` is what DNS should lead to: an IP address, or a load balancer's name."""

    name: str
    region: str
    account_id: str
    image_id: str
    nodes: tuple[Node, ...]
    address: str
    balanced: bool
    settings: DeploySettings | None

    def as_json(self) -> Mapping[str, object]:
        return {
            "name": self.name,
            "region": self.region,
            "account": self.account_id,
            "ami": self.image_id or None,
            "nodes": [asdict(one) for one in self.nodes],
            "address": self.address or None,
            "load_balancer": self.balanced,
            "domain": (self.settings.domain if self.settings else "") or None,
        }


def kinds_of(reached: Reached, estate: str) -> tuple[Kind, ...]:
    """In the order of creation; deleted in the reverse."""
    parts = (estate, reached.aws, reached.region)
    return (
        SecurityGroupKind(*parts),
        LaunchTemplateKind(*parts),
        TargetGroupKind(*parts),
        InstanceKind(*parts),
        ElasticIpKind(*parts),
        LoadBalancerKind(*parts),
        ListenerKind(*parts),
    )


def check_place(reached: Reached, settings: DeploySettings) -> None:
    """Raises for what would only be refused after an appliance of gigabytes was imported; only reads."""
    check(settings)
    check_region(settings, reached.region)
    check_type(instance_type.get(reached.aws, reached.region, settings.instance_type))
    find_network(reached, settings)


def wanted(
    reached: Reached, settings: DeploySettings, image_id: str, only: str = ""
) -> tuple[Resource, ...]:
    """The objects of the gateway; ``only`` names the one node that may be replaced. Raises for what does not fit; only reads."""
    check(settings)
    check_region(settings, reached.region)
    image = machine_image.get(reached.aws, reached.region, image_id)
    about = instance_type.get(reached.aws, reached.region, settings.instance_type)
    network = find_network(reached, settings)
    made = desired(settings, reached.account_id, reached.region, network, image, about=about)
    kinds = kinds_of(reached, settings.estate)
    standing = {
        one.key: one
        for kind in kinds
        if kind.name in ("ec2-instance", "elb-load-balancer")
        for one in listed(reached, kind)
    }
    return staying(made, standing, named=bool(settings.subnets), only=only)


def plan_deploy(
    reached: Reached,
    settings: DeploySettings,
    resources: Sequence[Resource],
    on_event: OnEvent | None = None,
) -> Plan:
    kinds = kinds_of(reached, settings.estate)
    return plan_for(reached, settings.estate, resources, kinds, on_event)


def apply_deploy(
    reached: Reached,
    settings: DeploySettings,
    plan: Plan,
    *,
    overrides: Overrides,
    image_id: str = "",
    on_event: OnEvent | None = None,
    stop: threading.Event | None = None,
) -> Outcome:
    """Do the plan; the flags are kept first, for the checklist and for the next time."""
    keep(reached, settings, image_id)
    kinds = kinds_of(reached, settings.estate)
    return carry_out(reached, plan, kinds, overrides=overrides, on_event=on_event, stop=stop)


def estate_of(reached: Reached, name: str) -> str:
    """The mark of everything of the gateway of that name."""
    return (load(reached, name) or DeploySettings(name, ())).estate


def listed(reached: Reached, kind: Kind) -> list[Found]:
    """All of a kind that is there; the error of a listing that could not be read."""
    reading = kind.read(reached.account_id, {})
    if reading.why is not None:
        raise reading.why
    return sorted(reading.found, key=lambda one: one.key)


def look(reached: Reached, name: str) -> Deployed:
    """The gateway of that name. NotFound when there is nothing of it."""
    settings = load(reached, name)
    estate = settings.estate if settings else f"gateway-{name}"
    _, _, _, nodes_kind, addresses, balancers, _ = kinds_of(reached, estate)
    instances = listed(reached, nodes_kind)
    fixed = listed(reached, addresses)
    fronts = listed(reached, balancers)
    if not (instances or fixed or fronts):
        raise NotFound(
            f"no gateway {name} in {reached.region}",
            why="no instance, address or load balancer bears its mark",
            fix=f"deploy it: ostiary gateway deploy FILE --name {name} --admin-range CIDR",
        )
    nodes = tuple(
        Node(
            one.key.name.partition("/")[2],
            one.ids["id"],
            one.ids["state"],
            one.ids["private_ip"],
            one.ids["public_ip"],
        )
        for one in instances
    )
    images = {str(one.attributes["image"]) for one in instances}
    address = fronts[0].ids["dns"] if fronts else fixed[0].ids["address"] if fixed else ""
    if not address and nodes:
        address = nodes[0].private_ip
    return Deployed(
        name,
        reached.region,
        reached.account_id,
        images.pop() if len(images) == 1 else "",
        nodes,
        address,
        bool(fronts),
        settings,
    )
