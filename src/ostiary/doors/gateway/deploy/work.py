"""Deploys a gateway and says what became of it; the world is read, a record only keeps the flags for next time."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from ostiary.aws import machine_image
from ostiary.aws.ec2_elastic_ip import ElasticIpKind
from ostiary.aws.ec2_instance import InstanceKind, until_ready
from ostiary.aws.ec2_launch_template import LaunchTemplateKind
from ostiary.aws.ec2_security_group import SecurityGroupKind
from ostiary.aws.elb_listener import ListenerKind
from ostiary.aws.elb_load_balancer import LoadBalancerKind
from ostiary.aws.elb_target_group import TargetGroupKind
from ostiary.connect import Reached
from ostiary.doors.gateway.deploy.desired import desired
from ostiary.doors.gateway.deploy.network import find_network
from ostiary.doors.gateway.deploy.settings import DeploySettings, check
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
        InstanceKind(*parts),
        ElasticIpKind(*parts),
        LoadBalancerKind(*parts),
        TargetGroupKind(*parts),
        ListenerKind(*parts),
    )


def wanted(reached: Reached, settings: DeploySettings, image_id: str) -> tuple[Resource, ...]:
    """The objects of the gateway. Raises for flags, networks and images that do not fit; only reads."""
    check(settings)
    image = machine_image.get(reached.aws, reached.region, image_id)
    network = find_network(reached, settings)
    return desired(settings, reached.account_id, reached.region, network, image)


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
    on_event: OnEvent | None = None,
    stop: threading.Event | None = None,
) -> Outcome:
    """Do the plan; the flags are kept first, for the checklist and for the next time."""
    keep(reached, settings)
    kinds = kinds_of(reached, settings.estate)
    outcome = carry_out(reached, plan, kinds, overrides=overrides, on_event=on_event, stop=stop)
    nodes = InstanceKind(settings.estate, reached.aws, reached.region)
    for one in list(nodes._listed()):  # noqa: SLF001 - the kind's own list of what is there
        until_ready(nodes, one.key)
    return outcome


def look(reached: Reached, name: str) -> Deployed:
    """The gateway of that name. NotFound when there is nothing of it."""
    settings = load(reached, name)
    estate = settings.estate if settings else f"gateway-{name}"
    _, _, nodes_kind, addresses, balancers, _, _ = kinds_of(reached, estate)
    account_id = reached.account_id

    def listed(kind: Kind) -> list[Found]:
        reading = kind.read(account_id, {})
        if reading.why is not None:
            raise reading.why
        return sorted(reading.found, key=lambda one: one.key)

    instances = listed(nodes_kind)
    fixed = listed(addresses)
    fronts = listed(balancers)
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
        account_id,
        images.pop() if len(images) == 1 else "",
        nodes,
        address,
        bool(fronts),
        settings,
    )


def keep(reached: Reached, settings: DeploySettings) -> None:
    reached.store.put(_record(reached, settings.name), json.dumps(asdict(settings)).encode())


def load(reached: Reached, name: str) -> DeploySettings | None:
    kept = reached.store.get(_record(reached, name))
    if kept is None:
        return None
    value = json.loads(kept.data)
    lists = {key: tuple(value[key]) for key in ("admin_ranges", "from_ranges", "subnets")}
    return DeploySettings(**{**value, **lists})


def forget(reached: Reached, name: str) -> None:
    reached.store.delete(_record(reached, name))


def _record(reached: Reached, name: str) -> str:
    return f"gateway/deployments/{reached.region}-{name}.json"
