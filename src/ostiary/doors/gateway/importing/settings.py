"""What an import is asked to be, what it tells on its way, and what it comes to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ostiary.errors import UsageError

ROUTES = ("auto", "import-image", "import-snapshot", "ebs-direct")
DIGEST_TAG = "ostiary:appliance-digest"
MANIFEST_TAG = "ostiary:manifest-digest"
ROUTE_TAG = "ostiary:route"
KEY_TAG = "ostiary:kms-key"
_NAME = re.compile(r"[A-Za-z0-9()\[\] ./'@_-]{3,128}")  # Amazon EC2 API Reference, RegisterImage


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """Flags of ``gateway import``. ``bucket`` "" is the default one; ``name`` "" is made from the file."""

    route: str = "auto"
    bucket: str = ""
    name: str = ""
    kms_key: str = ""
    parent: str = ""
    expect_digest: str = ""
    accept_unsigned: bool = False
    force: bool = False
    keep_upload: bool = False
    connections: int = 16

    def require_consistent(self) -> None:
        """UsageError for flags that no import could be done with, before anything is read."""
        if self.name and not _NAME.fullmatch(self.name):
            raise UsageError(
                f"cannot name an AMI {self.name!r}",
                why="EC2 takes 3 to 128 letters, digits, blanks and any of ()[]./-'@_",
                fix="choose another name with --name",
            )
        if self.parent and self.kms_key:
            raise UsageError(
                f"cannot encrypt what builds on {self.parent}",
                why="EBS takes a parent or a key, not both: with a parent its key stays",
                fix="leave --kms-key or --parent out",
            )


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to tell. ``total`` 0: nothing to measure. ``unit`` is bytes or percent."""

    what: str  # verifying, uploading, sending, or a status word of the service
    done: int = 0
    total: int = 0
    unit: str = "bytes"
    text: str = ""


OnStep: TypeAlias = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Imported:
    """An AMI and how it came to be. ``reused``: it was there already."""

    image_id: str
    name: str
    region: str
    account_id: str
    route: str
    reason: str
    digest: str
    snapshots: tuple[str, ...]
    reused: bool = False
    task: str = ""
    facts: Mapping[str, int] = field(default_factory=dict)  # bytes and blocks sent, skipped

    def as_json(self) -> Mapping[str, object]:
        return {
            "ami": self.image_id,
            "name": self.name,
            "region": self.region,
            "account": self.account_id,
            "route": self.route,
            "reason": self.reason,
            "digest": self.digest,
            "snapshots": list(self.snapshots),
            "reused": self.reused,
            "task": self.task or None,
            "sent": dict(self.facts),
        }
