"""The estate of a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ostiary.errors import EstateError
from ostiary.model.estate import Estate
from ostiary.model.estate_text import parse


def read_estate(file: Path, environ: Mapping[str, str] | None = None) -> Estate:
    """The estate of a file; EstateError with every problem at once."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EstateError(
            f"cannot read estate {file}",
            why=(error.strerror or "").lower() if isinstance(error, OSError) else "it is not UTF-8",
            fix="name one with --estate, or write one with: ostiary init --okta-url URL",
        ) from error
    return parse(
        text,
        file=str(file),
        env=os.environ if environ is None else environ,
        read_file=lambda path: (file.parent / path).read_text("utf-8"),
    )
