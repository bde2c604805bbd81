"""The values of the Role attribute: a role and a SAML provider of one account, in either order.

Source: IAM User Guide, "Configure SAML assertions for the authentication response".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_ROLE = re.compile(
    r"arn:([a-z-]+):iam::([0-9]{12}):role/((?:[\x21-\x7e]+/)?([\w+=,.@-]{1,64}))", re.ASCII
)
_PROVIDER = re.compile(
    r"arn:([a-z-]+):iam::([0-9]{12}):saml-provider/([\w+=,.@-]{1,128})", re.ASCII
)


class NotRolePair(ValueError):
    """The value is no pair of role and provider that AWS would take; the message says why."""


@dataclass(frozen=True, slots=True, order=True)
class RolePair:
    """One role that the bearer may enter, and the provider that vouches. ``path_and_name`` follows ``role/``."""

    partition: str
    account_id: str
    role_arn: str
    provider_arn: str

    @property
    def role_name(self) -> str:
        return self.role_arn.rpartition("/")[2]

    @property
    def provider_name(self) -> str:
        return self.provider_arn.rpartition("/")[2]


def parse_pair(value: str) -> RolePair:
    """Parse one Role value. Raises NotRolePair."""
    for cut in (at for at, letter in enumerate(value) if letter == ","):
        one, other = value[:cut].strip(), value[cut + 1 :].strip()
        for role, provider in ((one, other), (other, one)):
            if (found := _ROLE.fullmatch(role)) and (vouches := _PROVIDER.fullmatch(provider)):
                if found[1] != vouches[1] or found[2] != vouches[2]:
                    raise NotRolePair("role and provider are not of the same account and partition")
                return RolePair(found[1], found[2], role, provider)
    raise NotRolePair("not a role ARN and a SAML provider ARN joined by a comma")


def parse_pairs(values: Iterable[str]) -> tuple[RolePair, ...]:
    """Parse all Role values, leaving out what is no pair (AWS ignores such values) and repetitions."""
    pairs: dict[RolePair, None] = {}
    for value in values:
        try:
            pairs[parse_pair(value)] = None
        except NotRolePair:
            continue
    return tuple(pairs)
