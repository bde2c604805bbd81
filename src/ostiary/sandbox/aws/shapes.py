"""Inputs and outputs by botocore's service models: validation and the query protocol's XML, nothing by hand.

Sources: botocore's data (the services' own API models); Smithy 2.0, "AWS query protocol".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape
from lxml import etree

from ostiary.sandbox.aws.iam_state import AwsError

Params = dict[str, Any]
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SEPARATORS = " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # Unicode's class Z
_JSON_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "structure": dict,
    "list": list,
    "map": dict,
    "string": str,
    "integer": int,
    "long": int,
    "boolean": bool,
    "blob": str,
}
TARGETS = {
    "AWSOrganizationsV20161128": "organizations",
    "TrentService": "kms",
    "CertificateManager": "acm",
}


@cache
def service_model(service: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


@cache
def operation_model(service: str, operation: str) -> OperationModel | None:
    """The operation's model, None when the service has no such operation."""
    model = service_model(service)
    return model.operation_model(operation) if operation in model.operation_names else None


# query protocol: form fields in, XML out


def params_of_form(shape: Shape | None, form: Mapping[str, str]) -> Params:
    """The typed parameters of a query request; fields that the model does not know are ignored, as AWS does."""
    tree: dict[str, Any] = {}
    for name, value in form.items():
        *way, last = name.split(".")
        branch = tree
        for step in way:
            below = branch.setdefault(step, {})
            if not isinstance(below, dict):
                raise AwsError("MalformedQueryString", f"The parameter {name} is ambiguous")
            branch = below
        branch[last] = value
    return _typed(shape, tree, "") if shape is not None else {}


def _typed(shape: Shape, value: Any, where: str) -> Any:
    if isinstance(shape, StructureShape):
        if not isinstance(value, dict):
            raise _malformed(where)
        return {
            name: _typed(member, value[name], name)
            for name, member in shape.members.items()
            if name in value
        }
    if isinstance(shape, ListShape):
        if not isinstance(value, dict):
            if value == "":
                return []
            raise _malformed(where)
        items = value.get("member", value)
        try:
            numbers = sorted(items, key=int)
        except (ValueError, TypeError) as error:
            raise _malformed(where) from error
        return [_typed(shape.member, items[number], where) for number in numbers]
    if not isinstance(value, str):
        raise _malformed(where)
    return scalar(shape, value, where)


def scalar(shape: Shape, text: str, where: str) -> Any:
    """One value of a form, path, query or header in the type that the model gives it."""
    if shape.type_name in {"integer", "long"}:
        try:
            return int(text)
        except ValueError as error:
            raise AwsError("MalformedInput", f"{where} is not a number") from error
    if shape.type_name in {"float", "double"}:
        try:
            return float(text)
        except ValueError as error:
            raise AwsError("MalformedInput", f"{where} is not a number") from error
    if shape.type_name == "boolean":
        if text not in {"true", "false"}:
            raise AwsError("MalformedInput", f"{where} is not a boolean")
        return text == "true"
    return text


def _malformed(where: str) -> AwsError:
    return AwsError("MalformedQueryString", f"The query string is malformed at {where}")


def unprefixed(namespace: str) -> dict[str, str]:
    default: Any = None  # lxml's own word for "without prefix"; its stubs know only text
    return {default: namespace}


def xml_result(operation: OperationModel, result: Mapping[str, Any], request_id: str) -> bytes:
    """``<XResponse>`` with its result and ResponseMetadata."""
    namespace = operation.service_model.metadata["xmlNamespace"]
    root = etree.Element(f"{operation.name}Response", nsmap=unprefixed(namespace))
    shape = operation.output_shape
    if isinstance(shape, StructureShape):
        below = root
        if wrapper := shape.serialization.get("resultWrapper"):
            below = etree.SubElement(root, wrapper)
        write_members(below, shape, result)
    metadata = etree.SubElement(root, "ResponseMetadata")
    etree.SubElement(metadata, "RequestId").text = request_id
    return etree.tostring(root)


def xml_error(namespace: str, error: AwsError, request_id: str) -> bytes:
    root = etree.Element("ErrorResponse", nsmap=unprefixed(namespace))
    detail = etree.SubElement(root, "Error")
    etree.SubElement(detail, "Type").text = "Sender" if error.status < 500 else "Receiver"  # noqa: PLR2004
    etree.SubElement(detail, "Code").text = error.code
    etree.SubElement(detail, "Message").text = NOT_XML.sub("?", error.message)
    etree.SubElement(root, "RequestId").text = request_id
    return etree.tostring(root)


def s3_error(error: AwsError, request_id: str) -> bytes:
    root = etree.Element("Error")
    for name, text in (
        ("Code", error.code),
        ("Message", error.message),
        *error.members.items(),
        ("RequestId", request_id),
    ):
        etree.SubElement(root, name).text = NOT_XML.sub("?", text)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def write_members(parent: etree._Element, shape: StructureShape, value: Mapping[str, Any]) -> None:
    for name, member in shape.members.items():
        if (item := value.get(name)) is None:
            continue
        tag = member.serialization.get("name", name)
        if isinstance(member, ListShape) and member.serialization.get("flattened"):
            for one in item:
                _write(parent, tag, member.member, one)
        else:
            _write(parent, tag, member, item)


def _write(parent: etree._Element, tag: str, shape: Shape, value: Any) -> None:
    element = etree.SubElement(parent, tag)
    if isinstance(shape, StructureShape):
        write_members(element, shape, value)
    elif isinstance(shape, ListShape):
        for item in value:
            _write(element, shape.member.serialization.get("name", "member"), shape.member, item)
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            entry = etree.SubElement(element, "entry")
            _write(entry, "key", shape.key, key)
            _write(entry, "value", shape.value, item)
    else:
        element.text = _text(shape, value)


def _text(shape: Shape, value: Any) -> str:
    if shape.type_name == "boolean":
        return "true" if value else "false"
    if shape.type_name == "timestamp":
        return datetime.fromtimestamp(int(value), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if shape.type_name == "blob":
        return base64.b64encode(value).decode()
    return str(value)


# validation


def check(shape: Shape | None, params: Params) -> None:
    """Raise ValidationError with every constraint that ``params`` break, in AWS's words."""
    if not isinstance(shape, StructureShape):
        return
    faults: list[str] = []
    _check_structure(shape, params, "", faults)
    if faults:
        count = f"{len(faults)} validation error{'s' if len(faults) > 1 else ''} detected"
        raise AwsError("ValidationError", f"{count}: {'; '.join(faults)}")


def _check_structure(shape: StructureShape, value: Params, at: str, faults: list[str]) -> None:
    faults += [
        _fault("null", _at(at, name), "Member must not be null")
        for name in shape.required_members
        if value.get(name) is None
    ]
    for name, item in value.items():
        if item is not None and (member := shape.members.get(name)) is not None:
            _check(member, item, _at(at, name), faults)


def _at(at: str, name: str) -> str:
    name = name[:1].lower() + name[1:]
    return f"{at}.{name}" if at else name


def _fault(value: object, at: str, constraint: str) -> str:
    shown = "null" if value == "null" else f"'{value}'"
    return f"Value {shown} at '{at}' failed to satisfy constraint: {constraint}"


def _check_type(shape: Shape, value: object, at: str) -> None:
    wanted = _JSON_TYPES.get(shape.type_name, object)
    if shape.type_name == "blob" and isinstance(value, bytes):
        return  # a payload, not a member of a JSON body
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is int):
        raise AwsError("SerializationException", f"{at} is not a {shape.type_name}")
    if shape.type_name == "blob" and isinstance(value, str):
        try:
            base64.b64decode(value, validate=True)
        except ValueError as error:
            raise AwsError("SerializationException", f"{at} is not base64") from error


def _check(shape: Shape, value: Any, at: str, faults: list[str]) -> None:
    _check_type(shape, value, at)
    if isinstance(shape, StructureShape):
        _check_structure(shape, value, at, faults)
        return
    if isinstance(shape, ListShape):
        faults += _out_of_range(shape, len(value), value, at)
        for number, item in enumerate(value, 1):
            _check(shape.member, item, f"{at}.{number}.member", faults)
    elif shape.type_name in {"integer", "long"}:
        faults += _out_of_range(shape, value, value, at)
    elif isinstance(value, str):
        size = len(base64.b64decode(value)) if shape.type_name == "blob" else len(value)
        faults += _out_of_range(shape, size, value, at)
        if (names := getattr(shape, "enum", None)) and value not in names:
            known = ", ".join(names)
            faults.append(_fault(value, at, f"Member must satisfy enum value set: [{known}]"))
        pattern = shape.metadata.get("pattern")
        if pattern and not _compiled(pattern).fullmatch(value):
            faults.append(
                _fault(value, at, f"Member must satisfy regular expression pattern: {pattern}")
            )


def _out_of_range(shape: Shape, size: int, value: Any, at: str) -> list[str]:
    what = "value" if shape.type_name in {"integer", "long"} else "length"
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    faults = []
    if low is not None and size < low:
        faults.append(_fault(value, at, f"Member must have {what} greater than or equal to {low}"))
    if high is not None and size > high:
        faults.append(_fault(value, at, f"Member must have {what} less than or equal to {high}"))
    return faults


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """The models' patterns are Java's: ASCII ``\\w``, and Unicode properties that ``re`` does not know."""
    if "\\p{" not in pattern:
        return re.compile(pattern, re.ASCII | re.DOTALL)
    return re.compile(
        pattern.replace("\\p{L}", "\\w").replace("\\p{N}", "\\w").replace("\\p{Z}", _SEPARATORS)
    )
