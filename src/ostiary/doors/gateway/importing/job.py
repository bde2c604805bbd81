"""What the routes are given: everything that was decided before the first byte leaves."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ostiary.connect_region import Reached
from ostiary.doors.gateway.image.inspection import Inspection
from ostiary.doors.gateway.importing.reading import Span
from ostiary.doors.gateway.importing.settings import ImportSettings, OnStep
from ostiary.doors.gateway.importing.watching import Patience


@dataclass(frozen=True, slots=True)
class Job:
    """One file on its way; ``found`` has its digests checked."""

    reached: Reached
    path: Path
    found: Inspection
    stamp: tuple[int, ...]  # of the file as it was found: see ``reading.stamp``
    checksums: tuple[tuple[str, ...], ...]  # of each span, in the order of ``spans``
    spans: tuple[Span, ...]
    settings: ImportSettings
    name: str
    tags: Mapping[str, str]
    on_step: OnStep
    stop: threading.Event
    patience: Patience

    @property
    def description(self) -> str:
        """The same for everybody who imports this file: a request that differs would not be found by its token."""
        return f"Okta Access Gateway, SHA-256 {self.found.digest[:16]}"

    @property
    def marks(self) -> Mapping[str, str]:
        """The tags that do not depend on who imports: those of tasks, and of snapshots as they begin."""
        return {key: value for key, value in self.tags.items() if key != "Name"}
