"""The rest-json protocol by a service's model: paths, queries, headers and bodies in; the same out.

Source: Smithy 2.0, "AWS restJson1 protocol".
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import unquote

from botocore.model import OperationModel, Shape, StructureShape

from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.shapes import Params, scalar, service_model
from ostiary.sandbox.http import Request, Response

_CODES = {
    "AccessDenied": ("AccessDeniedException", 403),
    "InvalidClientTokenId": ("UnrecognizedClientException", 403),
    "SignatureDoesNotMatch": ("InvalidSignatureException", 403),
    "ExpiredToken": ("ExpiredTokenException", 403),
    "Throttling": ("RequestThrottledException", 400),
    "ValidationError": ("ValidationException", 400),
}


def rest_operation(service: str, request: Request) -> tuple[str, Params]:
    """The operation that a request means and its parameters; ("", {}) when the service has none such."""
    for method, pattern, operation in _routes(service):
        match = pattern.fullmatch(request.path) if method == request.method else None
        if match is not None:
            return operation.name, _params(operation, request, match.groupdict())
    return "", {}


@cache
def _routes(service: str) -> tuple[tuple[str, re.Pattern[str], OperationModel], ...]:
    model = service_model(service)
    found = []
    for name in model.operation_names:
        operation = model.operation_model(name)
        path = operation.http["requestUri"].partition("?")[0]
        parts = re.split(r"\{(\w+)\}", path)
        pattern = "".join(
            f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part)
            for index, part in enumerate(parts)
        )
        found.append((operation.http["method"], re.compile(pattern), operation))
    return tuple(found)


def _params(operation: OperationModel, request: Request, path: Mapping[str, str]) -> Params:
    shape = operation.input_shape
    if not isinstance(shape, StructureShape):
        return {}
    payload = shape.serialization.get("payload")
    body = _body(request) if not payload else {}
    found: Params = {}
    for name, member in shape.members.items():
        place, wire = member.serialization.get("location"), member.serialization.get("name", name)
        text: str | None = None
        if place == "uri":
            text = unquote(path[wire])
        elif place == "querystring":
            text = request.query.get(wire)
        elif place == "header":
            text = request.header(wire) or None
        elif name == payload:
            found[name] = request.body
        elif body.get(wire) is not None:
            found[name] = body[wire]
        if text is not None:
            found[name] = scalar(member, text, name)
    return found


def _body(request: Request) -> Mapping[str, Any]:
    try:
        value = request.json
    except (ValueError, RecursionError) as error:
        raise AwsError("SerializationException", "the body is not JSON") from error
    if not isinstance(value, dict):
        raise AwsError("SerializationException", "the body is not a JSON object")
    return value


def rest_response(
    operation: OperationModel, result: Mapping[str, Any], request_id: str
) -> Response:
    headers = [("x-amzn-requestid", request_id)]
    shape = operation.output_shape
    body: dict[str, Any] = {}
    content = b""
    if isinstance(shape, StructureShape):
        payload = shape.serialization.get("payload")
        for name, member, value in _present(shape, result):
            wire = member.serialization.get("name", name)
            if member.serialization.get("location") == "header":
                headers.append((wire.lower(), str(value)))
            elif name == payload:
                content = value
            else:
                body[wire] = _plain(member, value)
        if payload:
            return Response(_status(operation), content, (*headers, _BINARY))
    return Response(_status(operation), json.dumps(body).encode(), (*headers, _JSON))


_JSON = ("content-type", "application/json")
_BINARY = ("content-type", "application/octet-stream")


def _status(operation: OperationModel) -> int:
    return int(operation.http.get("responseCode", 200))


def _present(shape: StructureShape, result: Mapping[str, Any]) -> Iterator[tuple[str, Shape, Any]]:
    for name, member in shape.members.items():
        if result.get(name) is not None:
            yield name, member, result[name]


def _plain(shape: Shape, value: Any) -> Any:
    if shape.type_name == "blob":
        return base64.b64encode(value).decode()
    return value


def rest_error(error: AwsError, request_id: str) -> Response:
    code, status = _CODES.get(error.code, (error.code, error.status))
    body = {"Message": error.message, **error.members}
    headers = (("x-amzn-requestid", request_id), ("x-amzn-errortype", code), _JSON)
    return Response(status, json.dumps(body).encode(), headers)
