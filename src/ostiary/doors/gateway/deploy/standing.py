"""What stands stays where it is: the same flags give the same gateway, though the network around it has grown. Pure.

Without ``--subnet`` the subnets are looked for. Somebody may add one meanwhile, and a node that would then be wanted
elsewhere would be replaced, which empties it. So nodes and the load balancer keep theirs until subnets are named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from ostiary.errors import UsageError
from ostiary.plan.resource import Found, Key, Resource, Value

_PLACE = {"ec2-instance": ("subnet",), "elb-load-balancer": ("subnets",)}
_NODE = "ec2-instance"


def staying(
    resources: Sequence[Resource], found: Mapping[Key, Found], *, named: bool, only: str = ""
) -> tuple[Resource, ...]:
    """The wanted objects, but where they stand. ``named``: subnets were; ``only``: replace no other node than this.

    UsageError when ``only`` is not one of the nodes.
    """
    nodes = [one.key.name.partition("/")[2] for one in resources if one.key.kind == _NODE]
    if only and only not in nodes:
        raise UsageError(
            f"cannot replace node {only}",
            why=f"the gateway has {', '.join(nodes)}",
            fix=f"name one of them: --only-node {nodes[-1]}",
        )
    return tuple(_stays(one, found.get(one.key), named=named, only=only) for one in resources)


def _stays(one: Resource, found: Found | None, *, named: bool, only: str) -> Resource:
    if found is None:
        return one
    kept: tuple[str, ...] = () if named else _PLACE.get(one.key.kind, ())
    if only and one.key.kind == _NODE and one.key.name.partition("/")[2] != only:
        kept = ("image", "type", "subnet")
    have = {name: cast("Value", found.attributes[name]) for name in kept}
    return replace(one, wanted={**one.wanted, **have}) if have else one
