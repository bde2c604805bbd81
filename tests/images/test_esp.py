"""The fallback loader is found in file systems of every FAT that mkfs.fat makes, and missed where it is not."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from ostiary.sandbox.aws.images.esp import has_loader

STRICT = os.environ.get("CI") == "true" or os.geteuid() == 0
AT = 1024 * 1024
PATHS = "/usr/sbin:/sbin:/usr/bin:/bin"


def entry(name: bytes, folder: bool, cluster: int, size: int = 0) -> bytes:
    kind = b"\x10" if folder else b"\x20"
    low, high = (cluster & 0xFFFF).to_bytes(2, "little"), (cluster >> 16).to_bytes(2, "little")
    return name + kind + bytes(8) + high + bytes(4) + low + size.to_bytes(4, "little")


def ended(fat: bytearray, bits: int, table: int, cluster: int) -> None:
    """Mark the cluster as the last of its chain."""
    if bits == 12:
        at = table + cluster * 3 // 2
        old = int.from_bytes(fat[at : at + 2], "little")
        new = old | 0xFFF0 if cluster % 2 else old | 0x0FFF
        fat[at : at + 2] = new.to_bytes(2, "little")
    else:
        width = bits // 8
        mark = 0xFFFF if bits == 16 else 0x0FFFFFFF
        fat[table + cluster * width : table + (cluster + 1) * width] = mark.to_bytes(
            width, "little"
        )


@pytest.fixture(params=[(12, 2), (16, 16), (32, 64)])
def partition(request, tmp_path):
    """(bits, image of a partition with /EFI/BOOT/BOOTX64.EFI), which fsck.fat finds in order."""
    bits, mib = request.param
    made, checked = shutil.which("mkfs.fat", path=PATHS), shutil.which("fsck.fat", path=PATHS)
    if not made or not checked:
        (pytest.fail if STRICT else pytest.skip)("dosfstools is needed: requirements/debian.txt")
    path = tmp_path / "fat"
    path.write_bytes(bytes(mib * 1024 * 1024))
    subprocess.run([made, "-F", str(bits), "-s", "1", path], check=True, stdout=subprocess.DEVNULL)
    fat = bytearray(path.read_bytes())
    reserved, tables = int.from_bytes(fat[14:16], "little"), fat[16]
    entries = int.from_bytes(fat[17:19], "little")
    size = int.from_bytes(fat[22:24], "little") or int.from_bytes(fat[36:40], "little")
    root = (reserved + tables * size) * 512
    data = root + entries * 32
    for number in range(tables):
        for cluster in (10, 11, 12):
            ended(fat, bits, (reserved + number * size) * 512, cluster)
    place = {cluster: data + (cluster - 2) * 512 for cluster in (2, 10, 11, 12)}
    start = place[2] if bits == 32 else root
    fat[start : start + 32] = entry(b"EFI        ", True, 10)
    for cluster, above, below in ((10, 0, (b"BOOT       ", 11)), (11, 10, (b"BOOTX64 EFI", 12))):
        folder = cluster == 10
        text = entry(b".          ", True, cluster) + entry(b"..         ", True, above)
        text += entry(below[0], folder, below[1], 0 if folder else 2)
        fat[place[cluster] : place[cluster] + len(text)] = text
    fat[place[12] : place[12] + 2] = b"MZ"
    path.write_bytes(fat)
    said = subprocess.run([checked, "-n", "-l", path], capture_output=True, text=True, check=False)
    assert "/EFI/BOOT/BOOTX64.EFI" in said.stdout, said.stdout
    return bits, bytes(fat)


@pytest.mark.parametrize(
    ("there", "instead", "found"),
    [
        (b"", b"", True),
        (b"BOOTX64 EFI\x20", b"BOOTX64 EFI\x10", False),
        (b"BOOTX64 EFI", b"BOOTIA32EFI", False),
        (b"EFI        \x10", b"EFI        \x08", False),
        (b"BOOT       \x10", b"\xe5OOT       \x10", False),
    ],
)
def test_the_loader_is_found_where_it_is(tmp_path, partition, there, instead, found):
    bits, fat = partition
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(AT) + fat.replace(there, instead) if there else bytes(AT) + fat)
    assert has_loader(disk, AT) is found, bits


@pytest.mark.parametrize("content", [b"", bytes(4096), b"\xff" * 8192, b"\x55\xaa" * 4096])
def test_what_is_no_fat_holds_no_loader(tmp_path, content):
    disk = tmp_path / "disk"
    disk.write_bytes(content)
    assert not has_loader(disk, 0)
