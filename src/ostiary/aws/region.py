"""Which region a command works in, decided as the AWS CLI decides it, and said aloud.

Order: ``--region``, ``AWS_REGION``, ``AWS_DEFAULT_REGION``, the profile's ``region`` in the config file. Source: AWS CLI User
Guide, "Configuration settings and precedence".
"""

from __future__ import annotations

from collections.abc import Mapping

from botocore.exceptions import BotoCoreError, UnknownRegionError

from ostiary.aws.credentials import own_session
from ostiary.aws.translate import translate
from ostiary.errors import UsageError
from ostiary.model.partition import PARTITIONS

_PREFIXES = {"us-gov-": "aws-us-gov", "cn-": "aws-cn", "eusc-": "aws-eusc"}


def region_of(flag: str | None, profile: str | None, environ: Mapping[str, str]) -> tuple[str, str]:
    """(region, where it comes from). UsageError when nothing says one, or what it says is none."""
    found, origin = _first(flag, profile, environ)
    if not found:
        raise UsageError(
            "no region to work in",
            why="neither --region, AWS_REGION, AWS_DEFAULT_REGION nor the profile names one",
            fix="name one, for example: export AWS_REGION=us-east-1",
        )
    try:  # by the patterns of AWS's own list of partitions, so that a region newer than it passes
        own_session().get_partition_for_region(found)
    except UnknownRegionError as error:
        raise UsageError(
            f"cannot work in region {found[:40]!r}",
            why=f"no partition of AWS has regions of that name ({origin})",
            fix="correct it, for example: --region us-east-1",
        ) from error
    except BotoCoreError as error:
        raise translate(error, "cannot read the AWS config file") from error
    return found, origin


def partition_of(region: str) -> str:
    """The name of the partition that a region belongs to."""
    known = next((name for prefix, name in _PREFIXES.items() if region.startswith(prefix)), "aws")
    return known if known in PARTITIONS else "aws"


def _first(flag: str | None, profile: str | None, environ: Mapping[str, str]) -> tuple[str, str]:
    if flag:
        return flag, "--region"
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if environ.get(variable):
            return environ[variable], variable
    named = profile or environ.get("AWS_PROFILE") or "default"
    try:
        found = own_session(profile).get_config_variable("region")
    except BotoCoreError as error:
        raise translate(error, f"cannot read the profile {named}") from error
    return str(found or ""), f"profile {named}"
