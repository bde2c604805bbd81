"""What Elastic Load Balancing refuses and moto does not.

Source: Elastic Load Balancing API Reference (version 2015-12-01): errors of CreateLoadBalancer, CreateTargetGroup,
RegisterTargets, CreateListener, ModifyListener, DeleteLoadBalancer. Unverified: most of the words, as the reference gives codes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from ostiary.sandbox.aws import behind
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError

_NAME = 32
_LEAST_ZONES = 2


def check(call: Call) -> None:
    """Raise AWS's own error; put in what a request leaves to the service."""
    found = _OF_OPERATION.get(call.operation)
    if found is None:
        return
    with behind.entered(call.cloud, "elasticloadbalancing"):
        found(call, Backends(call))


class Backends:
    """moto's stores of the caller's account and region."""

    def __init__(self, call: Call) -> None:
        from moto.acm.models import acm_backends  # noqa: PLC0415 - see behind.py
        from moto.ec2.models import ec2_backends  # noqa: PLC0415
        from moto.elbv2.models import elbv2_backends  # noqa: PLC0415

        place = call.account.id, call.region
        self.elb: Any = elbv2_backends[place[0]][place[1]]
        self.ec2: Any = ec2_backends[place[0]][place[1]]
        self.acm: Any = acm_backends[place[0]][place[1]]

    def subnet(self, subnet_id: str) -> Any:
        for subnets in self.ec2.subnets.values():
            if subnet_id in subnets:
                return subnets[subnet_id]
        raise AwsError("SubnetNotFound", f"The subnet ID '{subnet_id}' does not exist")

    def balancer(self, arn: str) -> Any:
        found = self.elb.load_balancers.get(arn)
        if found is None:
            raise AwsError("LoadBalancerNotFound", f"Load balancer '{arn}' not found")
        return found


def _create_load_balancer(call: Call, there: Backends) -> None:
    params = call.params
    _check_name("load balancer", params["Name"])
    if params.get("Type", "application") != "application":
        raise AwsError("NotImplemented", "Only application load balancers are served here", 501)
    named = params.get("Subnets") or [
        one.get("SubnetId") for one in params.get("SubnetMappings") or ()
    ]
    subnets = [there.subnet(one) for one in named]
    zones = [one.availability_zone for one in subnets]
    if len({one.id for one in subnets}) > len(set(zones)):
        raise AwsError(
            "InvalidConfigurationRequest",
            "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
        )
    if len(set(zones)) < _LEAST_ZONES:
        raise AwsError(
            "ValidationError",
            "At least two subnets in two different Availability Zones must be specified",
        )
    if len({one.vpc_id for one in subnets}) > 1:
        raise AwsError("InvalidConfigurationRequest", "All subnets must belong to the same VPC")
    _check_groups(params.get("SecurityGroups") or [], subnets[0].vpc_id, there)
    usual = {"Scheme": "internet-facing"}
    if not params.get("SecurityGroups"):
        group = there.ec2.get_security_group_from_name("default", subnets[0].vpc_id)
        usual["SecurityGroups.member.1"] = group.id
    _put_in(call, {name: text for name, text in usual.items() if name not in params})


def _put_in(call: Call, fields: Mapping[str, str]) -> None:
    """Say what the request leaves out; moto does not know the defaults."""
    form = dict(parse_qsl(call.request.body.decode(), keep_blank_values=True)) | dict(fields)
    call.request = replace(call.request, body=urlencode(form).encode())


def _check_name(kind: str, name: str) -> None:
    fault = ""
    if len(name) > _NAME:
        fault = f"cannot be longer than '{_NAME}' characters"
    elif not re.fullmatch(r"[A-Za-z0-9-]+", name):
        fault = "can only contain characters that are alphanumeric characters and hyphens(-)"
    elif name.startswith("-") or name.endswith("-"):
        fault = "cannot begin or end with a hyphen(-)"
    elif kind == "load balancer" and name.startswith("internal-"):
        fault = "cannot begin with 'internal-'"
    if fault:
        raise AwsError("ValidationError", f"The {kind} name '{name}' {fault}")


def _check_groups(group_ids: list[str], vpc_id: str, there: Backends) -> None:
    for one in group_ids:
        group = there.ec2.get_security_group_from_id(one)
        if group is None or group.vpc_id != vpc_id:
            raise AwsError(
                "InvalidSecurityGroup",
                f"One or more security groups are invalid: '{one}' does not exist in '{vpc_id}'",
            )


def _create_target_group(call: Call, _: Backends) -> None:
    _check_name("target group", call.params["Name"])


def _set_security_groups(call: Call, there: Backends) -> None:
    balancer = there.balancer(call.params["LoadBalancerArn"])
    _check_groups(call.params["SecurityGroups"], balancer.vpc_id, there)


def _register_targets(call: Call, there: Backends) -> None:
    group = there.elb.target_groups.get(call.params["TargetGroupArn"])
    if group is None or group.target_type != "instance":
        return
    running = {one.id: one for one in there.ec2.all_instances() if one.state == "running"}
    ids = [str(one["Id"]) for one in call.params["Targets"]]
    if idle := [one for one in ids if one not in running]:
        raise AwsError(
            "InvalidTarget",
            f"The following targets are not in a running state and cannot be registered: '{', '.join(idle)}'",
        )
    if far := [one for one in ids if running[one].vpc_id != group.vpc_id]:
        raise AwsError(
            "InvalidTarget",
            f"The following targets are not in the target group VPC '{group.vpc_id}': '{', '.join(far)}'",
        )


def _create_listener(call: Call, there: Backends) -> None:
    balancer = there.balancer(call.params["LoadBalancerArn"])
    port = call.params.get("Port")
    if any(int(one.port) == port for one in balancer.listeners.values()):
        raise AwsError(
            "DuplicateListener",
            f"A listener already exists on this port for this load balancer '{balancer.arn}'",
        )
    _check_listener(call, there, call.params.get("Protocol"), has_certificate=False)


def _modify_listener(call: Call, there: Backends) -> None:
    for balancer in there.elb.load_balancers.values():
        found = balancer.listeners.get(call.params["ListenerArn"])
        if found is not None:
            protocol = call.params.get("Protocol", found.protocol)
            _check_listener(call, there, protocol, has_certificate=bool(found.certificate))


def _check_listener(
    call: Call, there: Backends, protocol: str | None, *, has_certificate: bool
) -> None:
    wanted = [one.get("CertificateArn", "") for one in call.params.get("Certificates") or ()]
    if protocol == "HTTPS" and not wanted and not has_certificate:
        raise AwsError("ValidationError", "A certificate must be specified for HTTPS listeners")
    for arn in wanted:
        known = there.acm._certificates if ":acm:" in arn else {}  # noqa: SLF001 - moto has no look-up that does not raise its own
        if arn not in known and ":iam:" not in arn:
            raise AwsError("CertificateNotFound", f"Certificate '{arn}' not found")
    for arn in _forwarded(call.params.get("DefaultActions") or []):
        if arn not in there.elb.target_groups:
            raise AwsError("TargetGroupNotFound", f"Target groups '{arn}' not found")


def _forwarded(actions: list[dict[str, Any]]) -> Iterator[str]:
    for action in actions:
        if arn := action.get("TargetGroupArn"):
            yield arn
        for one in (action.get("ForwardConfig") or {}).get("TargetGroups") or ():
            yield one["TargetGroupArn"]


def _delete_load_balancer(call: Call, there: Backends) -> None:
    found = there.elb.load_balancers.get(call.params["LoadBalancerArn"])
    if found is not None and found.attrs.get("deletion_protection.enabled") == "true":
        raise AwsError(
            "OperationNotPermitted",
            f"Load balancer '{found.arn}' cannot be deleted because deletion protection is enabled",
        )


def check_certificate(call: Call) -> None:
    """ACM keeps a certificate that a listener has. Source: ACM API Reference, DeleteCertificate; words unverified."""
    arn = call.params.get("CertificateArn", "")
    with behind.entered(call.cloud, "elasticloadbalancing"):
        for balancer in Backends(call).elb.load_balancers.values():
            for listener in balancer.listeners.values():
                if arn in listener.certificates:
                    text = f"Certificate {arn} in account {call.account.id} is in use."
                    raise AwsError("ResourceInUseException", text)


_OF_OPERATION: Mapping[str, Callable[[Call, Backends], None]] = {
    "CreateListener": _create_listener,
    "CreateLoadBalancer": _create_load_balancer,
    "CreateTargetGroup": _create_target_group,
    "DeleteLoadBalancer": _delete_load_balancer,
    "ModifyListener": _modify_listener,
    "RegisterTargets": _register_targets,
    "SetSecurityGroups": _set_security_groups,
}
