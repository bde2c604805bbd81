"""What EC2 remembers of launches and moto does not: client tokens, and the AMI that an instance was started from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ostiary.sandbox.aws.images.state import Image


@dataclass(slots=True)
class Launches:
    """``tokens`` are by account, region and ClientToken: the request's parameters and the instances it started."""

    tokens: dict[tuple[str, str, str], tuple[Mapping[str, Any], list[str]]] = field(
        default_factory=dict
    )
    images: dict[str, Image] = field(default_factory=dict)  # by instance id
