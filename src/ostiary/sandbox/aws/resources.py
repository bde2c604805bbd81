"""What a call has to be allowed, on which resources: a row's ARN template filled from the request's parameters.

Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon EC2"; Amazon EC2 User Guide,
"Grant permission to tag resources during creation". Tags of EC2's and ELB's own resources are no condition keys here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.operations import Operation

_EC2_KINDS = {
    "ami": "image",
    "eipalloc": "elastic-ip",
    "eni": "network-interface",
    "i": "instance",
    "import-ami": "import-image-task",
    "import-snap": "import-snapshot-task",
    "lt": "launch-template",
    "sg": "security-group",
    "snap": "snapshot",
    "subnet": "subnet",
    "vol": "volume",
    "vpc": "vpc",
}
_OF_NOBODY = ("image", "snapshot")  # their ARNs name no account


def of_call(call: Call, row: Operation) -> list[tuple[str, object]]:
    """Every ARN that the call is about, with the object itself if it is IAM's. One for each item of a list."""
    template = row.resource
    if row.service == "ec2" and template == "{Resources}":
        return [(_ec2_arn(call, one), None) for one in call.params.get("Resources") or ("*",)]
    for name in re.findall(r"\{(\w+)\}", template):
        if isinstance(found := call.params.get(name), list):
            return [_filled(call, template, {name: item}) for item in found] or [("*", None)]
    if template == "*" or (template == "{KeyArn}" and "KeyArn" not in call.params):
        return [("*", None)]
    return [_filled(call, template, {})]


def of_launch(call: Call) -> Iterator[str]:
    """What RunInstances uses and makes beside the instance, as far as the request itself tells."""
    params = call.params
    for kind in ("network-interface", "volume"):
        yield _arn(call, kind, "*")
    named = [
        *params.get("SecurityGroupIds", ()),
        *(params[name] for name in ("ImageId", "SubnetId") if name in params),
        *([params["LaunchTemplate"].get("LaunchTemplateId")] if "LaunchTemplate" in params else []),
    ]
    for one in named:
        if one:
            yield _ec2_arn(call, one)


def tagged_kinds(call: Call) -> list[str]:
    """ARNs of what the request tags as it makes it: that takes ec2:CreateTags too."""
    given = call.params.get("TagSpecifications") or ()
    return [_arn(call, str(one["ResourceType"]), "*") for one in given if one.get("Tags")]


def _ec2_arn(call: Call, resource_id: str) -> str:
    kind = _EC2_KINDS.get(resource_id.rpartition("-")[0], "*")
    return _arn(call, kind, resource_id)


def _arn(call: Call, kind: str, resource_id: str) -> str:
    account = "" if kind in _OF_NOBODY else call.account.id
    return f"arn:{call.account.partition}:ec2:{call.region}:{account}:{kind}/{resource_id}"


def _filled(call: Call, template: str, item: Mapping[str, Any]) -> tuple[str, object]:
    filled = template.format_map(
        _Defaults(
            {
                "Path": "/",
                "partition": call.account.partition,
                "region": call.region,
                "account": call.account.id,
                **call.params,
                **item,
            }
        )
    )
    if filled.startswith("arn:"):
        return filled, _named(call, filled.rpartition("/")[2], filled)
    if template.endswith("Name}") and "{Path}" not in template:
        target = _named(call, filled.rpartition("/")[2], filled)
        return (getattr(target, "arn", "") or call.account.arn(filled)), target
    return call.account.arn(filled), None


def _named(call: Call, name: str, resource: str) -> object:
    """The role, user, group, policy or provider of the caller's account with this name."""
    account = call.account
    kind = resource.rpartition(":")[2].partition("/")[0]
    shelves: Mapping[str, Any] = {
        "role": account.roles,
        "user": account.users,
        "group": account.groups,
        "policy": account.policies,
        "saml-provider": account.saml_providers,
    }
    return shelves[kind].get(name) if kind in shelves else None


class _Defaults(dict[str, Any]):
    """Parameters that a request left out are empty in a resource's name."""

    def __missing__(self, key: str) -> str:
        return ""
