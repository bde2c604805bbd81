"""The ARN of a KMS key that a person named by id, alias or ARN: policies and EBS direct take nothing else.

Source: AWS KMS API Reference, DescribeKey; EBS direct APIs API Reference, StartSnapshot (KmsKeyArn).
"""

from __future__ import annotations

from ostiary.aws.session import Aws
from ostiary.errors import Conflict, NotFound


def key_arn(aws: Aws, region: str, named: str) -> str:
    """NotFound if there is no such key in the region, Conflict if it cannot encrypt now."""
    try:
        found = aws.call("kms", "describe_key", region=region, KeyId=named)["KeyMetadata"]
    except NotFound as absent:
        raise NotFound(
            f"no KMS key {named} in {region}",
            why=absent.why,
            fix=f"name one that this prints: aws kms list-aliases --region {region}",
            code=absent.code,
        ) from absent
    arn, state = str(found["Arn"]), str(found.get("KeyState", "Enabled"))
    if state != "Enabled":
        raise Conflict(
            f"cannot encrypt with KMS key {named}",
            why=f"its state is {state}",
            fix=f"enable it: aws kms enable-key --key-id {arn} --region {region}",
            code="KMSInvalidStateException",
        )
    return arn
