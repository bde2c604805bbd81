"""What an instance type can start: architectures, boot modes, whether it insists on ENA, and its place on EBS.

Source: Amazon EC2 API Reference, DescribeInstanceTypes; EC2 User Guide, "Boot modes".
"""

from __future__ import annotations

from dataclasses import dataclass

from ostiary.aws.session import Aws
from ostiary.errors import Conflict, NotFound, UsageError


@dataclass(frozen=True, slots=True)
class InstanceType:
    """``boot_modes`` are legacy-bios and uefi; ``memory`` in MiB."""

    name: str
    architectures: tuple[str, ...]
    boot_modes: tuple[str, ...]
    needs_ena: bool
    ebs_optimized: bool
    encrypts: bool
    cores: int
    memory: int


def get(aws: Aws, region: str, name: str) -> InstanceType:
    """UsageError if the region knows no such type."""
    try:
        listed = aws.call("ec2", "describe_instance_types", region=region, InstanceTypes=[name])
    except (Conflict, NotFound) as unknown:
        if unknown.code != "InvalidInstanceType":
            raise
        raise UsageError(
            f"cannot use instance type {name}",
            why=unknown.why,
            fix="name another with --size: small, medium, large, or a type of this region",
            code=unknown.code,
        ) from unknown
    one = listed["InstanceTypes"][0]
    ebs = one.get("EbsInfo") or {}
    return InstanceType(
        one["InstanceType"],
        tuple(one["ProcessorInfo"]["SupportedArchitectures"]),
        tuple(one.get("SupportedBootModes") or ("legacy-bios",)),
        one["NetworkInfo"]["EnaSupport"] == "required",
        ebs.get("EbsOptimizedSupport") in ("default", "supported"),
        ebs.get("EncryptionSupport") == "supported",
        int(one["VCpuInfo"]["DefaultVCpus"]),
        int(one["MemoryInfo"]["SizeInMiB"]),
    )
