"""The agent in one file: a zipapp of this package and ``wire``, the same bytes from the same sources.

Source: the zipapp module's documentation; every entry has the same time, mode and order, and nothing is compressed by an
algorithm whose output may change.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from ostiary.doors.servers.agent.files import HostError, write_bytes

PACKAGES = ("ostiary.doors.servers.agent", "ostiary.doors.servers.wire")
PARENTS = ("ostiary", "ostiary/doors", "ostiary/doors/servers")
START = """\
import sys

if sys.version_info < (3, 9):
    sys.exit("ostiary: error: the agent needs Python 3.9 or later")
from ostiary.doors.servers.agent.__main__ import main

sys.exit(main())
"""
SHEBANG = b"#!/usr/bin/python3 -I\n"  # as root, so not what PATH or PYTHONPATH choose
_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say


def bundle(file: Path) -> str:
    """Write the file, executable; its SHA-256."""
    content = made()
    try:
        write_bytes(file.absolute(), content, 0o755)
    except OSError as error:
        raise HostError(f"cannot write {file}", why=str(error)) from error
    return hashlib.sha256(content).hexdigest()


def made() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_STORED) as archive:
        for name, text in sorted(_entries()):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # Unix
            archive.writestr(entry, text)
    return SHEBANG + held.getvalue()


def _entries() -> Iterator[tuple[str, bytes]]:
    yield "__main__.py", START.encode()
    for parent in PARENTS:
        yield f"{parent}/__init__.py", b""
    for package in PACKAGES:
        for one in resources.files(package).iterdir():
            if one.name.endswith((".py", ".te", ".fc")) and one.is_file():
                yield f"{package.replace('.', '/')}/{one.name}", one.read_bytes()
