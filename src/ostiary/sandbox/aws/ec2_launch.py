"""RunInstances: what EC2 refuses, what a launch template adds, and the same instances for the same client token.

moto starts the instance from the plain parameters that are worked out here; its disks are made in ``ec2_disks.py``.
Sources: Amazon EC2 API Reference, RunInstances, "Error codes for the Amazon EC2 API"; Amazon EC2 User Guide, "Ensuring
idempotency", "Launch templates". Unverified: the words for counts that contradict each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ostiary.sandbox.aws import behind, ec2_disks, ec2_shown
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.ec2_templates import listed, tags_for, with_template
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.images.launching import launchable
from ostiary.sandbox.aws.images.state import Image
from ostiary.sandbox.http import Response

_KNOWN = {
    "BlockDeviceMappings",
    "ClientToken",
    "DisableApiTermination",
    "EbsOptimized",
    "ImageId",
    "InstanceInitiatedShutdownBehavior",
    "InstanceType",
    "MaxCount",
    "MetadataOptions",
    "MinCount",
    "Monitoring",
    "Placement",
    "PrivateIpAddress",
    "SecurityGroupIds",
    "SubnetId",
    "TagSpecifications",
    "UserData",
}
_PLAIN = (
    "ImageId",
    "InstanceType",
    "InstanceInitiatedShutdownBehavior",
    "PrivateIpAddress",
    "UserData",
    "ClientToken",
)


def run_instances(call: Call) -> Response:
    with behind.entered(call.cloud, "ec2"):
        from moto.ec2.models import ec2_backends  # noqa: PLC0415 - see behind.py

        backend = ec2_backends[call.account.id][call.region]
        token = (call.account.id, call.region, call.params.get("ClientToken", ""))
        if token[2] and (known := call.cloud.launches.tokens.get(token)):
            if known[0] != call.params:
                raise AwsError(
                    "IdempotentParameterMismatch",
                    "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
                )
            return ec2_shown.reservation(call, known[1])
        started = _run(call, backend)
        call.cloud.launches.tokens[token] = (dict(call.params), started)
        return ec2_shown.reservation(call, started, new=True)


def _run(call: Call, backend: Any) -> list[str]:
    template, data = with_template(call.params, backend)
    if strange := sorted(set(data) - _KNOWN):
        raise AwsError("NotImplemented", f"RunInstances with {strange[0]} is not served here", 501)
    image = _image(call, data)
    subnet = _subnet(data, backend)
    fields = {name: str(data[name]) for name in _PLAIN if name in data}
    fields |= {"MinCount": str(data["MaxCount"]), "MaxCount": str(data["MaxCount"])}
    fields["SubnetId"] = subnet.id
    fields |= {
        f"SecurityGroupId.{number}": one
        for number, one in enumerate(_groups(data, subnet, backend), 1)
    }
    disks = ec2_disks.wanted(call, image, data.get("BlockDeviceMappings") or [], backend)
    _mirror(image, backend)
    before = {one.id for one in backend.all_instances()}
    answer = behind.ask(call, "RunInstances", fields)
    if answer.status >= 400:  # noqa: PLR2004 - HTTP's own number
        raise behind.refused(answer)
    started = sorted({one.id for one in backend.all_instances()} - before)
    for instance_id in started:
        instance = backend.get_instance(instance_id)
        _settle(instance, template, data)
        ec2_disks.attach(instance, disks, tags_for(data, "volume"))
        call.cloud.launches.images[instance_id] = image
    return started


def _image(call: Call, data: Mapping[str, Any]) -> Image:
    if not data.get("ImageId"):
        raise AwsError("MissingParameter", "The request must contain the parameter ImageId")
    least, most = data.get("MinCount", 1), data.get("MaxCount", 1)
    if not 1 <= least <= most:
        raise AwsError(
            "InvalidParameterValue",
            f"Invalid value '{most}' for maxCount. It must be at least minCount, which must be at least 1.",
        )
    return launchable(call, data["ImageId"], data.get("InstanceType", "m1.small"))


def _subnet(data: Mapping[str, Any], backend: Any) -> Any:
    wanted = data.get("SubnetId")
    every = [one for subnets in backend.subnets.values() for one in subnets.values()]
    if wanted:
        found = next((one for one in every if one.id == wanted), None)
        if found is None:
            raise AwsError("InvalidSubnetID.NotFound", f"The subnet ID '{wanted}' does not exist")
        return found
    zone = (data.get("Placement") or {}).get("AvailabilityZone")
    usual = sorted(
        (one for one in every if one.default_for_az == "true" or one.default_for_az is True),
        key=lambda one: str(one.availability_zone),
    )
    found = next((one for one in usual if zone in (None, one.availability_zone)), None)
    if found is None:
        raise AwsError(
            "MissingInput", f"No default subnet for availability zone: '{zone or 'any'}'."
        )
    return found


def _groups(data: Mapping[str, Any], subnet: Any, backend: Any) -> list[str]:
    wanted = listed(data.get("SecurityGroupIds"))
    if not wanted:
        return [backend.get_security_group_from_name("default", subnet.vpc_id).id]
    for one in wanted:
        group = backend.get_security_group_from_id(one)
        if group is None:
            raise AwsError("InvalidGroup.NotFound", f"The security group '{one}' does not exist")
        if group.vpc_id != subnet.vpc_id:
            raise AwsError(
                "InvalidParameter",
                f"Security group {one} and subnet {subnet.id} belong to different networks.",
            )
    return wanted


def _mirror(image: Image, backend: Any) -> None:
    """moto looks an instance's image up among its own."""
    if image.id in backend.amis:
        return
    known = backend.register_image(image.name, image.facts.get("Description"))
    del backend.amis[known.id]
    known.id = image.id
    known.root_device_name = image.facts.get("RootDeviceName")
    known.architecture = image.facts.get("Architecture")
    known.virtualization_type = "hvm"
    backend.amis[image.id] = known


def _settle(instance: Any, template: Any, data: Mapping[str, Any]) -> None:
    """What moto leaves out of a new instance."""
    from moto.ec2.models.instances import MetadataOptions  # noqa: PLC0415 - see behind.py

    instance.metadata_options = MetadataOptions(data.get("MetadataOptions"))
    instance.disable_api_termination = _true(data.get("DisableApiTermination"))
    instance.ebs_optimized = _true(data.get("EbsOptimized"))
    monitoring = data.get("Monitoring") or {}
    instance.monitoring_state = "enabled" if _true(monitoring.get("Enabled")) else "disabled"
    for interface in instance.nics.values():
        interface.delete_on_termination = True
        interface.add_tags(tags_for(data, "network-interface"))
    instance.add_tags(tags_for(data, "instance"))
    if template is not None:
        instance.add_tags(
            {
                "aws:ec2launchtemplate:id": template.template.id,
                "aws:ec2launchtemplate:version": str(template.number),
            }
        )


def _true(value: object) -> bool:
    return value in (True, "true", "True")
