"""What a gateway consists of: settings, network and AMI in, wanted objects out. Pure.

One node: an instance with an address of its own. Several: a load balancer in front, which alone may reach their port 443.
Port 22 is open to administrators; 22 and 443 between nodes, because Okta's high availability copies its configuration by
SSH, and a node that joins asks the admin node by HTTPS. Source: Okta, "Firewall and access requirements", "Load balancers".
"""

from __future__ import annotations

from ostiary.aws.elb_listener import TLS_POLICY
from ostiary.aws.instance_type import InstanceType
from ostiary.aws.machine_image import MachineImage
from ostiary.doors.gateway.deploy.fitting import check_image, check_type
from ostiary.doors.gateway.deploy.network import Network
from ostiary.doors.gateway.deploy.settings import DeploySettings
from ostiary.plan.resource import Key, Ref, Resource, Value

STICKY = 8 * 3600  # seconds: a working day
ANYWHERE: list[Value] = [
    {"protocol": "-1", "from": -1, "to": -1, "source": "0.0.0.0/0", "description": ""}
]


def desired(
    settings: DeploySettings,
    account_id: str,
    region: str,
    network: Network,
    image: MachineImage,
    *,
    about: InstanceType,
) -> tuple[Resource, ...]:
    """Every object of the gateway. UsageError if the AMI cannot start as what was asked."""
    check_type(about)
    check_image(image, about)
    names = _Names(settings.name, account_id, region)
    groups = _groups(settings, names, network)
    template = _template(settings, names, image)
    nodes = tuple(
        _node(settings, names, network, image, number) for number in range(settings.nodes)
    )
    if not settings.balanced:
        address = () if settings.internal else (_address(names),)
        return (*groups, template, *nodes, *address)
    return (*groups, template, *nodes, *_front(settings, names, network))


class _Names:
    """Keys of the objects of one gateway."""

    def __init__(self, name: str, account_id: str, region: str) -> None:
        self._name, self._account, self._region = name, account_id, region

    def key(self, kind: str, part: str) -> Key:
        short = f"{self._name}-{part}" if part else self._name
        return Key(kind, self._account, f"{self._region}/{short}")

    def ref(self, kind: str, part: str, attribute: str = "id") -> Ref:
        return Ref(self.key(kind, part), attribute)


_GROUP, _TEMPLATE, _NODE = "ec2-security-group", "ec2-launch-template", "ec2-instance"
_BALANCER, _TARGETS = "elb-load-balancer", "elb-target-group"


def _groups(settings: DeploySettings, names: _Names, network: Network) -> tuple[Resource, ...]:
    people: list[Value] = [_rule(443, one, "people") for one in settings.from_ranges]
    admins: list[Value] = [_rule(22, one, "administrators") for one in settings.admin_ranges]
    if not settings.balanced:
        plain = [_rule(80, one, "people, redirected") for one in settings.from_ranges]
        return (_group(names, "nodes", network, "gateway nodes", [*people, *plain, *admins]),)
    front = [*people, *(_rule(80, one, "people, redirected") for one in settings.from_ranges)]
    screens = [_rule(443, one, "admin UI") for one in settings.admin_ranges]
    inside: list[Value] = [
        *(screens if settings.admin_ui else ()),
        _rule(443, names.ref(_GROUP, "front"), "load balancer"),
        _rule(443, names.ref(_GROUP, "members"), "nodes that join"),
        _rule(22, names.ref(_GROUP, "members"), "configuration of other nodes"),
        *admins,
    ]
    return (
        _group(names, "front", network, "gateway load balancer", front),
        _group(names, "members", network, "gateway nodes among themselves", []),
        _group(names, "nodes", network, "gateway nodes", inside),
    )


def _group(
    names: _Names, part: str, network: Network, description: str, ingress: list[Value]
) -> Resource:
    wanted: dict[str, Value] = {
        "vpc": network.vpc,
        "description": description,
        "ingress": ingress,
        "egress": ANYWHERE,
    }
    return Resource(names.key(_GROUP, part), wanted)


def _rule(port: int, source: str | Ref, description: str) -> Value:
    return {
        "protocol": "tcp",
        "from": port,
        "to": port,
        "source": source,
        "description": description,
    }


def _group_refs(settings: DeploySettings, names: _Names) -> list[Value]:
    parts = ("nodes", "members") if settings.balanced else ("nodes",)
    return [names.ref(_GROUP, part) for part in parts]


def _template(settings: DeploySettings, names: _Names, image: MachineImage) -> Resource:
    wanted: dict[str, Value] = {
        "image": image.id,
        "type": settings.instance_type,
        "root_device": image.root_device,
        "root_size": image.sizes[image.root_device],
        "security_groups": _group_refs(settings, names),
        "root_type": "gp3",
        "encrypted": True,
        "tokens": "required",
        "hops": 1,
        "ebs_optimized": True,
        "monitoring": True,
        "protected": True,
    }
    return Resource(names.key(_TEMPLATE, ""), wanted)


def _node(
    settings: DeploySettings, names: _Names, network: Network, image: MachineImage, number: int
) -> Resource:
    """Each node comes after the one before it: so one is replaced at a time, and the first is the admin node."""
    wanted: dict[str, Value] = {
        "template": names.ref(_TEMPLATE, ""),
        "image": image.id,
        "type": settings.instance_type,
        "subnet": network.subnets[number % len(network.subnets)],
        "security_groups": _group_refs(settings, names),
        "target_groups": [names.ref(_TARGETS, "")] if settings.balanced else [],
        "metadata": "v2",
        "protected": True,
    }
    before = frozenset({names.key(_NODE, str(number))} if number else ())
    return Resource(names.key(_NODE, str(number + 1)), wanted, after=before)


def _address(names: _Names) -> Resource:
    return Resource(names.key("ec2-elastic-ip", "1"), {"instance": names.ref(_NODE, "1")})


def _front(settings: DeploySettings, names: _Names, network: Network) -> tuple[Resource, ...]:
    balancer: dict[str, Value] = {
        "scheme": "internal" if settings.internal else "internet-facing",
        "subnets": [*network.subnets],
        "security_groups": [names.ref(_GROUP, "front")],
        "drop_invalid": True,
    }
    targets: dict[str, Value] = {
        "vpc": network.vpc,
        "protocol": "HTTPS",
        "port": 443,
        "health_path": "/",
        "health_codes": "200-499",  # before it is configured a node answers 400, and Okta counts that as alive
        "stickiness": STICKY,
        "strangers": [],
    }
    secure: dict[str, Value] = {
        "load_balancer": names.ref(_BALANCER, ""),
        "port": 443,
        "protocol": "HTTPS",
        "certificate": settings.certificate,
        "policy": TLS_POLICY,
        "target_group": names.ref(_TARGETS, ""),
        "redirect": False,
    }
    plain: dict[str, Value] = {
        **secure,
        "port": 80,
        "protocol": "HTTP",
        "certificate": "",
        "policy": "",
        "target_group": "",
        "redirect": True,
    }
    return (
        Resource(names.key(_BALANCER, ""), balancer),
        Resource(names.key(_TARGETS, ""), targets),
        Resource(names.key("elb-listener", "https"), secure),
        Resource(names.key("elb-listener", "http"), plain),
    )
