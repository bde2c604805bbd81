"""The kind ``ec2-launch-template``: how a node is started. A change is a new version that becomes the default.

Every setting that makes a node safe is an attribute, so that a version with another one is drift. It tells no tags: an
instance that a person starts from it is not ours. Source: Amazon EC2 API Reference, CreateLaunchTemplate; EC2 User Guide,
"Use the Instance Metadata Service".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from ostiary.aws.tagged import TaggedKind, short, tags_of
from ostiary.plan.resource import Found, Json, Key


class LaunchTemplateKind(TaggedKind):
    name = "ec2-launch-template"
    unordered = frozenset({"security_groups"})

    def _listed(self) -> Iterator[Found]:
        for one in self._pages(
            "ec2", "describe_launch_templates", "LaunchTemplates", Filters=self._ours()
        ):
            template_id = one["LaunchTemplateId"]
            versions = self._call(
                "ec2",
                "describe_launch_template_versions",
                LaunchTemplateId=template_id,
                Versions=["$Default"],
            )["LaunchTemplateVersions"]
            data = versions[0]["LaunchTemplateData"]
            found = self._found(
                tags_of(one),
                _attributes(data),
                {"id": template_id, "version": str(versions[0]["VersionNumber"])},
            )
            if found is not None:
                yield found

    def _make(self, key: Key, wanted: Mapping[str, Json]) -> None:
        """Without a client token: its name is its own, and a token would bring back one that was deleted."""
        self._began(
            key,
            "ec2",
            "create_launch_template",
            LaunchTemplateName=short(key),
            LaunchTemplateData=_data(wanted),
            TagSpecifications=self._specified("launch-template", key),
        )

    def _change(self, found: Found, wanted: Mapping[str, Json]) -> None:
        answer = self._call(
            "ec2",
            "create_launch_template_version",
            LaunchTemplateId=found.ids["id"],
            LaunchTemplateData=_data(wanted),
        )
        self._call(
            "ec2",
            "modify_launch_template",
            LaunchTemplateId=found.ids["id"],
            DefaultVersion=str(answer["LaunchTemplateVersion"]["VersionNumber"]),
        )

    def _remove(self, found: Found) -> None:
        self._call("ec2", "delete_launch_template", LaunchTemplateId=found.ids["id"])


def _data(wanted: Mapping[str, Json]) -> dict[str, Any]:
    return {
        "ImageId": wanted["image"],
        "InstanceType": wanted["type"],
        "EbsOptimized": wanted["ebs_optimized"],
        "Monitoring": {"Enabled": wanted["monitoring"]},
        "DisableApiTermination": wanted["protected"],
        "MetadataOptions": {
            "HttpTokens": wanted["tokens"],
            "HttpPutResponseHopLimit": wanted["hops"],
            "HttpEndpoint": "enabled",
        },
        "BlockDeviceMappings": [
            {
                "DeviceName": wanted["root_device"],
                "Ebs": {
                    "VolumeType": wanted["root_type"],
                    "VolumeSize": wanted["root_size"],
                    "Encrypted": wanted["encrypted"],
                    "DeleteOnTermination": True,
                },
            }
        ],
        "SecurityGroupIds": wanted["security_groups"],
    }


def _attributes(data: Mapping[str, Any]) -> dict[str, Json]:
    """What a version leaves out is what EC2 does then: tokens optional, one hop, not encrypted."""
    mappings = data.get("BlockDeviceMappings") or [{}]
    ebs = mappings[0].get("Ebs") or {}
    options = data.get("MetadataOptions") or {}
    return {
        "image": data.get("ImageId", ""),
        "type": data.get("InstanceType", ""),
        "root_device": mappings[0].get("DeviceName", ""),
        "root_size": int(ebs.get("VolumeSize", 0)),
        "root_type": ebs.get("VolumeType", ""),
        "encrypted": _true(ebs.get("Encrypted")),
        "security_groups": cast("Json", sorted(data.get("SecurityGroupIds") or ())),
        "tokens": options.get("HttpTokens", "optional"),
        "hops": int(options.get("HttpPutResponseHopLimit", 1)),
        "ebs_optimized": _true(data.get("EbsOptimized")),
        "monitoring": _true((data.get("Monitoring") or {}).get("Enabled")),
        "protected": _true(data.get("DisableApiTermination")),
    }


def _true(value: object) -> bool:
    return str(value).lower() == "true"
