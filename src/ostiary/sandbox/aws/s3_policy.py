"""Bucket policies: kept here because moto would apply them by itself and without their conditions.

Source: Amazon S3 API Reference, PutBucketPolicy, GetBucketPolicy; Amazon S3 User Guide, "Blocking public access".
"""

from __future__ import annotations

import json
from typing import Any

from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError, Document
from ostiary.sandbox.aws.s3_buckets import bucket_of


def put_bucket_policy(call: Call) -> dict[str, Any]:
    _check(call)
    call.cloud.bucket_policies[call.params["Bucket"]] = call.request.body.decode()
    return {}


def get_bucket_policy(call: Call) -> dict[str, Any]:
    name = call.params["Bucket"]
    if name not in call.cloud.bucket_policies:
        text = "The bucket policy does not exist"
        raise AwsError("NoSuchBucketPolicy", text, 404, {"BucketName": name})
    return {"Policy": call.cloud.bucket_policies[name]}


def delete_bucket_policy(call: Call) -> dict[str, Any]:
    call.cloud.bucket_policies.pop(call.params["Bucket"], None)
    return {}


def policy_of_bucket(call: Call) -> Document | None:
    """The bucket policy that applies to a call. The owner's alone: other accounts have no way in here."""
    text = call.cloud.bucket_policies.get(call.params["Bucket"])
    found: Document | None = json.loads(text) if text else None
    return found


def _check(call: Call) -> None:
    """Raise MalformedPolicy, or AccessDenied where public access is blocked."""
    try:
        document = json.loads(call.request.body)
        statements = document["Statement"]
        statements = statements if isinstance(statements, list) else [statements]
    except (ValueError, TypeError, KeyError) as error:
        raise _malformed("Policies must be valid JSON and the first byte must be '{'") from error
    bucket = bucket_of(call, call.params["Bucket"])
    prefix = f"arn:{call.account.partition}:s3:::{call.params['Bucket']}"
    for one in statements:
        for name in ("Effect", "Principal", "Action", "Resource"):
            if name not in one and f"Not{name}" not in one:
                raise _malformed(f"Missing required field {name}")
        if any(not text.startswith(("s3:", "*")) for text in _texts(one.get("Action", []))):
            raise _malformed("Policy has invalid action")
        for text in _texts(one.get("Resource", [])):
            if text != prefix and not text.startswith(f"{prefix}/"):
                raise _malformed("Policy has invalid resource")
        public = one["Effect"] == "Allow" and one.get("Principal") in ("*", {"AWS": "*"})
        block = bucket.public_access_block
        if public and not one.get("Condition") and block and block.block_public_policy:
            raise AwsError(
                "AccessDenied",
                f"User: {call.principal.arn} is not authorized to perform: s3:PutBucketPolicy on resource:"
                f' "{prefix}" because public policies are prevented by the BlockPublicPolicy setting in S3 Block'
                " Public Access.",
                403,
            )


def _texts(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _malformed(text: str) -> AwsError:
    return AwsError("MalformedPolicy", text)
