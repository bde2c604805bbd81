"""Whether an instance type can be a node, and an AMI start as it: what RunInstances would say, before anything is made. Pure."""

from __future__ import annotations

from ostiary.aws.instance_type import InstanceType
from ostiary.aws.machine_image import MachineImage
from ostiary.doors.gateway.deploy.sizes import LEAST_MEMORY
from ostiary.errors import UsageError


def check_type(about: InstanceType) -> None:
    """UsageError for a type that cannot be a node, whatever the AMI."""
    problems = []
    if "x86_64" not in about.architectures:
        problems.append(
            f"its architecture is {', '.join(about.architectures)}, the appliance's is x86_64"
        )
    if not about.ebs_optimized:
        problems.append("it has no dedicated bandwidth to EBS")
    if not about.encrypts:
        problems.append("it starts from no encrypted disk")
    if about.memory < LEAST_MEMORY:
        problems.append(
            f"it has {about.memory} MiB of memory, Okta names {LEAST_MEMORY} as the least"
        )
    if problems:
        raise UsageError(
            f"cannot run a gateway on {about.name}",
            why="; ".join(problems),
            fix="name another with --size: small, medium or large",
        )


def check_image(image: MachineImage, about: InstanceType) -> None:
    """UsageError for an AMI that cannot start as that type."""
    problems = []
    if image.state != "available":
        problems.append(f"it is {image.state}")
    if image.architecture != "x86_64":
        problems.append(f"its architecture is {image.architecture}, the sizes are x86_64")
    if about.needs_ena and not image.ena:
        problems.append(f"it is not marked for ENA, which {about.name} needs")
    if image.boot_mode in ("uefi", "legacy-bios") and image.boot_mode not in about.boot_modes:
        problems.append(
            f"it starts by {image.boot_mode}, {about.name} by {', '.join(about.boot_modes)}"
        )
    if image.root_device not in image.sizes:
        problems.append("it has no root disk of EBS")
    if problems:
        raise UsageError(
            f"cannot start {image.id} as {about.name}",
            why="; ".join(problems),
            fix="import the appliance again: ostiary gateway import FILE",
        )
