"""The managed policies of AWS that the embedded AWS knows: one read-only table for every account.

``managed_policies.json`` holds AWS's own documents, as published in the AWS Managed Policy Reference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from ostiary.model.partition import PARTITIONS
from ostiary.sandbox.aws.iam_state import Document


@dataclass(frozen=True, slots=True)
class AwsPolicy:
    """A managed policy of AWS; ``path`` is part of its ARN (``/job-function/``)."""

    name: str
    path: str
    version: str
    document: Document

    def arn(self, partition: str) -> str:
        return PARTITIONS[partition].managed_policy_arn(f"{self.path[1:]}{self.name}")


@cache
def _by_suffix() -> Mapping[str, AwsPolicy]:
    text = resources.files("ostiary.sandbox.aws").joinpath("managed_policies.json").read_text()
    table = (
        AwsPolicy(name, entry["path"], entry["version"], entry["document"])
        for name, entry in json.loads(text).items()
    )
    return {f"{policy.path[1:]}{policy.name}": policy for policy in table}


def aws_policy(arn: str, partition: str) -> AwsPolicy | None:
    """The policy with this ARN, None if AWS (as known here) has none in ``partition``."""
    prefix = PARTITIONS[partition].managed_policy_arn("")
    return _by_suffix().get(arn.removeprefix(prefix)) if arn.startswith(prefix) else None


def aws_policies() -> list[AwsPolicy]:
    return sorted(_by_suffix().values(), key=lambda policy: policy.name)
