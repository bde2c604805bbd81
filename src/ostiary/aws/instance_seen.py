"""The state of an EC2 instance that says who it is, asked of EC2 where the caller has access to its account.

Source: EC2 API Reference, "DescribeInstances" (InvalidInstanceID.NotFound; a terminated instance is seen for an hour).
"""

from __future__ import annotations

from collections.abc import Callable

from ostiary.aws.session import Aws
from ostiary.errors import OstiaryError

UNKNOWN = ""  # EC2 knows no such instance


class InstancesSeen:
    """``reached`` gives AWS in a region, as the caller itself: nothing is asked of other accounts."""

    def __init__(self, reached: Callable[[str], Aws], within: float) -> None:
        self._reached = reached
        self._within = within

    def state(self, account: str, region: str, instance: str) -> str | None:
        """``running``, ``terminated``, …; UNKNOWN for none. None where EC2 of that account cannot be asked."""
        try:
            aws = self._reached(region)
            if aws.call("sts", "get_caller_identity", within=self._within)["Account"] != account:
                return None
            answer = aws.call(
                "ec2", "describe_instances", within=self._within, InstanceIds=[instance]
            )
        except OstiaryError as error:
            return UNKNOWN if error.code == "InvalidInstanceID.NotFound" else None
        held = [one for many in answer["Reservations"] for one in many["Instances"]]
        return str(held[0]["State"]["Name"]) if held else UNKNOWN
