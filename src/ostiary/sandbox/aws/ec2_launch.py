"""RunInstances around moto: what EC2 refuses and keeps that moto does not.

The AMI must be one of ours that the instance type can start; a repeated ClientToken gives the same instances; what the
launch template says of metadata, protection and disks holds. Source: Amazon EC2 API Reference, RunInstances.
"""

from __future__ import annotations

from typing import Any

from ostiary.sandbox.aws import behind
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.images.launching import launchable
from ostiary.sandbox.http import Response


def check_dry_run(call: Call) -> None:
    """Who may do it is told so and nothing is done; who may not was refused before."""
    if call.params.get("DryRun"):
        raise AwsError(
            "DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412
        )


def run_instances(call: Call) -> Response:
    """RunInstances with what EC2 adds to moto."""
    with behind.entered(call.cloud, "ec2"):
        from moto.ec2.models import ec2_backends  # noqa: PLC0415 - see behind.py

        backend = ec2_backends[call.account.id][call.region]
        known = _repeated(call, backend)
        if known:
            return _reservation(call, backend, known)
        data = _before_run(call, backend)
        before = {one.id for r in backend.reservations.values() for one in r.instances}
        response = behind.serve(call)
        after = {one.id for r in backend.reservations.values() for one in r.instances}
        _after_run(data, sorted(after - before), backend)
        return response


def _reservation(call: Call, backend: Any, instance_ids: list[str]) -> Response:
    """The answer that the first request with this token had."""
    found = next(
        one
        for one in backend.reservations.values()
        if any(instance.id in instance_ids for instance in one.instances)
    )
    rows = "".join(
        f"<item><instanceId>{one.id}</instanceId><imageId>{one.image_id}</imageId>"
        f"<instanceState><code>16</code><name>running</name></instanceState></item>"
        for one in found.instances
    )
    body = (
        '<RunInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
        f"<requestId>{call.request_id}</requestId><reservationId>{found.id}</reservationId>"
        f"<ownerId>{call.account.id}</ownerId><instancesSet>{rows}</instancesSet></RunInstancesResponse>"
    )
    return Response(200, body.encode(), (("content-type", "text/xml;charset=UTF-8"),))


def _before_run(call: Call, backend: Any) -> dict[str, Any]:
    """Check the launch; what the template and the request say together. ``backend`` is moto's for account and region."""
    params = call.params
    data = _template(params.get("LaunchTemplate"), backend) | {
        key: value for key, value in params.items() if key != "LaunchTemplate"
    }
    image_id = data.get("ImageId")
    if not image_id:
        raise AwsError("MissingParameter", "The request must contain the parameter ImageId")
    instance_type = data.get("InstanceType", "m1.small")
    image = launchable(call, image_id, instance_type)
    if image_id not in backend.amis:
        known = backend.register_image(image.name, image.facts.get("Description"))
        del backend.amis[known.id]
        known.id = image_id
        backend.amis[image_id] = known
    return data


def _repeated(call: Call, backend: Any) -> list[str]:
    """Instances that an earlier request with this ClientToken started."""
    token = call.params.get("ClientToken")
    if not token:
        return []
    every = [one for reservation in backend.reservations.values() for one in reservation.instances]
    return [one.id for one in every if one.client_token == token]


def _after_run(data: dict[str, Any], instance_ids: list[str], backend: Any) -> None:
    """What moto leaves out of the new instances."""
    from moto.ec2.models.instances import MetadataOptions  # noqa: PLC0415 - see behind.py

    for instance_id in instance_ids:
        instance = backend.get_instance(instance_id)
        if options := data.get("MetadataOptions"):
            instance.metadata_options = MetadataOptions(options)
        if "DisableApiTermination" in data:
            instance.disable_api_termination = _true(data["DisableApiTermination"])
        if "EbsOptimized" in data:
            instance.ebs_optimized = _true(data["EbsOptimized"])
        for mapping in data.get("BlockDeviceMappings") or ():
            device = instance.block_device_mapping.get(mapping.get("DeviceName"))
            volume = backend.volumes.get(device.volume_id) if device else None
            ebs = mapping.get("Ebs") or {}
            if volume is not None:
                volume.encrypted = _true(ebs.get("Encrypted", volume.encrypted))
                volume.volume_type = ebs.get("VolumeType", volume.volume_type)
                volume.size = int(ebs.get("VolumeSize", volume.size))


def _template(named: dict[str, Any] | None, backend: Any) -> dict[str, Any]:
    if not named:
        return {}
    try:
        found = backend._get_template_from_args(named)  # noqa: SLF001 - moto has no other way to a version
    except Exception as error:
        raise AwsError(
            "InvalidLaunchTemplateId.NotFound", "The specified launch template does not exist."
        ) from error
    return dict(found.data)


def _true(value: object) -> bool:
    return value in (True, "true", "True")
