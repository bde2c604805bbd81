"""The one origin of the embedded AWS: every service of every partition behind the same checks.

Order: route, signature, principal, throttling, parameters, authorization, effect, answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

from ostiary.sandbox.aws import (
    kms_keys,
    kms_policy,
    s3_buckets,
    s3_lock,
    s3_policy,
    signin,
    sts,
    sts_saml,
)
from ostiary.sandbox.aws.authorize import authorize, check_denied_switch
from ostiary.sandbox.aws.call import Call, Principal, principal_of
from ostiary.sandbox.aws.effects import perform
from ostiary.sandbox.aws.faults import after_effect, before_effect
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.iam_users import with_own_name
from ostiary.sandbox.aws.operations import OPEN, OPERATIONS, Operation
from ostiary.sandbox.aws.parameters import form_of, operation_of
from ostiary.sandbox.aws.replies import error_response, query_response
from ostiary.sandbox.aws.resources import of_call, of_launch, tagged_kinds
from ostiary.sandbox.aws.shapes import TARGETS, operation_model, params_of_form
from ostiary.sandbox.aws.signature import Scope, scope_of, verify
from ostiary.sandbox.http import Request, Response
from ostiary.sandbox.world import World

REGION_PREFIXES = {"us-gov-": "aws-us-gov", "cn-": "aws-cn", "eusc-": "aws-eusc"}
SERVICES = {"iam", "sts", "organizations", "s3", "kms", "ec2", "elasticloadbalancing", "ebs", "acm"}


def handle(world: World, request: Request) -> Response:
    """Answer one request. Raises ConnectionLost where the world's switches say so, nothing else."""
    if not request.header("authorization") and signin.serves(request):
        return signin.handle(world, request)
    request_id = _request_id(world)
    service = ""
    try:
        scope = scope_of(request)
        service = _spoken(request, scope)
        if scope is None:
            response = _without_signature(world, request, request_id)
        else:
            response = _signed(world, request, scope, request_id)
    except AwsError as error:
        response = error_response(service, error, request_id)
    date = formatdate(world.clock.now(), usegmt=True)
    return Response(
        response.status,
        b"" if request.method == "HEAD" else response.body,
        (*((k, v) for k, v in response.headers if k != "date"), ("date", date)),
    )


def _request_id(world: World) -> str:
    text = world.aws.new_hex(32)
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _spoken(request: Request, scope: Scope | None) -> str:
    """The service in whose protocol to answer; for one that is not served, one that speaks alike."""
    if scope is not None and scope.service in SERVICES:
        return scope.service
    target = request.header("x-amz-target")
    if target or "json" in request.header("content-type"):
        return TARGETS.get(target.partition(".")[0], "kms")
    return "sts" if request.method == "POST" or "Action" in request.query else "s3"


def _without_signature(world: World, request: Request, request_id: str) -> Response:
    """AssumeRoleWithSAML is the one call that needs no credentials."""
    form = form_of(request)
    if form.get("Action") != "AssumeRoleWithSAML":
        raise AwsError("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
    operation = operation_model("sts", "AssumeRoleWithSAML")
    if operation is None:
        raise AwsError("InvalidAction", "Could not find operation AssumeRoleWithSAML")
    params = params_of_form(operation.input_shape, form)
    role = str(params.get("RoleArn", "")).split(":")
    account = role[4] if len(role) > 4 else ""  # noqa: PLR2004 - the account's place in an ARN
    world.calls.append(("sts", "AssumeRoleWithSAML", account))
    before_effect(world, "sts", "AssumeRoleWithSAML", params)
    result = sts_saml.assume_role_with_saml(world, params, request)
    return query_response(operation, result, request_id)


def _signed(world: World, request: Request, scope: Scope, request_id: str) -> Response:
    if scope.service not in SERVICES:
        raise AwsError("NotImplemented", f"The service {scope.service} is not served", 501)
    principal = principal_of(world.aws, verify(world.aws, request, scope))
    _check_partition(scope, principal)
    name, params = operation_of(request, scope.service)
    now = world.clock.now()
    delay = world.switches.visible_after
    call = Call(
        world,
        request,
        scope.service,
        name,
        scope.region,
        params,
        principal,
        now,
        now + delay if delay else 0.0,
        request_id,
    )
    world.calls.append((scope.service, name, sts.account_of(call)))
    row = OPERATIONS.get((scope.service, name))
    if row is None:
        raise AwsError(
            "NotImplemented", f"The action {scope.service}:{name or '?'} is not served here", 501
        )
    before_effect(world, row.service, row.name, params)
    _check_may(call, row)
    response = perform(call, row)
    after_effect(world, mutates=row.mutates)
    return response


def _check_partition(scope: Scope, principal: Principal) -> None:
    """Credentials of one partition are unknown in the regions of another."""
    partition = next(
        (name for prefix, name in REGION_PREFIXES.items() if scope.region.startswith(prefix)), "aws"
    )
    if partition != principal.account.partition:
        raise AwsError(
            "InvalidClientTokenId", "The security token included in the request is invalid.", 403
        )
    if principal.account.status != "ACTIVE":
        raise AwsError("AccessDenied", "The account is not active", 403)


def _check_may(call: Call, row: Operation) -> None:
    if row.service == "kms":
        kms_keys.resolve_key(call)
    if row.action == OPEN:
        account = sts.account_of(call)
        for account_id in {account, call.account.id}:
            check_denied_switch(call, account_id, f"sts:{row.name}", of_call(call, row)[0][0])
        return
    if "{UserName}" in row.resource:
        with_own_name(call)
    of_bucket = row.service == "s3" and bool(call.params.get("Bucket"))
    policy = s3_policy.policy_of_bucket(call) if of_bucket else None
    if row.service == "kms":
        _check_kms(call, row)
        return
    for resource, target in of_call(call, row):
        authorize(call, row.action, resource, target, policy)
        for action in s3_lock.also_needed(call) if row.service == "s3" else ():
            authorize(call, action, resource, target, policy)
    if of_bucket:
        s3_buckets.check_bucket(call)
    if row.service == "ec2":
        _check_ec2(call)


def _check_kms(call: Call, row: Operation) -> None:
    """A key's own policy must allow; who names an alias needs to be allowed that, and on both keys where it moves."""
    more = _check_key(call, row)
    if left := kms_keys.left_behind(call):
        to = call.params["KeyArn"]
        call.params["KeyArn"] = left
        _check_key(call, row)
        call.params["KeyArn"] = to
    if alias := kms_policy.alias_arn(call):
        authorize(call, row.action, alias, None, more=more)
    kms_policy.check(call)


def _check_key(call: Call, row: Operation) -> Mapping[str, Any]:
    """KMS's condition keys of the call, when the key lets it."""
    more = kms_policy.context_of(call)
    policy = kms_policy.policy_of(call)
    for resource, target in of_call(call, row):
        authorize(call, row.action, resource, target, policy, more=more, must=policy is not None)
    return more


def _check_ec2(call: Call) -> None:
    """A launch needs to be allowed on all that it uses, and who tags what he makes has to be allowed that as well."""
    if call.operation == "RunInstances":
        for resource in of_launch(call):
            authorize(call, "ec2:RunInstances", resource, None)
    for resource in tagged_kinds(call):
        context = {"ec2:CreateAction": call.operation}
        authorize(call, "ec2:CreateTags", resource, None, more=context)
