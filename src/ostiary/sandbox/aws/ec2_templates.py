"""What a launch template and a request say together.

Source: Amazon EC2 API Reference, RunInstances: "any parameters that you specify in RunInstances override the same
parameters in the launch template"; tags of both are put on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ostiary.sandbox.aws.iam_state import AwsError


def with_template(params: Mapping[str, Any], backend: Any) -> tuple[Any, dict[str, Any]]:
    """The version of the launch template, None without one, and what it and the request say together."""
    named = params.get("LaunchTemplate")
    own = {name: value for name, value in params.items() if name != "LaunchTemplate"}
    if not named:
        return None, own
    found = [
        one
        for one in backend.launch_templates.values()
        if one.id == named.get("LaunchTemplateId") or one.name == named.get("LaunchTemplateName")
    ]
    if not found:
        kind = "Id" if "LaunchTemplateId" in named else "Name"
        wanted = named.get(f"LaunchTemplate{kind}")
        raise AwsError(
            f"InvalidLaunchTemplate{kind}.{'NotFound' if kind == 'Id' else 'NotFoundException'}",
            f"The specified launch template, with template {kind if kind == 'Name' else 'ID'} {wanted},"
            " does not exist.",
        )
    asked = named.get("Version", "$Default")
    numbers = {
        "$Default": found[0].default_version_number,
        "$Latest": found[0].latest_version_number,
    }
    version = next(
        (one for one in found[0].versions if str(one.number) == str(numbers.get(asked, asked))),
        None,
    )
    if version is None:
        raise AwsError(
            "InvalidLaunchTemplateId.VersionNotFound",
            f"Could not find the specified version {asked} for the launch template with ID {found[0].id}.",
        )
    data = {**version.data, **own}
    data["TagSpecifications"] = [
        *listed(version.data.get("TagSpecifications")),
        *listed(own.get("TagSpecifications")),
    ]
    return version, data


def listed(value: Any) -> list[Any]:
    """moto keeps a list of a launch template as the list, or as it came: numbered."""
    return list(value.values()) if isinstance(value, Mapping) else list(value or ())


def tags_for(data: Mapping[str, Any], kind: str) -> dict[str, str]:
    """The tags that template and request give to what is made; the request's go over the template's."""
    return {
        tag["Key"]: tag.get("Value", "")
        for one in data.get("TagSpecifications") or ()
        if one.get("ResourceType") == kind
        for tag in listed(one.get("Tags"))
    }
