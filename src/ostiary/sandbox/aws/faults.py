"""What the world's switches do to a call: throttle, lose the answer, cut a list after its first page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.http import ConnectionLost
from ostiary.sandbox.world import World

_THROTTLED = {
    "organizations": ("TooManyRequestsException", 400),
    "kms": ("ThrottlingException", 400),
    "s3": ("SlowDown", 503),
    "ebs": ("RequestThrottledException", 400),
    "acm": ("ThrottlingException", 400),
}
_LATER_PAGE = ("Marker", "NextToken", "ContinuationToken")


def before_effect(world: World, service: str, operation: str, params: Mapping[str, Any]) -> None:
    switches = world.switches
    if switches.throttle_share and world.random.random() < switches.throttle_share:
        code, status = _THROTTLED.get(service, ("Throttling", 400))
        raise AwsError(code, "Rate exceeded", status)
    if (
        switches.cut_page_share
        and any(name in params for name in _LATER_PAGE)
        and world.random.random() < switches.cut_page_share
    ):
        raise ConnectionLost(f"{operation} was cut after its first page")


def after_effect(world: World, *, mutates: bool) -> None:
    share = world.switches.lost_answer_share
    if mutates and share and world.random.random() < share:
        raise ConnectionLost("the answer was lost")
