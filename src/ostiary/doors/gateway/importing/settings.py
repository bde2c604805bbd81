"""What an import is asked to be, what it tells on its way, and what it comes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

ROUTES = ("auto", "import-image", "import-snapshot", "ebs-direct")
DIGEST_TAG = "ostiary:appliance-digest"
MANIFEST_TAG = "ostiary:manifest-digest"
ROUTE_TAG = "ostiary:route"


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
