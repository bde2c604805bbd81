"""Settings of one run, from flags and environment, each with its origin.

Secrets are not settings: tokens and keys are read where they are used, from the environment or a file
named there, and are never part of this value.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ostiary.errors import UsageError


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run needs to know beside the estate.

    ``workers`` bounds the accounts worked on at once; ``share`` is the part of each Okta rate limit used.
    """

    estate_file: Path
    workers: int
    share: float
    origins: Mapping[str, str]


def load(environ: Mapping[str, str] | None = None, *, estate_file: str | None = None) -> Settings:
    """Flags win over ``OSTIARY_*`` variables, those over defaults."""
    environ = os.environ if environ is None else environ
    origins: dict[str, str] = {}

    def pick(name: str, flag: str | None, default: str) -> str:
        variable = f"OSTIARY_{name.upper()}"
        for value, origin in ((flag, "flag"), (environ.get(variable), variable)):
            if value:
                origins[name] = origin
                return value
        origins[name] = "default"
        return default

    def number(name: str, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            variable = f"OSTIARY_{name.upper()}"
            raise UsageError(
                f"cannot use {variable}={text}",
                why="it is not a number",
                fix=f"unset {variable}, or export a number",
            )
        return value

    return Settings(
        estate_file=Path(pick("estate", estate_file, "estate.yaml")),
        workers=max(1, int(number("workers", pick("workers", None, "24")))),
        share=min(1.0, max(0.05, number("okta_share", pick("okta_share", None, "0.5")))),
        origins=origins,
    )
