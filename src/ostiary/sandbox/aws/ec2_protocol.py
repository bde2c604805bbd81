"""EC2's own dialect of the query protocol: flattened lists in, lower-case XML out, errors in a form of their own.

Source: Smithy 2.0, "AWS EC2 query protocol"; botocore's model of ec2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.model import ListShape, OperationModel, Shape, StructureShape
from lxml import etree

from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.shapes import Params, scalar, unprefixed, write_members
from ostiary.sandbox.http import Response

NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
# What the query protocol calls it -> what EC2 calls it.
_CODES = {
    "AccessDenied": ("UnauthorizedOperation", 403),
    "InvalidClientTokenId": ("AuthFailure", 401),
    "SignatureDoesNotMatch": ("SignatureDoesNotMatch", 403),
    "ExpiredToken": ("RequestExpired", 400),
    "Throttling": ("RequestLimitExceeded", 503),
    "ValidationError": ("InvalidParameterValue", 400),
    "MalformedInput": ("InvalidParameterValue", 400),
}


def params_of_ec2_form(shape: Shape | None, form: Mapping[str, str]) -> Params:
    """The typed parameters of a request; fields that the model does not know are refused, as EC2 does."""
    tree: dict[str, Any] = {}
    for name, value in form.items():
        if name in ("Action", "Version"):
            continue
        branch = tree
        *way, last = name.split(".")
        for step in way:
            below = branch.setdefault(step, {})
            if not isinstance(below, dict):
                raise AwsError("InvalidParameterCombination", f"The parameter {name} is ambiguous")
            branch = below
        branch[last] = value
    if not isinstance(shape, StructureShape):
        return {}
    names = {_wire_name(name, member) for name, member in shape.members.items()}
    if strange := sorted(set(tree) - names):
        raise AwsError("UnknownParameter", f"The parameter {strange[0]} is not recognized")
    return _structure(shape, tree)


def _wire_name(name: str, member: Shape) -> str:
    serialization = member.serialization
    if "queryName" in serialization:
        return str(serialization["queryName"])
    found = str(serialization.get("name", name))
    return found[:1].upper() + found[1:]


def _structure(shape: StructureShape, tree: Mapping[str, Any]) -> Params:
    found = {}
    for name, member in shape.members.items():
        wire = _wire_name(name, member)
        if wire in tree:
            found[name] = _typed(member, tree[wire], wire)
    return found


def _typed(shape: Shape, value: Any, where: str) -> Any:
    if isinstance(shape, StructureShape):
        if not isinstance(value, dict):
            raise AwsError("InvalidParameterValue", f"{where} is not a structure")
        return _structure(shape, value)
    if isinstance(shape, ListShape):
        if not isinstance(value, dict):
            raise AwsError("InvalidParameterValue", f"{where} is not a list")
        try:
            numbers = sorted(value, key=int)
        except ValueError as error:
            raise AwsError("InvalidParameterValue", f"{where} is not a list") from error
        return [_typed(shape.member, value[number], where) for number in numbers]
    if not isinstance(value, str):
        raise AwsError("InvalidParameterValue", f"{where} is not a value")
    return scalar(shape, value, where)


def ec2_response(operation: OperationModel, result: Mapping[str, Any], request_id: str) -> Response:
    root = etree.Element(f"{operation.name}Response", nsmap=unprefixed(NAMESPACE))
    etree.SubElement(root, "requestId").text = request_id
    if isinstance(operation.output_shape, StructureShape):
        write_members(root, operation.output_shape, result)
    return Response(200, etree.tostring(root), (("content-type", "text/xml;charset=UTF-8"),))


def ec2_error(error: AwsError, request_id: str) -> Response:
    code, status = _CODES.get(error.code, (error.code, error.status))
    message = error.message
    if code == "UnauthorizedOperation":
        message = f"You are not authorized to perform this operation. {error.message}"
    root = etree.Element("Response")
    detail = etree.SubElement(etree.SubElement(root, "Errors"), "Error")
    etree.SubElement(detail, "Code").text = code
    etree.SubElement(detail, "Message").text = message
    etree.SubElement(root, "RequestID").text = request_id
    return Response(status, etree.tostring(root), (("content-type", "text/xml;charset=UTF-8"),))
