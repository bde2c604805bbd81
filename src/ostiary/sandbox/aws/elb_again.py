"""A load balancer or target group that is made again: the one that is there, or a refusal when it is another.

Source: Elastic Load Balancing API Reference, CreateLoadBalancer and CreateTargetGroup: "this operation is idempotent".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ostiary.sandbox.aws import behind
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.elb_checks import Backends
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.http import Response


def already(call: Call) -> Response | None:
    """The answer for an object that is there with the same settings. Raises for one with others."""
    kinds = {"CreateLoadBalancer": "LoadBalancer", "CreateTargetGroup": "TargetGroup"}
    kind = kinds.get(call.operation)
    if kind is None:
        return None
    name = call.params["Name"]
    with behind.entered(call.cloud, "elasticloadbalancing"):
        elb = Backends(call).elb
        every = elb.load_balancers if kind == "LoadBalancer" else elb.target_groups
        known = next((one for one in every.values() if one.name == name), None)
        if known is None:
            return None
        same = _same_balancer if kind == "LoadBalancer" else _same_group
        if not same(call.params, known):
            word = "load balancer" if kind == "LoadBalancer" else "target group"
            raise AwsError(
                f"Duplicate{kind}Name",
                f"A {word} with the same name '{name}' exists, but with different settings",
            )
        answer = behind.ask(call, f"Describe{kind}s", {"Names.member.1": name})
    body = answer.body.replace(f"Describe{kind}s".encode(), f"Create{kind}".encode())
    return Response(answer.status, body, answer.headers)


def _same_balancer(params: Mapping[str, Any], known: Any) -> bool:
    groups = set(params.get("SecurityGroups") or known.security_groups)
    return (
        {one.id for one in known.subnets} == set(params.get("Subnets") or ())
        and groups == set(known.security_groups)
        and params.get("Scheme", "internet-facing") == known.scheme
    )


def _same_group(params: Mapping[str, Any], known: Any) -> bool:
    return (
        (params.get("Protocol"), params.get("VpcId")) == (known.protocol, known.vpc_id)
        and str(params.get("Port")) == str(known.port)
        and params.get("TargetType", "instance") == known.target_type
        and params.get("HealthCheckPath") in (None, known.health_check_path)
        and params.get("HealthCheckProtocol") in (None, known.health_check_protocol)
    )
