"""How a command of the agent is typed on this host."""

from __future__ import annotations

import sys


def as_typed(text: str) -> str:
    """A host has the bundle and no ``ostiary``: what is to be run is named as this was."""
    file = sys.argv[0]
    return text.replace("ostiary agent ", f"{file} ") if file.endswith(".pyz") else text
