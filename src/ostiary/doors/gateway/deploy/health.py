"""Whether EC2 itself thinks that the nodes are well. Source: EC2 User Guide, "Status checks for your instances"."""

from __future__ import annotations

from collections.abc import Sequence

from ostiary.aws.ec2_instance import PATIENCE, InstanceKind
from ostiary.connect_region import Reached
from ostiary.doors.gateway.deploy.work import estate_of, listed

_UNDECIDED = frozenset({"initializing", "insufficient-data"})


def ailing(
    reached: Reached, name: str, *, waiting: bool, patience: Sequence[float] = PATIENCE
) -> tuple[str, ...]:
    """A line for each node whose status checks are not ok; ``waiting``: give those that have just started some minutes."""
    kind = InstanceKind(estate_of(reached, name), reached.aws, reached.region)
    nodes = {one.ids["id"]: one.key.name.partition("/")[2] for one in listed(reached, kind)}
    states = {instance: kind.health(instance) for instance in nodes}
    for wait in patience if waiting else ():
        if not _UNDECIDED.intersection(states.values()):
            break
        reached.aws.pause(wait)
        states = {instance: kind.health(instance) for instance in nodes}
    return tuple(
        f"{nodes[instance]} ({instance}): {state}"
        for instance, state in states.items()
        if state != "ok"
    )
