"""The rest-xml protocol by a service's model, for the S3 operations that are answered here and not by moto.

Source: Smithy 2.0, "AWS restXml protocol".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.model import ListShape, OperationModel, Shape, StructureShape
from lxml import etree

from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.shapes import Params, scalar, unprefixed, write_members
from ostiary.sandbox.http import Request, Response

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_SAFE = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)


def params_of_rest(operation: OperationModel, request: Request) -> Params:
    """The members of query, headers and XML body; the path is the caller's. Raises MalformedXML."""
    shape, found = operation.input_shape, Params()
    if not isinstance(shape, StructureShape):
        return found
    query = request.query
    for name, member in shape.members.items():
        place, wire = member.serialization.get("location"), member.serialization.get("name", name)
        if place == "headers":
            prefix = wire.lower()
            below = {k[len(prefix) :]: v for k, v in request.headers if k.startswith(prefix)}
            if below:
                found[name] = below
        elif place in ("querystring", "header"):
            text = query.get(wire) if place == "querystring" else request.header(wire) or None
            if text is not None:
                found[name] = _typed(member, text, wire)
        elif name == shape.serialization.get("payload") and isinstance(member, StructureShape):
            found[name] = _structure(member, _root(request.body))
    return found


def _typed(shape: Shape, text: str, wire: str) -> Any:
    if isinstance(shape, ListShape):
        return [item.strip() for item in text.split(",")]
    try:
        return scalar(shape, text, wire)
    except AwsError as error:
        raise AwsError("InvalidArgument", error.message) from error


def _root(body: bytes) -> etree._Element:
    try:
        return etree.fromstring(body, _SAFE)
    except etree.XMLSyntaxError as error:
        raise malformed_xml() from error


def malformed_xml() -> AwsError:
    return AwsError(
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
    )


def _structure(shape: StructureShape, element: etree._Element) -> Params:
    found: Params = {}
    for name, member in shape.members.items():
        wire = member.serialization.get("name", name)
        below = element.findall(f"{{*}}{wire}")
        if isinstance(member, ListShape) and member.serialization.get("flattened"):
            found[name] = [_value(member.member, one) for one in below]
        elif below:
            found[name] = _value(member, below[0])
    return found


def _value(shape: Shape, element: etree._Element) -> Any:
    if isinstance(shape, StructureShape):
        return _structure(shape, element)
    try:
        return scalar(shape, element.text or "", element.tag)
    except AwsError as error:
        raise malformed_xml() from error


def rest_xml_response(
    operation: OperationModel, result: Mapping[str, Any], request_id: str
) -> Response:
    """Members of the model in headers, the others in an XML document named as S3 names it."""
    shape = operation.output_shape
    headers = [("x-amz-request-id", request_id)]
    status = int(operation.http.get("responseCode", 200))
    if not isinstance(shape, StructureShape):
        return Response(status, b"", tuple(headers))
    payload = shape.serialization.get("payload")
    if payload and isinstance(result.get(payload), str):
        headers.append(("content-type", "application/json"))
        return Response(status, result[payload].encode(), tuple(headers))
    body = {}
    for name, value in result.items():
        member = shape.members[name]
        if value is None:
            continue
        if member.serialization.get("location") == "header":
            headers.append((member.serialization["name"].lower(), str(value)))
        else:
            body[name] = value
    if not body and not _speaks(shape):
        return Response(status, b"", tuple(headers))
    root = etree.Element(_ROOTS.get(operation.name, shape.name), nsmap=unprefixed(_NAMESPACE))
    write_members(root, shape, body)
    content = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
    return Response(status, content, (*headers, ("content-type", "application/xml")))


# Documents whose name is not that of the model's output shape.
_ROOTS = {
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
    "ListMultipartUploads": "ListMultipartUploadsResult",
    "ListParts": "ListPartsResult",
}


def _speaks(shape: StructureShape) -> bool:
    return any("location" not in member.serialization for member in shape.members.values())
