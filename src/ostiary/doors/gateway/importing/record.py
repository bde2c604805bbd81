"""What an import remembers beside the runs: written before each step that AWS cannot be asked about again.

The world stays the truth: uploads, tasks, snapshots and AMIs are found by key, token and tag. The record only holds which
attempt is under way, so that a failed task is not found again by its token, and what ``cancel`` has to remove.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ostiary.plan.runs import RunStore


@dataclass(frozen=True, slots=True)
class Record:
    """One import of one appliance into one account and region by one route. ``key`` names it."""

    key: str
    file: str
    region: str
    account_id: str
    route: str
    attempt: int = 1
    bucket: str = ""
    objects: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()
    image_id: str = ""
    digest: str = ""  # SHA-256 of the file
    state: str = "begun"  # begun, done, failed, cancelled
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def sent(self) -> bool:
        """Something of it may be in AWS."""
        return bool(self.objects or self.snapshots or self.tasks or self.route == "ebs-direct")

    def token(self, disk: int = 0) -> str:
        """The client token of this attempt: the same for everybody who imports the same file the same way."""
        text = f"{self.key}/{self.attempt}/{disk}"
        return f"ostiary-{hashlib.sha256(text.encode()).hexdigest()[:48]}"

    def log(self, disk: int) -> str:
        """The name of the log of acknowledged blocks."""
        return f"gateway/imports/{self.key}/{self.attempt}-{disk}"


def key_of(digest: str, account_id: str, region: str, route: str, *asked: str) -> str:
    """``asked`` is what else makes another AMI, or another request to the service: parent, key, bucket."""
    parts = json.dumps([digest, account_id, region, route, *asked])
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


def load(store: RunStore, key: str) -> Record | None:
    kept = store.get(f"gateway/imports/{key}.json")
    return _parsed(json.loads(kept.data)) if kept is not None else None


def keep(store: RunStore, record: Record, **changes: Any) -> Record:
    """Durable when it returns; the changed record."""
    changed = replace(record, **changes)
    store.put(f"gateway/imports/{record.key}.json", json.dumps(asdict(changed)).encode())
    return changed


def every(store: RunStore) -> tuple[Record, ...]:
    """All records, for finding the one that a task or a file belongs to."""
    found = []
    for name in store.names("gateway/imports/"):
        if name.endswith(".json"):
            kept = store.get(name)
            if kept is not None:
                found.append(_parsed(json.loads(kept.data)))
    return tuple(found)


def _parsed(value: dict[str, Any]) -> Record:
    lists = {name: tuple(value[name]) for name in ("objects", "tasks", "snapshots")}
    return Record(**{**value, **lists})
