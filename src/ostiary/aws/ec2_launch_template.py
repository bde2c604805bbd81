"""The kind ``ec2-launch-template``: how a node is started. A change is a new version that becomes the default.

Always: IMDSv2 with one hop, an encrypted gp3 root disk, detailed monitoring. Source: Amazon EC2 API Reference,
CreateLaunchTemplate; EC2 User Guide, "Use the Instance Metadata Service".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from ostiary.aws.tagged import TaggedKind, short, tags_of
from ostiary.plan.resource import Found, Json, Key


class LaunchTemplateKind(TaggedKind):
    name = "ec2-launch-template"

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
        self._call(
            "ec2",
            "create_launch_template",
            LaunchTemplateName=short(key),
            ClientToken=short(key)[:64],
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
        "EbsOptimized": True,
        "Monitoring": {"Enabled": True},
        "DisableApiTermination": True,
        "MetadataOptions": {
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
            "HttpEndpoint": "enabled",
        },
        "BlockDeviceMappings": [
            {
                "DeviceName": wanted["root_device"],
                "Ebs": {
                    "VolumeType": "gp3",
                    "VolumeSize": wanted["root_size"],
                    "Encrypted": True,
                    "DeleteOnTermination": True,
                },
            }
        ],
        "SecurityGroupIds": wanted["security_groups"],
    }


def _attributes(data: Mapping[str, Any]) -> dict[str, Json]:
    mappings = data.get("BlockDeviceMappings") or [{}]
    ebs = mappings[0].get("Ebs") or {}
    options = data.get("MetadataOptions") or {}
    return {
        "image": data.get("ImageId", ""),
        "type": data.get("InstanceType", ""),
        "root_device": mappings[0].get("DeviceName", ""),
        "root_size": int(ebs.get("VolumeSize", 0)),
        "security_groups": cast("Json", list(data.get("SecurityGroupIds") or ())),
        "metadata": "v2" if options.get("HttpTokens") == "required" else "v1",
        "encrypted": str(ebs.get("Encrypted", "")).lower() == "true",
        "termination": str(data.get("DisableApiTermination", "")).lower() != "true",
    }
