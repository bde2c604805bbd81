"""What is said on a terminal of this host, and how a command of the agent is typed there."""

from __future__ import annotations

import sys

from ostiary.doors.servers.agent.names import shown

LONGEST = 2000  # characters of a line


def as_typed(text: str) -> str:
    """A host has the bundle and no ``ostiary``: what is to be run is named as this was."""
    file = sys.argv[0]
    return text.replace("ostiary agent ", f"{file} ") if file.endswith(".pyz") else text


def line(text: str) -> str:
    """One line for people, whoever said it: what the control plane sends moves no terminal and makes no line of its own."""
    return as_typed(shown(text, LONGEST))
