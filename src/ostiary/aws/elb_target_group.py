"""The kind ``elb-target-group``: the nodes behind a load balancer, how their health is asked, and that sessions stick.

Source: Elastic Load Balancing API Reference (2015-12-01), CreateTargetGroup, ModifyTargetGroupAttributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from ostiary.aws.ownership import TAG
from ostiary.aws.tagged import TaggedKind, short, tags_of
from ostiary.errors import Conflict
from ostiary.plan.resource import Found, Json, Key

_ATTRIBUTES = {
    "stickiness.enabled": "true",
    "stickiness.type": "lb_cookie",
    "deregistration_delay.timeout_seconds": "120",
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
        for arn, tags in tagged(self, list(groups)):
            one = groups[arn]
            found = self._found(
                tags,
                {
                    "vpc": one.get("VpcId", ""),
                    "protocol": one["Protocol"],
                    "port": one["Port"],
                    "health_path": one.get("HealthCheckPath", ""),
                    "health_codes": (one.get("Matcher") or {}).get("HttpCode", ""),
                    "stickiness": self._sticks(arn) if tags.get(TAG) == self._estate else 0,
                    "targets": cast("Json", self._targets(arn, tags)),
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

    def _targets(self, arn: str, tags: Mapping[str, str]) -> list[str]:
        if tags.get(TAG) != self._estate:
            return []
        answer = self._call("elbv2", "describe_target_health", TargetGroupArn=arn)
        return sorted(
            one["Target"]["Id"]
            for one in answer["TargetHealthDescriptions"]
            if (one.get("TargetHealth") or {}).get("State") != "draining"
        )

    def differences(self, found: Found, wanted: Mapping[str, Json]) -> tuple[str, ...]:
        targets = cast("Json", sorted(cast("list[str]", wanted.get("targets") or [])))
        return super().differences(found, {**wanted, "targets": targets})

    def _make(self, key: Key, wanted: Mapping[str, Json]) -> None:
        self._call(
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
        self._change(self._after(key), wanted)

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
        before = set(cast("list[str]", have["targets"]))
        after = set(cast("list[str]", wanted["targets"]))
        for operation, ids in (
            ("register_targets", after - before),
            ("deregister_targets", before - after),
        ):
            if ids:
                targets = [{"Id": one} for one in sorted(ids)]
                self._call("elbv2", operation, TargetGroupArn=arn, Targets=targets)

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


def tagged(kind: TaggedKind, arns: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """ARN and tags of each; the service tells them for at most 20 at a time."""
    for first in range(0, len(arns), 20):
        answer: Any = kind._call(  # noqa: SLF001 - of the same family
            "elbv2", "describe_tags", ResourceArns=arns[first : first + 20]
        )
        for one in answer["TagDescriptions"]:
            yield one["ResourceArn"], tags_of(one)
