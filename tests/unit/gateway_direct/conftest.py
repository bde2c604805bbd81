"""qemu-img, which judges what is read."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

import pytest

STRICT = os.environ.get("CI") == "true" or os.geteuid() == 0


@pytest.fixture(scope="session")
def qemu_img() -> Callable[..., None]:
    program = shutil.which("qemu-img")
    if program is None:
        (pytest.fail if STRICT else pytest.skip)("qemu-img is needed: requirements/debian.txt")

    def run(*arguments: object) -> None:
        subprocess.run([program, *map(str, arguments)], check=True, capture_output=True)

    return run
