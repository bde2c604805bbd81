"""The log of one snapshot on its way: which blocks the service has, and what was in them.

A pending snapshot cannot be listed (EBS User Guide, "EBS direct APIs"), so nobody but this log knows.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from ostiary.plan.runs import Log


@dataclass(slots=True)
class Acknowledged:
    """The log of one snapshot: which blocks were put, with their digests."""

    log: Log
    snapshot_id: str = ""
    put: dict[int, bytes] = field(default_factory=dict)
    cut: bool = False  # ends in the middle of a line

    @classmethod
    def read(cls, log: Log) -> Acknowledged:
        data = log.read()
        found = cls(log, cut=not data.endswith(b"\n") and bool(data))
        for line in data.split(b"\n"):
            try:
                record = json.loads(line)
            except ValueError:
                continue  # the cut end that a kill leaves
            if "snapshot" in record:
                found.snapshot_id, found.put = record["snapshot"], {}
            for index, digest in record.get("put", {}).items():
                found.put[int(index)] = base64.b64decode(digest)
        return found

    def begin(self, snapshot_id: str) -> None:
        if self.cut:
            self.log.append(b"\n")
        if self.snapshot_id != snapshot_id:
            self.log.append(json.dumps({"snapshot": snapshot_id}).encode() + b"\n")
            self.snapshot_id, self.put = snapshot_id, {}

    def append(self, put: Mapping[int, bytes]) -> None:
        told = {str(index): base64.b64encode(digest).decode() for index, digest in put.items()}
        self.log.append(json.dumps({"put": told}).encode() + b"\n")
