"""What EC2 refuses of the operations that moto answers, and moto does not.

Source: Amazon EC2 API Reference, "Error codes for the Amazon EC2 API", and the pages of the operations; the names of
filters are those that botocore's model of each operation documents. Unverified: the words for filters and terminated instances.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from botocore.model import StructureShape

from ostiary.sandbox.aws import behind
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.shapes import operation_model

ADDRESSES = 5  # the default quota of a region
_IDS = {
    "GroupId": ("sg-", "InvalidGroupId.Malformed"),
    "InstanceId": ("i-", "InvalidInstanceID.Malformed"),
    "SecurityGroupId": ("sg-", "InvalidGroupId.Malformed"),
    "SubnetId": ("subnet-", "InvalidSubnetID.Malformed"),
    "VolumeId": ("vol-", "InvalidVolumeID.Malformed"),
    "VpcId": ("vpc-", "InvalidVpcID.Malformed"),
}


def check(call: Call) -> None:
    """Raise AWS's own error. Nothing is done when the caller only asks whether he may."""
    for name, (prefix, code) in _IDS.items():
        for one in _values(call, name):
            if not re.fullmatch(prefix + "(?:[0-9a-f]{8}|[0-9a-f]{17})", one):
                raise AwsError(code, f'Invalid id: "{one}" (expecting "{prefix}...")')
    known = _filters(call.operation)
    for one in call.params.get("Filters") or ():
        name = str(one.get("Name", ""))
        if known and name not in known and not (name.startswith("tag:") and "tag" in known):
            raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
    if call.params.get("DryRun"):
        raise AwsError(
            "DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412
        )
    if call.operation in _OF_OPERATION:
        with behind.entered(call.cloud, "ec2"):
            from moto.ec2.models import ec2_backends  # noqa: PLC0415 - see behind.py

            _OF_OPERATION[call.operation](call, ec2_backends[call.account.id][call.region])


def _values(call: Call, name: str) -> Iterable[str]:
    one = call.params.get(name)
    return ([one] if one else []) + list(call.params.get(f"{name}s") or ())


@cache
def _filters(operation: str) -> frozenset[str]:
    """The filters of an operation; none when the model does not document them."""
    model = operation_model("ec2", operation)
    shape = model.input_shape if model else None
    member = shape.members.get("Filters") if isinstance(shape, StructureShape) else None
    text = member.documentation if member is not None else ""
    return frozenset(
        name.partition(":")[0] for name in re.findall(r"<li>\s*<p>\s*<code>([^<]+)</code>", text)
    )


def _create_security_group(call: Call, backend: Any) -> None:
    name, vpc = call.params["GroupName"], call.params.get("VpcId")
    if name.startswith("sg-"):
        raise AwsError(
            "InvalidParameterValue",
            f"Value ({name}) for parameter GroupName is invalid. Group names may not be in the format sg-*.",
        )
    if vpc and vpc not in backend.vpcs:
        raise AwsError("InvalidVpcID.NotFound", f"The vpc ID '{vpc}' does not exist")
    vpc = vpc or backend.get_default_vpc().id
    if backend.get_security_group_from_name(name, vpc) is not None:
        raise AwsError(
            "InvalidGroup.Duplicate", f"The security group '{name}' already exists for VPC '{vpc}'"
        )


def _delete_security_group(call: Call, backend: Any) -> None:
    group = backend.get_security_group_from_id(call.params.get("GroupId", ""))
    if group is None:
        return
    if group.name == "default":
        raise AwsError(
            "CannotDelete",
            f'the specified group: "{group.id}" name: "default" cannot be deleted by a user',
        )
    if group.id in set(_groups_in_use(call, backend)):
        raise AwsError("DependencyViolation", f"resource {group.id} has a dependent object")


def _groups_in_use(call: Call, backend: Any) -> Iterator[str]:
    """Groups of network interfaces and load balancers, and those that another group's rule names."""
    for interface in backend.enis.values():
        yield from (one.id for one in interface.group_set)
    for group in [one for groups in backend.groups.values() for one in groups.values()]:
        for rule in (*group.ingress_rules, *group.egress_rules):
            named = (rule.source_group or {}).get("GroupId")
            if named and named != group.id:
                yield named
    balancers = behind.loaded().get("elbv2")
    if balancers and call.account.id in balancers:
        for balancer in balancers[call.account.id][call.region].load_balancers.values():
            yield from balancer.security_groups


def _release_address(call: Call, backend: Any) -> None:
    for one in backend.addresses:
        if one.allocation_id == call.params.get("AllocationId") and one.association_id:
            raise AwsError("InvalidIPAddress.InUse", f"Address {one.public_ip} is in use.")


def _allocate_address(_: Call, backend: Any) -> None:
    if len(backend.addresses) >= ADDRESSES:
        raise AwsError("AddressLimitExceeded", "The maximum number of addresses has been reached.")


def _startable(call: Call, backend: Any) -> None:
    verb = {"StartInstances": "started", "StopInstances": "stopped"}[call.operation]
    for instance_id in call.params.get("InstanceIds") or ():
        found = next((one for one in backend.all_instances() if one.id == instance_id), None)
        if found is not None and found.state == "terminated":
            raise AwsError(
                "IncorrectInstanceState",
                f"The instance '{instance_id}' is not in a state from which it can be {verb}.",
            )


def _template_there(call: Call, backend: Any) -> None:
    wanted = call.params.get("LaunchTemplateIds") or [call.params.get("LaunchTemplateId")]
    for one in filter(None, wanted):
        if one not in backend.launch_templates:
            text = f"The specified launch template, with template ID {one}, does not exist."
            if call.operation == "DescribeLaunchTemplates":
                text = (
                    "At least one of the launch templates specified in the request does not exist."
                )
            raise AwsError("InvalidLaunchTemplateId.NotFound", text)


_OF_OPERATION: Mapping[str, Callable[[Call, Any], None]] = {
    "AllocateAddress": _allocate_address,
    "CreateLaunchTemplateVersion": _template_there,
    "CreateSecurityGroup": _create_security_group,
    "DeleteLaunchTemplate": _template_there,
    "DeleteSecurityGroup": _delete_security_group,
    "DescribeLaunchTemplateVersions": _template_there,
    "DescribeLaunchTemplates": _template_there,
    "ModifyLaunchTemplate": _template_there,
    "ReleaseAddress": _release_address,
    "StartInstances": _startable,
    "StopInstances": _startable,
}
