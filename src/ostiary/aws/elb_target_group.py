"""The kind ``elb-target-group``: how the health of the nodes behind a load balancer is asked, and that sessions stick.

Nodes register themselves (``elb_targets.py``); any other target is a stranger, and drift. Source: Elastic Load Balancing API Reference (2015-12-01), CreateTargetGroup, ModifyTargetGroupAttributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from ostiary.aws.elb_targets import DELAY, deregister, tags_by_arn, targets_of
from ostiary.aws.ownership import TAG
from ostiary.aws.tagged import TaggedKind, short
from ostiary.errors import Conflict
from ostiary.plan.resource import Found, Json, Key

_ATTRIBUTES = {
    "stickiness.enabled": "true",
    "stickiness.type": "lb_cookie",
    "deregistration_delay.timeout_seconds": str(DELAY),
}
_PATIENCE = (0.5, 1, 2, 4, 8, 15)


class TargetGroupKind(TaggedKind):
    name = "elb-target-group"
    immutable = frozenset({"vpc", "protocol", "port"})

    def _listed(self) -> Iterator[Found]:
        groups = {
            one["TargetGroupArn"]: one
            for one in self._pages("elbv2", "describe_target_groups", "TargetGroups")
        }
        for arn, tags in tags_by_arn(self._aws, self._region, list(groups)):
            if tags.get(TAG) != self._estate:
                continue
            one = groups[arn]
            found = self._found(
                tags,
                {
                    "vpc": one.get("VpcId", ""),
                    "protocol": one["Protocol"],
                    "port": one["Port"],
                    "health_path": one.get("HealthCheckPath", ""),
                    "health_codes": (one.get("Matcher") or {}).get("HttpCode", ""),
                    "stickiness": self._sticks(arn),
                    "strangers": cast("Json", self._strangers(arn)),
                },
                {"id": arn},
            )
            if found is not None:
                yield found

    def _sticks(self, arn: str) -> int:
        """Seconds that a session stays with its node; 0 when it does not."""
        answer = self._call("elbv2", "describe_target_group_attributes", TargetGroupArn=arn)
        have = {one["Key"]: one["Value"] for one in answer["Attributes"]}
        if have.get("stickiness.enabled") != "true":
            return 0
        return int(have.get("stickiness.lb_cookie.duration_seconds", 86400))

    def _strangers(self, arn: str) -> list[str]:
        """Targets that are no nodes of ours; a node that has ended is known by its tags for an hour."""
        targets = targets_of(self._aws, self._region, arn)
        if not targets:
            return []
        ours = {
            one["InstanceId"]
            for reservation in self._pages(
                "ec2", "describe_instances", "Reservations", Filters=self._ours()
            )
            for one in reservation["Instances"]
        }
        return sorted(
            one for one, state in targets.items() if one not in ours and state != "draining"
        )

    def _make(self, key: Key, wanted: Mapping[str, Json]) -> None:
        made = self._began(
            key,
            "elbv2",
            "create_target_group",
            Name=elb_name(key),
            Protocol=wanted["protocol"],
            Port=wanted["port"],
            VpcId=wanted["vpc"],
            TargetType="instance",
            HealthCheckProtocol=wanted["protocol"],
            HealthCheckPath=wanted["health_path"],
            Matcher={"HttpCode": wanted["health_codes"]},
            Tags=self._tags(key, short(key)),
        )
        self._change(made, wanted)

    def _change(self, found: Found, wanted: Mapping[str, Json]) -> None:
        arn = found.ids["id"]
        have = found.attributes
        if any(have[name] != wanted[name] for name in ("health_path", "health_codes")):
            self._call(
                "elbv2",
                "modify_target_group",
                TargetGroupArn=arn,
                HealthCheckPath=wanted["health_path"],
                Matcher={"HttpCode": wanted["health_codes"]},
            )
        if have["stickiness"] != wanted["stickiness"]:
            seconds = {"stickiness.lb_cookie.duration_seconds": str(wanted["stickiness"])}
            self._call(
                "elbv2",
                "modify_target_group_attributes",
                TargetGroupArn=arn,
                Attributes=[
                    {"Key": name, "Value": value}
                    for name, value in {**_ATTRIBUTES, **seconds}.items()
                ],
            )
        for stranger in cast("list[str]", have["strangers"]):
            if stranger not in cast("list[str]", wanted["strangers"]):
                deregister(self._aws, self._region, arn, stranger)

    def _remove(self, found: Found) -> None:
        for wait in _PATIENCE:
            try:
                self._call("elbv2", "delete_target_group", TargetGroupArn=found.ids["id"])
            except Conflict as used:
                if used.code != "ResourceInUse":
                    raise
                last = used
            else:
                return
            self._aws.pause(wait)
        raise last

    def _untag(self, found: Found) -> None:
        self._call("elbv2", "remove_tags", ResourceArns=[found.ids["id"]], TagKeys=[TAG])


def elb_name(key: Key) -> str:
    """At most 32 letters, digits and dashes."""
    return short(key)[:32].strip("-")
