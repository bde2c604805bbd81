"""Answers and errors in each service's protocol.

The query protocol's error codes are the ones raised; the JSON services and S3 have their own for the same thing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.model import OperationModel

from ostiary.sandbox.aws.ec2_protocol import ec2_error
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.rest_protocol import rest_error
from ostiary.sandbox.aws.shapes import s3_error, service_model, xml_error, xml_result
from ostiary.sandbox.http import Response

_JSON_CODES = {
    "AccessDenied": ("AccessDeniedException", 400),
    "InvalidClientTokenId": ("UnrecognizedClientException", 400),
    "SignatureDoesNotMatch": ("InvalidSignatureException", 400),
    "IncompleteSignature": ("IncompleteSignatureException", 400),
    "MissingAuthenticationToken": ("MissingAuthenticationTokenException", 400),
    "ExpiredToken": ("ExpiredTokenException", 400),
    "ValidationError": ("ValidationException", 400),
}
_S3_CODES = {
    "InvalidClientTokenId": (
        "InvalidAccessKeyId",
        "The AWS Access Key Id you provided does not exist in our records.",
        403,
    ),
    "ExpiredToken": ("ExpiredToken", "The provided token has expired.", 400),
    "MissingAuthenticationToken": ("AccessDenied", "Access Denied", 403),
}
_SKEW = ("Signature expired", "Signature not yet current")


def query_response(
    operation: OperationModel, result: Mapping[str, Any], request_id: str
) -> Response:
    return Response(
        200,
        xml_result(operation, result, request_id),
        (("content-type", "text/xml"), ("x-amzn-requestid", request_id)),
    )


def error_response(service: str, error: AwsError, request_id: str) -> Response:
    """``error`` as ``service`` says it."""
    if service == "s3":
        return _s3(error, request_id)
    if service == "ec2":
        return ec2_error(error, request_id)
    if service == "ebs":
        return rest_error(error, request_id)
    if service in {"organizations", "kms", "acm"}:
        code, status = _JSON_CODES.get(error.code, (error.code, error.status))
        member = "Message" if service == "organizations" else "message"
        return Response(
            status,
            json.dumps({"__type": code, member: error.message}).encode(),
            (
                ("content-type", "application/x-amz-json-1.1"),
                ("x-amzn-requestid", request_id),
                ("x-amzn-errortype", code),
            ),
        )
    model = {"iam": "iam", "elasticloadbalancing": "elbv2"}.get(service, "sts")
    namespace = service_model(model).metadata["xmlNamespace"]
    return Response(
        error.status,
        xml_error(namespace, error, request_id),
        (("content-type", "text/xml"), ("x-amzn-requestid", request_id)),
    )


def _s3(error: AwsError, request_id: str) -> Response:
    """Of the error's members those that are named as headers go there, the others into the document."""
    code, message, status = _S3_CODES.get(error.code, (error.code, error.message, error.status))
    if message.startswith(_SKEW):
        code, status = "RequestTimeTooSkewed", 403
        message = "The difference between the request time and the current time is too large."
    told = {name: text for name, text in error.members.items() if name.startswith("x-amz-")}
    members = {name: text for name, text in error.members.items() if name not in told}
    return Response(
        status,
        s3_error(AwsError(code, message, status, members), request_id),
        (("content-type", "application/xml"), ("x-amz-request-id", request_id), *told.items()),
    )
