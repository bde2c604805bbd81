"""Which instance types can start an AMI: architecture, ENA and boot mode by what AWS publishes of each type.

Source: DescribeInstanceTypes as moto keeps it; EC2 User Guide, "Boot modes". The message for ENA is as seen in
rancher/os #2160, that for architectures as seen in issues; that for boot modes is unverified.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.images.registry import own_image
from ostiary.sandbox.aws.images.state import Image


def launchable(call: Call, image_id: str, instance_type: str) -> Image:
    """The AMI, if an instance of that type can be started from it."""
    image = own_image(call, image_id)
    about = _type(instance_type)
    supported = about["ProcessorInfo"]["SupportedArchitectures"]
    architecture = image.facts["Architecture"]
    if architecture not in supported:
        raise AwsError(
            "InvalidParameterValue",
            f"The architecture '{','.join(supported)}' of the specified instance type does not match the architecture"
            f" '{architecture}' of the specified AMI. Specify an instance type and an AMI that have matching"
            " architectures, and try again.",
        )
    if about["NetworkInfo"]["EnaSupport"] == "required" and not image.facts.get("EnaSupport"):
        raise AwsError(
            "InvalidParameterCombination",
            f"Enhanced networking with the Elastic Network Adapter (ENA) is required for the '{instance_type}' instance"
            " type. Ensure that you are using an AMI that is enabled for ENA.",
        )
    mode = image.facts.get("BootMode")
    if mode in ("uefi", "legacy-bios") and mode not in about["SupportedBootModes"]:
        raise AwsError(
            "Unsupported",
            f"The instance type '{instance_type}' does not support the boot mode '{mode}' of the AMI '{image.id}'.",
        )
    return image


def _type(name: str) -> Mapping[str, Any]:
    from moto.ec2.models.instance_types import INSTANCE_TYPES  # noqa: PLC0415 - slow, and only launches need it

    found: Mapping[str, Any] | None = INSTANCE_TYPES.get(name)
    if found is None:
        raise AwsError("InvalidParameterValue", f"Invalid value '{name}' for InstanceType.")
    return found
