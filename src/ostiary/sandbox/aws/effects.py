"""What an authorized call does, and its answer in the protocol of its service: by a function of ours or by moto."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ostiary.sandbox.aws import (
    behind,
    ec2_checks,
    ec2_launch,
    ec2_shown,
    ec2_tags,
    elb_again,
    elb_checks,
    elb_health,
    kms_life,
    kms_signing,
    s3_buckets,
    s3_lock,
    s3_objects,
)
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.ec2_protocol import ec2_response
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.operations import Operation
from ostiary.sandbox.aws.parameters import MODELS
from ostiary.sandbox.aws.replies import query_response
from ostiary.sandbox.aws.rest_protocol import rest_response
from ostiary.sandbox.aws.rest_xml import params_of_rest, rest_xml_response
from ostiary.sandbox.aws.s3_digests import check_digests, unchunked
from ostiary.sandbox.aws.shapes import operation_model
from ostiary.sandbox.http import Response

_REFUSED = 400
_WITH_BYTES = ("PutObject", "UploadPart")
_JSON = ("content-type", "application/x-amz-json-1.1")


def perform(call: Call, row: Operation) -> Response:
    if call.service == "s3":
        return _of_s3(call, row)
    if row.run is None:
        return _behind(call)
    return _answer(call, row.run(call))


def _answer(call: Call, result: Mapping[str, Any]) -> Response:
    if call.service in ("organizations", "kms"):
        headers = (_JSON, ("x-amzn-requestid", call.request_id))
        return Response(200, json.dumps(result).encode(), headers)
    operation = operation_model(MODELS.get(call.service, call.service), call.operation)
    if operation is None:
        raise AwsError("InvalidAction", f"Could not find operation {call.operation}")
    if call.service == "ec2":
        return ec2_response(operation, result, call.request_id)
    if call.service == "ebs":
        return rest_response(operation, result, call.request_id)
    return query_response(operation, result, call.request_id)


def _behind(call: Call) -> Response:
    """What moto answers, and what it does not know."""
    if call.service == "ec2":
        return _of_ec2(call)
    if call.service == "elasticloadbalancing":
        return _of_elb(call)
    if call.service == "kms" and call.operation in kms_signing.OPERATIONS:
        return kms_signing.serve(call)
    if call.service == "kms" and call.operation in kms_life.OPERATIONS:
        return _answer(call, kms_life.serve(call))
    if call.operation == "DeleteCertificate":
        elb_checks.check_certificate(call)
    return behind.serve(call)


def _of_ec2(call: Call) -> Response:
    ec2_checks.check(call)
    if call.operation == "RunInstances":
        return ec2_launch.run_instances(call)
    if call.operation in ("CreateTags", "DeleteTags"):
        return _answer(call, ec2_tags.change(call))
    if call.operation == "DescribeTags":
        return _answer(call, ec2_tags.describe(call))
    response = behind.serve(call)
    if response.status >= _REFUSED:
        raise behind.refused(response)
    if call.operation == "DescribeInstances":
        return ec2_shown.with_images(call, response)
    return response


def _of_elb(call: Call) -> Response:
    elb_checks.check(call)
    if call.operation == "DescribeTargetHealth":
        return _answer(call, elb_health.describe(call))
    if known := elb_again.already(call):
        return known
    return behind.serve(call)


def _of_s3(call: Call, row: Operation) -> Response:
    call.request = unchunked(call.request)
    if call.operation in _WITH_BYTES:
        check_digests(call.request)
    if row.run is not None:
        operation = operation_model("s3", call.operation)
        if operation is None:
            raise AwsError("NotImplemented", f"s3:{call.operation} is not served", 501)
        call.params = params_of_rest(operation, call.request) | call.params
        return rest_xml_response(operation, row.run(call), call.request_id)
    if call.operation in s3_lock.OPERATIONS:
        s3_lock.check(call)
    response = behind.serve(call)
    if call.operation in ("CreateBucket", "DeleteBucket") and response.status < 300:  # noqa: PLR2004 - HTTP's own number
        s3_buckets.settle(call)
    if call.operation == "HeadObject":
        return s3_objects.with_checksum_of_parts(call, response)
    return response
