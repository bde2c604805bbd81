"""Disks of real file systems and real partition tables: made by the Debian tools that people make them with."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

MIB = 1024 * 1024
STRICT = os.environ.get("CI") == "true" or os.geteuid() == 0
PATHS = "/usr/sbin:/usr/bin:/sbin:/bin"


class MemoryDisk:
    """A disk that is a run of bytes in memory, as ``RawDisk`` is one in a file."""

    format = "raw"

    def __init__(self, data: bytes | bytearray) -> None:
        self.data = data
        self.capacity = len(data)

    def read(self, offset: int, size: int) -> bytes:
        assert offset >= 0
        return bytes(self.data[offset : offset + max(size, 0)])

    def stored_blocks(self, size: int = MIB) -> Iterator[tuple[int, memoryview]]:
        raise AssertionError("an inspection reads no whole disk")


def tool(name: str, *arguments: object, stdin: str = "", check: bool = True) -> str:
    """What the tool printed."""
    found = shutil.which(name, path=PATHS)
    if found is None:
        (pytest.fail if STRICT else pytest.skip)(f"{name} is needed: requirements/debian.txt")
    command = [found, *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=check)
    return done.stdout


def file_system(
    folder: Path, kind: str, size: int, files: Mapping[str, str] | None = None, *options: object
) -> bytes:
    """A file system as bytes. ``files`` only for ext2 to ext4: path -> text, ``-> target`` for a symbolic link."""
    image = folder / f"{len(list(folder.iterdir()))}.img"
    with image.open("wb") as out:
        out.truncate(size)
    if kind.startswith("ext"):
        tree = folder / f"{image.name}.tree"
        tree.mkdir()
        for path, text in (files or {}).items():
            place = tree / path
            place.parent.mkdir(parents=True, exist_ok=True)
            if text.startswith("-> "):
                place.symlink_to(text[3:])
            else:
                place.write_text(text)
        tool("mke2fs", "-q", "-F", "-t", kind, *options, "-d", tree, image)
    else:
        tool(f"mkfs.{kind}", *options, image)
    return image.read_bytes()


def partitioned(folder: Path, script: str, size: int, contents: Mapping[int, bytes]) -> bytearray:
    """A disk that sfdisk divided; ``contents`` by the MiB at which they begin."""
    image = folder / f"{len(list(folder.iterdir()))}.disk"
    with image.open("wb") as out:
        out.truncate(size)
    # No kernel has the image as a disk: sfdisk would wait a quarter of a second for udev, and sync every disk there is.
    tool("sfdisk", "-q", "--no-tell-kernel", image, stdin=script)
    data = bytearray(image.read_bytes())
    for place, content in contents.items():
        data[place * MIB : place * MIB + len(content)] = content
    return data
