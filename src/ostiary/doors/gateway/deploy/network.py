"""Where the nodes stand: the VPC and subnets that were named, or the ones that there is no doubt about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ostiary.connect_region import Reached
from ostiary.doors.gateway.deploy.settings import DeploySettings
from ostiary.errors import UsageError

LEAST_ZONES = 2  # of an application load balancer


@dataclass(frozen=True, slots=True)
class Network:
    """``subnets`` in as many zones as there are, one a zone, in the order of the zones' names."""

    vpc: str
    subnets: tuple[str, ...]
    zones: tuple[str, ...]


def find_network(reached: Reached, settings: DeploySettings) -> Network:
    """UsageError when there is a choice, none, or too few zones for a load balancer."""
    subnets = _named(reached, settings.subnets) if settings.subnets else None
    vpc = settings.vpc or (subnets[0]["VpcId"] if subnets else _default_vpc(reached))
    if subnets is None:
        filters = [{"Name": "vpc-id", "Values": [vpc]}]
        subnets = _all(reached, "describe_subnets", "Subnets", Filters=filters)
    strange = [one["SubnetId"] for one in subnets if one["VpcId"] != vpc]
    if strange:
        raise UsageError(
            f"cannot use subnet {strange[0]}",
            why=f"it is not in {vpc}",
            fix="name subnets of one VPC",
        )
    by_zone: dict[str, str] = {}
    for one in sorted(subnets, key=lambda one: (one["AvailabilityZone"], one["SubnetId"])):
        by_zone.setdefault(one["AvailabilityZone"], one["SubnetId"])
    if not by_zone:
        raise UsageError(f"{vpc} has no subnet", fix="name another one with --vpc")
    if settings.balanced and len(by_zone) < LEAST_ZONES:
        raise UsageError(
            "cannot put a load balancer there",
            why=f"it needs subnets in {LEAST_ZONES} availability zones, these are in {len(by_zone)}",
            fix="name more with --subnet",
        )
    return Network(vpc, tuple(by_zone.values()), tuple(by_zone))


def _named(reached: Reached, subnet_ids: tuple[str, ...]) -> list[dict[str, Any]]:
    return _all(reached, "describe_subnets", "Subnets", SubnetIds=list(subnet_ids))


def _default_vpc(reached: Reached) -> str:
    vpcs = _all(reached, "describe_vpcs", "Vpcs")
    default = [one["VpcId"] for one in vpcs if one.get("IsDefault")]
    if len(default) == 1:
        return str(default[0])
    known = ", ".join(sorted(one["VpcId"] for one in vpcs)) or "none at all"
    raise UsageError(
        "which VPC?",
        why=f"the region has no default VPC; there is {known}",
        fix="add --vpc, or --subnet for each zone",
    )


def _all(reached: Reached, operation: str, items: str, **params: Any) -> list[dict[str, Any]]:
    return list(reached.aws.pages("ec2", operation, items, region=reached.region, **params))
