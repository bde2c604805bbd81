"""``settings.app`` of ``amazon_aws``: its 15 values, their defaults and what they may be.

Names and defaults were recorded from a real org; they are not in Okta's OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ostiary.model.partition import PARTITIONS, Partition
from ostiary.sandbox.okta.role_mapping import translate

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a grant type

AMAZON_AWS: dict[str, Any] = {
    "awsEnvironmentType": "aws.amazon",
    "overrideAcsURL": None,
    "loginURL": "https://console.aws.amazon.com/ec2/home",
    "identityProviderArn": None,
    "sessionDuration": 3600,
    "joinAllRoles": False,
    "useGroupMapping": False,
    "appFilter": "okta",
    "groupFilter": r"aws_(?{{accountid}}\d+)_(?{{role}}[a-zA-Z0-9+=,.@\-_]+)",
    "roleValuePattern": "arn:aws:iam::${accountid}:saml-provider/OKTA,arn:aws:iam::${accountid}:role/${role}",
    "webSSOAllowedClient": None,
    "accessKey": None,
    "secretKey": None,
    "secretKeyEnc": None,
    "accountID": None,
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "amazon_aws": AMAZON_AWS,
    "amazon_aws_sso": {"acsURL": None, "entityID": None},
}
_SHORTEST, _LONGEST = 900, 43200  # seconds: what AWS takes as SessionDuration


def complete(key: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with defaults for what is not given."""
    return {**DEFAULTS.get(key, {}), **given}


def partition_of(options: Mapping[str, Any]) -> Partition:
    return next(
        partition
        for partition in PARTITIONS.values()
        if partition.okta_environment == options["awsEnvironmentType"]
    )


def problems(key: str, given: Mapping[str, Any]) -> list[str]:
    """What is wrong with the settings, one cause each."""
    known = DEFAULTS.get(key)
    if known is None:
        return []
    found = [f"settings.app.{name}: unknown property" for name in given if name not in known]
    if key == "amazon_aws":
        found += [
            f"settings.app.{name}: {problem}"
            for name, value in given.items()
            if name in known and (problem := _problem(name, value))
        ]
    return found


def _problem(name: str, value: Any) -> str:
    if isinstance(AMAZON_AWS[name], bool):
        return "" if isinstance(value, bool) else "must be a boolean"
    if name == "sessionDuration":
        whole = isinstance(value, int) and not isinstance(value, bool)
        return "" if whole and _SHORTEST <= value <= _LONGEST else "must be 900 to 43200 seconds"
    if value is None:
        return "" if AMAZON_AWS[name] is None else "must not be null"
    if not isinstance(value, str):
        return "must be a string"
    if name == "awsEnvironmentType":
        known = [partition.okta_environment for partition in PARTITIONS.values()]
        return "" if value in known else f"must be one of {', '.join(known)}"
    if name in ("overrideAcsURL", "loginURL"):
        return "" if value == "" or value.startswith("https://") else "must be an https URL"
    if name == "groupFilter":
        return translate(value)[1]
    return ""
