"""CreateTags, DeleteTags and DescribeTags over our images and moto's objects alike.

Source: Amazon EC2 API Reference, CreateTags, DeleteTags, DescribeTags.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import translate
from typing import Any

from ostiary.sandbox.aws import behind
from ostiary.sandbox.aws.call import Call, decode_marker, encode_marker
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.images import tagging
from ostiary.sandbox.aws.images.described import checked_tags

_MOST = 1000


def change(call: Call) -> dict[str, Any]:
    """Put tags on every resource or take them off. Whatever does not exist fails the request before it does anything."""
    resources = call.params.get("Resources") or []
    ours = [one for one in resources if tagging.is_ours(one)]
    others = [one for one in resources if one not in ours]
    for one in ours:
        tagging.tags_of(call, one)
    if others:
        _by_moto(call, others)
    if ours:
        tagging.change(call, ours)
    return {}


def _by_moto(call: Call, resources: list[str]) -> None:
    given = call.params.get("Tags") or ()
    with behind.entered(call.cloud, "ec2"):
        from moto.ec2.models import ec2_backends  # noqa: PLC0415 - see behind.py

        backend = ec2_backends[call.account.id][call.region]
        for one in resources:
            _check_there(backend, one)
            if call.operation == "CreateTags":
                own = {
                    k: v for k, v in backend.tags.get(one, {}).items() if not k.startswith("aws:")
                }
                checked_tags(own | {tag["Key"]: tag.get("Value", "") for tag in given})
    fields = {f"ResourceId.{number}": one for number, one in enumerate(resources, 1)}
    for number, tag in enumerate(given, 1):
        fields |= {f"Tag.{number}.{name}": str(value) for name, value in tag.items()}
    answer = behind.ask(call, call.operation, fields)
    if answer.status >= 400:  # noqa: PLR2004 - HTTP's own number
        raise behind.refused(answer)


def _check_there(backend: Any, resource_id: str) -> None:
    """moto tags what does not exist; EC2 does not."""
    prefix = resource_id.rpartition("-")[0]
    known: dict[str, tuple[str, str, Callable[[], Iterable[str]]]] = {
        "i": ("InvalidInstanceID", "instance ID", lambda: [i.id for i in backend.all_instances()]),
        "vol": ("InvalidVolume", "volume", lambda: backend.volumes),
        "vpc": ("InvalidVpcID", "vpc ID", lambda: backend.vpcs),
        "sg": (
            "InvalidGroup",
            "security group",
            lambda: [one for groups in backend.groups.values() for one in groups],
        ),
        "subnet": (
            "InvalidSubnetID",
            "subnet ID",
            lambda: [one for subnets in backend.subnets.values() for one in subnets],
        ),
        "eni": ("InvalidNetworkInterfaceID", "networkInterface ID", lambda: backend.enis),
        "eipalloc": (
            "InvalidAllocationID",
            "allocation ID",
            lambda: [one.allocation_id for one in backend.addresses],
        ),
        "lt": ("InvalidLaunchTemplateId", "launch template", lambda: backend.launch_templates),
    }
    if prefix not in known:
        raise AwsError("InvalidID", f"The ID '{resource_id}' is not valid")
    code, kind, every = known[prefix]
    if resource_id not in every():
        raise AwsError(f"{code}.NotFound", f"The {kind} '{resource_id}' does not exist")


def describe(call: Call) -> dict[str, Any]:
    params = call.params
    wanted = {one["Name"]: one.get("Values") or [] for one in params.get("Filters") or ()}
    rows = sorted(_every(call), key=lambda row: (row["ResourceId"], row["Key"]))
    found = [row for row in rows if all(_fits(row, name, wanted[name]) for name in wanted)]
    start = int(decode_marker(params["NextToken"])) if params.get("NextToken") else 0
    most = params.get("MaxResults") or _MOST
    answer: dict[str, Any] = {"Tags": found[start : start + most]}
    if start + most < len(found):
        answer["NextToken"] = encode_marker(str(start + most))
    return answer


def _every(call: Call) -> Iterator[dict[str, str]]:
    for resource_id, kind, tags in tagging.tagged(call):
        for key, value in tags.items():
            yield {"Key": key, "ResourceId": resource_id, "ResourceType": kind, "Value": value}
    with behind.entered(call.cloud, "ec2"):
        from moto.ec2.models import ec2_backends  # noqa: PLC0415 - see behind.py

        for one in ec2_backends[call.account.id][call.region].describe_tags():
            yield {
                "Key": one["key"],
                "ResourceId": one["resource_id"],
                "ResourceType": _TYPES.get(one["resource_type"], one["resource_type"]),
                "Value": one["value"],
            }


_TYPES = {"vpc-elastic-ip": "elastic-ip"}  # moto's word -> EC2's
_COLUMNS = {"key": "Key", "resource-id": "ResourceId", "resource-type": "ResourceType"}
_COLUMNS |= {"value": "Value"}


def _fits(row: dict[str, str], name: str, values: list[str]) -> bool:
    if name.startswith("tag:"):
        return row["Key"] == name[4:] and _like(row["Value"], values)
    if name not in _COLUMNS:
        raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
    return _like(row[_COLUMNS[name]], values)


def _like(text: str, values: list[str]) -> bool:
    return any(re.fullmatch(translate(one.replace("[", "[[]")), text) for one in values)
