"""The kind ``ec2-instance``: one node, started from the launch template, protected against termination.

Another AMI or size is another instance: the old one is ended, then a new one is started. Nodes depend on each other in the
plan, so that one is replaced at a time. Source: Amazon EC2 API Reference, RunInstances (ClientToken).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from ostiary.aws.tagged import TaggedKind, short, tags_of
from ostiary.errors import Conflict, NotFound, Unreachable
from ostiary.plan.resource import Found, Json, Key

_ALIVE = ["pending", "running", "stopping", "stopped"]
_PATIENCE = (1, 2, 4, 8, 15, 30, 30, 30, 30, 30, 60, 60)  # seconds in all: some five minutes


class InstanceKind(TaggedKind):
    name = "ec2-instance"
    immutable = frozenset({"image", "type", "subnet"})

    def _listed(self) -> Iterator[Found]:
        alive = {"Name": "instance-state-name", "Values": _ALIVE}
        for reservation in self._pages(
            "ec2", "describe_instances", "Reservations", Filters=[*self._ours(), alive]
        ):
            for one in reservation["Instances"]:
                groups = sorted(group["GroupId"] for group in one.get("SecurityGroups") or ())
                found = self._found(
                    tags_of(one),
                    {
                        "image": one["ImageId"],
                        "type": one["InstanceType"],
                        "subnet": one.get("SubnetId", ""),
                        "security_groups": [*groups],
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

    def differences(self, found: Found, wanted: Mapping[str, Json]) -> tuple[str, ...]:
        """The template is how it is started, not what it is."""
        return super().differences(
            found, {name: value for name, value in wanted.items() if name != "template"}
        )

    def _make(self, key: Key, wanted: Mapping[str, Json]) -> None:
        """The token is of what is wanted: after a lost answer no second instance starts."""
        text = "/".join(f"{name}={wanted[name]}" for name in sorted(wanted))
        gone = sum(1 for _ in self._ended(key))
        token = hashlib.sha256(f"{self._estate}/{key}/{text}/{gone}".encode()).hexdigest()
        self._call(
            "ec2",
            "run_instances",
            MinCount=1,
            MaxCount=1,
            ClientToken=token,
            LaunchTemplate={
                "LaunchTemplateId": wanted.get("template") or self._own_template(),
                "Version": "$Default",
            },
            SubnetId=wanted["subnet"],
            TagSpecifications=[
                *self._specified("instance", key),
                *self._specified("volume", key),
            ],
        )

    def _own_template(self) -> str:
        """For an instance that is written back: its before-image knows what it was, not how it was started."""
        listed = self._call("ec2", "describe_launch_templates", Filters=self._ours())
        if not listed["LaunchTemplates"]:
            raise NotFound("cannot start the instance again", why="its launch template is gone")
        return str(listed["LaunchTemplates"][0]["LaunchTemplateId"])

    def _ended(self, key: Key) -> Iterator[str]:
        """Instances of this name that were ended: each makes the next one's token another."""
        over = {"Name": "instance-state-name", "Values": ["shutting-down", "terminated"]}
        for reservation in self._pages(
            "ec2", "describe_instances", "Reservations", Filters=[*self._ours(), over]
        ):
            for one in reservation["Instances"]:
                if tags_of(one).get("ostiary:name") == short(key):
                    yield one["InstanceId"]

    def _change(self, found: Found, wanted: Mapping[str, Json]) -> None:
        self._call(
            "ec2",
            "modify_instance_attribute",
            InstanceId=found.ids["id"],
            Groups=wanted["security_groups"],
        )

    def _remove(self, found: Found) -> None:
        instance_id = found.ids["id"]
        self._call(
            "ec2",
            "modify_instance_attribute",
            InstanceId=instance_id,
            DisableApiTermination={"Value": False},
        )
        self._call("ec2", "terminate_instances", InstanceIds=[instance_id])
        for wait in _PATIENCE:
            answer = self._call("ec2", "describe_instances", InstanceIds=[instance_id])
            states = [
                one["State"]["Name"]
                for reservation in answer["Reservations"]
                for one in reservation["Instances"]
            ]
            if all(state == "terminated" for state in states):
                return
            self._aws.pause(wait)
        raise Unreachable(
            f"instance {instance_id} is not ended yet",
            why="it has been shutting down for minutes",
            fix="run the same command again",
            maybe_done=True,
        )


def until_ready(kind: InstanceKind, key: Key) -> Found:
    """The instance once it runs. Conflict if it ended instead."""
    for wait in (*_PATIENCE, 60, 60, 60):
        found = kind.look(key)
        if found is None:
            raise Conflict(f"instance {key.name} is gone", why="it ended by itself or was ended")
        if found.ids["state"] == "running":
            return found
        kind._aws.pause(wait)  # noqa: SLF001 - a wait of the same object, on its way to a stop
    raise Unreachable(
        f"instance {key.name} does not run yet",
        why="it has been starting for minutes",
        fix="run the same command again",
    )
