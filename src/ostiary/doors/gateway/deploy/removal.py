"""The way back: everything that bears the mark of a gateway, and its AMI if that is asked for and nobody else has it."""

from __future__ import annotations

import threading

from ostiary.aws import machine_image
from ostiary.aws.ownership import TAG
from ostiary.aws.tagged import tags_of
from ostiary.connect_region import Reached
from ostiary.doors.gateway.deploy.record import forget, image_of
from ostiary.doors.gateway.deploy.work import estate_of, kinds_of, look
from ostiary.doors.gateway.engine import carry_out, plan_for
from ostiary.errors import Conflict, NotFound
from ostiary.plan.change import OnEvent, Plan
from ostiary.plan.guard import Overrides

_THERE = ["pending", "running", "stopping", "stopped"]


def plan_removal(reached: Reached, name: str, on_event: OnEvent | None = None) -> Plan:
    estate = estate_of(reached, name)
    return plan_for(reached, estate, (), kinds_of(reached, estate), on_event)


def remove(
    reached: Reached,
    name: str,
    plan: Plan,
    *,
    overrides: Overrides,
    on_event: OnEvent | None = None,
    stop: threading.Event | None = None,
) -> None:
    kinds = kinds_of(reached, estate_of(reached, name))
    carry_out(reached, plan, kinds, overrides=overrides, on_event=on_event, stop=stop)


def removable_image(reached: Reached, name: str) -> machine_image.MachineImage | None:
    """The gateway's AMI, also when a removal was killed before it came to that; None when it is gone or not known.

    Conflict if it is another account's, or another instance was started from it.
    """
    image_id = image_of(reached, name) or _of_nodes(reached, name)
    if not image_id:
        return None
    try:
        image = machine_image.get(reached.aws, reached.region, image_id)
    except NotFound:
        return None
    fix = f"leave it: ostiary gateway destroy {name}"
    if not _is_own(reached, image_id):
        raise Conflict(
            f"cannot remove {image_id}", why="another account shares it with us", fix=fix
        )
    others = _others(reached, name, image_id)
    if others:
        why = f"{', '.join(others)} of another gateway was started from it"
        raise Conflict(f"cannot remove {image_id}", why=why, fix=fix)
    return image


def finish(reached: Reached, name: str, image: machine_image.MachineImage | None) -> None:
    """The AMI goes first, so that one who is killed here finds it again."""
    if image is not None:
        machine_image.remove(reached.aws, reached.region, image)
    forget(reached, name)


def _of_nodes(reached: Reached, name: str) -> str:
    try:
        return look(reached, name).image_id
    except NotFound:
        return ""


def _is_own(reached: Reached, image_id: str) -> bool:
    answer = reached.aws.call(
        "ec2", "describe_images", region=reached.region, Owners=["self"], ImageIds=[image_id]
    )
    return bool(answer["Images"])


def _others(reached: Reached, name: str, image_id: str) -> tuple[str, ...]:
    estate = estate_of(reached, name)
    filters = [
        {"Name": "image-id", "Values": [image_id]},
        {"Name": "instance-state-name", "Values": _THERE},
    ]
    return tuple(
        one["InstanceId"]
        for reservation in reached.aws.pages(
            "ec2", "describe_instances", "Reservations", region=reached.region, Filters=filters
        )
        for one in reservation["Instances"]
        if tags_of(one).get(TAG) != estate
    )
