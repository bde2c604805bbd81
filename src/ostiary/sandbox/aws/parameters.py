"""Which operation a request means, and its parameters, checked against the service's model."""

from __future__ import annotations

from typing import Any

from botocore.model import OperationModel, StructureShape

from ostiary.sandbox.aws.ec2_protocol import params_of_ec2_form
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.rest_protocol import rest_operation
from ostiary.sandbox.aws.s3_requests import s3_operation
from ostiary.sandbox.aws.shapes import (
    NOT_XML,
    TARGETS,
    Params,
    check,
    operation_model,
    params_of_form,
)
from ostiary.sandbox.http import Request

_BEHIND = ("ec2", "elasticloadbalancing")  # moto would put what it was given into its answers
MODELS = {"elasticloadbalancing": "elbv2"}  # signing name -> name of the model, where they differ


def operation_of(request: Request, service: str) -> tuple[str, Params]:
    """Name and typed parameters; the name is "" or unknown for what the service does not have."""
    if service == "s3":
        return s3_operation(request)
    if service == "ebs":
        name, params = rest_operation("ebs", request)
        known = operation_model("ebs", name)
        check(known.input_shape if known else None, params)
        return name, params
    if service in TARGETS.values():
        return _of_json(request, service)
    return _of_form(request, service)


def form_of(request: Request) -> dict[str, str]:
    """The fields of a query request, from its URL and its body."""
    if request.method != "POST":
        return request.query
    try:
        return request.query | request.form
    except UnicodeDecodeError as error:
        raise AwsError("MalformedQueryString", "The query string is malformed") from error


def _of_json(request: Request, service: str) -> tuple[str, Params]:
    target, _, name = request.header("x-amz-target").partition(".")
    if TARGETS.get(target) != service:
        raise AwsError("UnknownOperationException", "")
    try:
        params: Any = request.json
    except (ValueError, RecursionError) as error:
        raise AwsError("SerializationException", "the body is not JSON") from error
    if not isinstance(params, dict):
        raise AwsError("SerializationException", "the body is not a JSON object")
    known = operation_model(service, name)
    shape = known.input_shape if known else None
    members = shape.members if isinstance(shape, StructureShape) else {}
    params = {key: item for key, item in params.items() if key in members and item is not None}
    check(shape, params)
    return name, params


def _of_form(request: Request, service: str) -> tuple[str, Params]:
    form = form_of(request)
    name = form.get("Action", "")
    operation = operation_model(MODELS.get(service, service), name)
    if operation is None:
        version = form.get("Version", "")
        raise AwsError("InvalidAction", f"Could not find operation {name} for version {version}")
    if service in _BEHIND and any(NOT_XML.search(value) for value in form.values()):
        raise AwsError("ValidationError", "The request has a character that is not allowed")
    if service == "ec2":
        params = params_of_ec2_form(operation.input_shape, form)
        if missing := [one for one in _required(operation) if one not in params]:
            wire = missing[0][:1].lower() + missing[0][1:]
            raise AwsError("MissingParameter", f"The request must contain the parameter {wire}")
        return name, params
    params = params_of_form(operation.input_shape, form)
    check(operation.input_shape, params)
    return name, params


def _required(operation: OperationModel) -> list[str]:
    shape = operation.input_shape
    return list(shape.required_members) if isinstance(shape, StructureShape) else []
