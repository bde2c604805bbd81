"""DescribeTargetHealth: a target is healthy where its group has a listener and its instance runs.

No health check is made: nothing runs in the embedded instances. Source: Elastic Load Balancing API Reference, TargetHealth.
"""

from __future__ import annotations

from typing import Any

from ostiary.sandbox.aws import behind
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError

_STATES = ("stopping", "stopped", "shutting-down", "terminated")


def describe(call: Call) -> dict[str, Any]:
    arn = call.params["TargetGroupArn"]
    with behind.entered(call.cloud, "elasticloadbalancing"):
        from moto.ec2.models import ec2_backends  # noqa: PLC0415 - see behind.py
        from moto.elbv2.models import elbv2_backends  # noqa: PLC0415

        elb = elbv2_backends[call.account.id][call.region]
        group = elb.target_groups.get(arn)
        if group is None:
            raise AwsError("TargetGroupNotFound", f"Target groups '{arn}' not found")
        used = elb._any_listener_using(arn)  # noqa: SLF001 - moto does not tell otherwise
        ec2 = ec2_backends[call.account.id][call.region]
        states = {one.id: one.state for one in ec2.all_instances()}
        registered = [(str(one["Id"]), int(one["Port"])) for one in group.targets.values()]
    asked = [
        (str(one["Id"]), int(one.get("Port") or group.port))
        for one in call.params.get("Targets") or ()
    ]
    return {
        "TargetHealthDescriptions": [
            {
                "Target": {"Id": target, "Port": port},
                "HealthCheckPort": str(port),
                "TargetHealth": _health(
                    (target, port) in registered, used, states.get(target, "running")
                ),
            }
            for target, port in asked or registered
        ]
    }


def _health(registered: bool, used: bool, state: str) -> dict[str, str]:
    if not registered:
        reason, text = "Target.NotRegistered", "Target is not registered to the target group"
    elif not used:
        reason = "Target.NotInUse"
        text = "Target group is not configured to receive traffic from the load balancer"
    elif state in _STATES:
        reason, text = "Target.InvalidState", f"Target is in the {state} state"
    else:
        return {"State": "healthy"}
    return {"State": "unused", "Reason": reason, "Description": text}
