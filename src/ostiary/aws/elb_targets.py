"""Which instances a target group sends requests to. Registration is part of a node: it comes after its start and ends before it.

So a node is replaced only when the one before it is registered again; and a plan stays true while an instance ends, which
the service takes out of its groups by itself. Source: Elastic Load Balancing API Reference (2015-12-01), RegisterTargets,
DeregisterTargets, DescribeTargetHealth; User Guide, "Deregistration delay".
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator

from ostiary.aws.ownership import TAG
from ostiary.aws.session import Aws
from ostiary.aws.tagged import tags_of
from ostiary.errors import NotFound

AT_ONCE = 20  # ARNs whose tags the service tells in one call
DELAY = 120  # seconds that requests in flight are given when a node goes
_LOOKS = (1, 2, 4, 8, 15, 15, 15, 15, 15, 15, 15, 15)  # a little more than DELAY in all


def tags_by_arn(aws: Aws, region: str, arns: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    for first in range(0, len(arns), AT_ONCE):
        answer = aws.call(
            "elbv2", "describe_tags", region=region, ResourceArns=arns[first : first + AT_ONCE]
        )
        for one in answer["TagDescriptions"]:
            yield one["ResourceArn"], tags_of(one)


def groups_of(aws: Aws, region: str, estate: str) -> tuple[str, ...]:
    """ARNs of the target groups that bear the mark of an estate."""
    arns = [
        one["TargetGroupArn"]
        for one in aws.pages("elbv2", "describe_target_groups", "TargetGroups", region=region)
    ]
    tagged = tags_by_arn(aws, region, arns)
    return tuple(arn for arn, tags in tagged if tags.get(TAG) == estate)


def targets_of(aws: Aws, region: str, arn: str) -> dict[str, str]:
    """State (initial, healthy, unhealthy, unused, draining, unavailable) by the id of each target."""
    answer = aws.call("elbv2", "describe_target_health", region=region, TargetGroupArn=arn)
    return {
        one["Target"]["Id"]: str((one.get("TargetHealth") or {}).get("State", ""))
        for one in answer["TargetHealthDescriptions"]
    }


def registrations(aws: Aws, region: str, estate: str) -> dict[str, list[str]]:
    """ARNs of the estate's target groups by instance; who is draining is no longer in."""
    found: dict[str, list[str]] = defaultdict(list)
    for arn in sorted(groups_of(aws, region, estate)):
        for instance, state in targets_of(aws, region, arn).items():
            if state != "draining":
                found[instance].append(arn)
    return found


def register(aws: Aws, region: str, arn: str, instance: str) -> None:
    """Conflict (InvalidTarget) for an instance that does not run."""
    _change(aws, region, "register_targets", arn, instance)


def deregister(aws: Aws, region: str, arn: str, instance: str) -> None:
    """Take an instance out and let requests in flight end. A group that is gone has no targets."""
    with contextlib.suppress(NotFound):
        _change(aws, region, "deregister_targets", arn, instance)
        for wait in _LOOKS:
            if targets_of(aws, region, arn).get(instance) != "draining":
                return
            aws.pause(wait)


def _change(aws: Aws, region: str, operation: str, arn: str, instance: str) -> None:
    targets = [{"Id": instance}]
    aws.call(
        "elbv2", operation, region=region, repeatable=True, TargetGroupArn=arn, Targets=targets
    )
