"""The kind ``ec2-instance``: one node, started from the launch template, protected against termination.

Another AMI or size is another instance: the old one is ended, then a new one is started. One that was started counts as
made when it runs: before, no address can be associated with it and no target group takes it (IncorrectInstanceState,
InvalidTarget). Then it is registered; and it is taken out of its target groups before it ends. Source: Amazon EC2 API
Reference, RunInstances, AssociateAddress, DescribeInstanceStatus. Unverified: that RunInstances with the token of an instance that has ended answers with that instance and its state of now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ostiary.aws.elb_targets import deregister, register, registrations
from ostiary.aws.tagged import NAME_TAG, TaggedKind, short, tags_of
from ostiary.errors import Conflict, NotFound, Unreachable
from ostiary.plan.resource import Found, Json, Key

_ALIVE = ["pending", "running", "stopping", "stopped"]
_OVER = ["shutting-down", "terminated"]
# seconds between looks: five minutes in all
PATIENCE = (1, 2, 4, 8, 15, 30, 30, 30, 30, 30, 60, 60)
_PRIVATE = {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}


class InstanceKind(TaggedKind):
    name = "ec2-instance"
    immutable = frozenset({"image", "type", "subnet"})
    unordered = frozenset({"security_groups", "target_groups"})

    def _listed(self) -> Iterator[Found]:
        alive = list(self._in_states(_ALIVE))
        behind = registrations(self._aws, self._region, self._estate) if alive else {}
        for one in alive:
            groups = sorted(group["GroupId"] for group in one.get("SecurityGroups") or ())
            found = self._found(
                tags_of(one),
                {
                    "image": one["ImageId"],
                    "type": one["InstanceType"],
                    "subnet": one.get("SubnetId", ""),
                    "security_groups": [*groups],
                    "target_groups": [*behind.get(one["InstanceId"], ())],
                    "metadata": _metadata(one),
                    "protected": self._is_protected(one["InstanceId"]),
                },
                {
                    "id": one["InstanceId"],
                    "state": one["State"]["Name"],
                    "private_ip": one.get("PrivateIpAddress", ""),
                    "public_ip": one.get("PublicIpAddress", ""),
                },
            )
            if found is not None:
                yield found

    def _in_states(self, states: Sequence[str]) -> Iterator[dict[str, Any]]:
        within = {"Name": "instance-state-name", "Values": [*states]}
        filters = [*self._ours(), within]
        for reservation in self._pages(
            "ec2", "describe_instances", "Reservations", Filters=filters
        ):
            yield from reservation["Instances"]

    def _is_protected(self, instance_id: str) -> bool:
        answer = self._call(
            "ec2",
            "describe_instance_attribute",
            InstanceId=instance_id,
            Attribute="disableApiTermination",
        )
        return bool(answer["DisableApiTermination"]["Value"])

    def differences(self, found: Found, wanted: Mapping[str, Json]) -> tuple[str, ...]:
        """The template is how it is started, not what it is."""
        return super().differences(
            found, {name: value for name, value in wanted.items() if name != "template"}
        )

    def _make(self, key: Key, wanted: Mapping[str, Json]) -> None:
        """The token is of what is wanted and of what has ended: after a lost answer no second instance starts.

        Image, type and groups are said beside the template: an instance that is written back is what it was.
        """
        ended = sorted(
            one["InstanceId"]
            for one in self._in_states(_OVER)
            if tags_of(one).get(NAME_TAG) == short(key)
        )
        started = self._started(key, wanted, ended)
        while started["State"]["Name"] in _OVER and started["InstanceId"] not in ended:
            ended.append(started["InstanceId"])  # a token outlives what it started
            started = self._started(key, wanted, ended)
        self.until_running(key)
        made = self._after(key)
        for arn in _texts(wanted.get("target_groups")):
            register(self._aws, self._region, arn, made.ids["id"])

    def _started(
        self, key: Key, wanted: Mapping[str, Json], ended: Sequence[str]
    ) -> Mapping[str, Any]:
        text = "/".join(f"{name}={wanted[name]}" for name in sorted(wanted))
        token = hashlib.sha256(f"{self._estate}/{key}/{text}/{','.join(ended)}".encode())
        kinds = ("instance", "volume", "network-interface")
        answer = self._call(
            "ec2",
            "run_instances",
            MinCount=1,
            MaxCount=1,
            ClientToken=token.hexdigest(),
            LaunchTemplate={
                "LaunchTemplateId": wanted.get("template") or self._own_template(),
                "Version": "$Default",
            },
            ImageId=wanted["image"],
            InstanceType=wanted["type"],
            SecurityGroupIds=wanted["security_groups"],
            SubnetId=wanted["subnet"],
            TagSpecifications=[one for kind in kinds for one in self._specified(kind, key)],
        )
        instance: Mapping[str, Any] = answer["Instances"][0]
        return instance

    def _own_template(self) -> str:
        """For an instance that is written back: its before-image knows what it was, not how it was started."""
        listed = self._call("ec2", "describe_launch_templates", Filters=self._ours())
        if not listed["LaunchTemplates"]:
            raise NotFound("cannot start the instance again", why="its launch template is gone")
        return str(listed["LaunchTemplates"][0]["LaunchTemplateId"])

    def _change(self, found: Found, wanted: Mapping[str, Json]) -> None:
        instance, differing = found.ids["id"], self.differences(found, wanted)
        if "security_groups" in differing:
            self._modify(instance, Groups=wanted["security_groups"])
        if "protected" in differing:
            self._modify(instance, DisableApiTermination={"Value": wanted["protected"]})
        if "target_groups" in differing:
            before, after = found.attributes["target_groups"], wanted["target_groups"]
            for arn in sorted(set(_texts(after)) - set(_texts(before))):
                register(self._aws, self._region, arn, instance)
            for arn in sorted(set(_texts(before)) - set(_texts(after))):
                deregister(self._aws, self._region, arn, instance)
        if "metadata" in differing:
            options = _PRIVATE if wanted["metadata"] == "v2" else {"HttpTokens": "optional"}
            self._call("ec2", "modify_instance_metadata_options", InstanceId=instance, **options)

    def _modify(self, instance: str, **attribute: Any) -> None:
        self._call("ec2", "modify_instance_attribute", InstanceId=instance, **attribute)

    def _remove(self, found: Found) -> None:
        instance = found.ids["id"]
        for arn in _texts(found.attributes["target_groups"]):
            deregister(self._aws, self._region, arn, instance)
        self._modify(instance, DisableApiTermination={"Value": False})
        self._call("ec2", "terminate_instances", InstanceIds=[instance])
        for wait in PATIENCE:
            if self._described(instance)["State"]["Name"] == "terminated":
                return
            self._aws.pause(wait)
        raise Unreachable(
            f"instance {instance} is not ended yet",
            why="it has been shutting down for minutes",
            fix="run the same command again",
            maybe_done=True,
        )

    def _described(self, instance: str) -> Mapping[str, Any]:
        answer = self._call("ec2", "describe_instances", InstanceIds=[instance])
        one: Mapping[str, Any] = answer["Reservations"][0]["Instances"][0]
        return one

    def until_running(self, key: Key) -> None:
        """Wait for the start. Conflict with EC2's reason when it ended or stopped instead, Unreachable after minutes."""
        instance = self._after(key).ids["id"]
        for wait in PATIENCE:
            one = self._described(instance)
            state = one["State"]["Name"]
            if state == "running":
                return
            if state != "pending":
                reason = (one.get("StateReason") or {}).get("Message", "no reason is given")
                raise Conflict(
                    f"instance {instance} of {key.name} does not run",
                    why=f"it is {state}: {reason}",
                    fix=f"look: aws ec2 describe-instances --instance-ids {instance} --region {self._region}",
                )
            self._aws.pause(wait)
        raise Unreachable(
            f"instance {instance} of {key.name} does not run yet",
            why="it has been starting for minutes",
            fix="run the same command again",
            maybe_done=True,
        )

    def health(self, instance: str) -> str:
        """The worse of EC2's two status checks: ok, initializing, impaired, insufficient-data; its state if it does not run."""
        answer = self._call(
            "ec2", "describe_instance_status", InstanceIds=[instance], IncludeAllInstances=True
        )
        one = answer["InstanceStatuses"][0]
        if one["InstanceState"]["Name"] != "running":
            return str(one["InstanceState"]["Name"])
        checks = {one[name]["Status"] for name in ("InstanceStatus", "SystemStatus")}
        worst = ("impaired", "insufficient-data", "initializing", "not-applicable")
        return next((state for state in worst if state in checks), "ok")


def _texts(value: Json) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _metadata(one: Mapping[str, Any]) -> str:
    options = one.get("MetadataOptions") or {}
    private = all(options.get(name) == value for name, value in _PRIVATE.items())
    return "v2" if private else "v1"
