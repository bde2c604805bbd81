"""Programs of Debian that some of these tests need: without them they are not run, which CI does not accept."""

from __future__ import annotations

import os
import shutil

import pytest


@pytest.fixture
def needs():
    """Ask for a program by name."""

    def need(program):
        if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin"):
            strict = os.environ.get("CI") == "true" or os.geteuid() == 0
            (pytest.fail if strict else pytest.skip)(f"not run: needs {program}")

    return need
