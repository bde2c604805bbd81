"""Judges an appliance file before a byte of it is uploaded: what it is, and what VM Import would say of it.

Only the file itself is read, and of it only headers and tables, unless the digests are to be verified.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ostiary.doors.gateway.image import manifest as manifests
from ostiary.doors.gateway.image.archive import Archive, Member, is_tar, read_archive
from ostiary.doors.gateway.image.disk import DamagedDisk
from ostiary.doors.gateway.image.formats import open_disk
from ostiary.doors.gateway.image.inspection import DiskReport, Inspection, sorted_problems
from ostiary.doors.gateway.image.judging import judged_root, judged_table
from ostiary.doors.gateway.image.layout import Layout, read_layout
from ostiary.doors.gateway.image.manifest import Digests, Manifest
from ostiary.doors.gateway.image.ovf import MOST_BYTES, Descriptor, OvfDisk, parse_ovf
from ostiary.doors.gateway.image.problems import Problem, problem
from ostiary.errors import NotFound, UsageError

__all__ = ["DiskReport", "Inspection", "expected_digest", "inspect", "opened", "with_digests"]

MOST_DISKS = 21
MOST_DISK = 16 * 1024**4
CHUNK = 1024 * 1024


def inspect(
    path: Path,
    *,
    verify: bool = False,
    expect_digest: str = "",
    on_bytes: Callable[[int, int], None] | None = None,
) -> Inspection:
    """Read and judge. NotFound or UsageError if there is no such file; whatever is in it is a problem, never an error.

    ``verify`` reads it all and checks the manifest; ``expect_digest`` (SHA-256 in hex) implies it. ``on_bytes`` is told
    how far that has come.
    """
    expected = expected_digest(expect_digest)
    with opened(path) as (fd, size):
        found = _structure(fd, size, path.name)
        if verify or expected:
            found = _verified(fd, found, expected, on_bytes)
    return found


@contextmanager
def opened(path: Path) -> Iterator[tuple[int, int]]:
    """A descriptor and the size of a plain file; a pipe, device or folder is refused before anything waits on it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise NotFound(f"cannot inspect {path}", why="there is no such file") from error
    except (OSError, ValueError) as error:
        why = str(getattr(error, "strerror", None) or error).lower()
        raise UsageError(f"cannot inspect {path}", why=why) from error
    try:
        state = os.fstat(fd)
        if not stat.S_ISREG(state.st_mode):
            raise UsageError(
                f"cannot inspect {path}", why="it is no plain file", fix="name an .ova or .ovf file"
            )
        yield fd, state.st_size
    finally:
        os.close(fd)


def _structure(fd: int, size: int, name: str) -> Inspection:
    first = os.pread(fd, 512, 0)
    if is_tar(first):
        return _ova(fd, size, name)
    begins = first.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")[:1]
    if begins == b"<":
        return _ovf(os.pread(fd, min(size, MOST_BYTES + 1), 0), size, name)
    empty = parse_ovf(b"<Envelope/>")
    found = problem("not-an-appliance", _what_it_is(fd, size))
    return Inspection(name, "ova", size, Archive((), ()), None, b"", empty, (), (found,))


def _ovf(text: bytes, size: int, name: str) -> Inspection:
    """A descriptor by itself: files beside it are not opened, so its disks are what it says of them."""
    descriptor = parse_ovf(text, name)
    problems = [*descriptor.problems, *_counted(descriptor)]
    disks = tuple(_told(one, descriptor) for one in descriptor.disks)
    if disks:
        problems.append(problem("disk-unread", "the disks themselves are not in this file"))
    for one in descriptor.disks:
        problems += _judged_told(one)
    kept = sorted_problems(problems)
    return Inspection(name, "ovf", size, Archive((), ()), None, b"", descriptor, disks, kept)


def _what_it_is(fd: int, size: int) -> str:
    if not size:
        return "the file is empty"
    try:
        disk = open_disk(fd, 0, size)
    except DamagedDisk as other:
        return f"it is neither an OVA nor an OVF: {other}"
    if disk.format == "raw":
        return "it is neither an OVA nor an OVF"
    return f"it is a disk ({disk.format}) without its OVA"


def _ova(fd: int, size: int, name: str) -> Inspection:
    archive = read_archive(fd, size)
    problems = list(archive.problems)
    descriptor = _descriptor(fd, archive, problems)
    manifest, text = _manifest(fd, archive, problems)
    disks = tuple(_disks(fd, archive, descriptor, problems))
    kept = sorted_problems(problems)
    return Inspection(name, "ova", size, archive, manifest, text, descriptor, disks, kept)


def _descriptor(fd: int, archive: Archive, problems: list[Problem]) -> Descriptor:
    found = archive.ending(".ovf")
    if not found:
        problems.append(problem("ovf-missing", "there is no .ovf in it"))
        return parse_ovf(b"<Envelope/>")
    if len(found) > 1:
        problems.append(problem("ovf-several", f"there are {len(found)} .ovf files in it"))
    if archive.members[0] is not found[0]:
        what = f"its first member is {archive.members[0].name}, not the .ovf"
        problems.append(problem("ovf-order", what))
    data = os.pread(fd, min(found[0].size, MOST_BYTES + 1), found[0].offset)
    descriptor = parse_ovf(data, found[0].name)
    problems += [*descriptor.problems, *_counted(descriptor)]
    members = {one.name: one for one in archive.members}
    for href, stated in descriptor.files:
        member = members.get(href)
        if member is None:
            problems.append(problem("ovf-file-missing", f"{href} is not in it", href))
        elif stated and stated != member.size:
            what = f"{href} has {member.size} bytes, the descriptor says {stated}"
            problems.append(problem("ovf-file-size", what, href))
    return descriptor


def _counted(descriptor: Descriptor) -> list[Problem]:
    if not descriptor.machines:
        return []
    if not descriptor.disks:
        return [problem("disk-none", "the machine has no disk")]
    if len(descriptor.disks) > MOST_DISKS:
        return [problem("disk-count", f"the machine has {len(descriptor.disks)} disks")]
    return []


def _manifest(fd: int, archive: Archive, problems: list[Problem]) -> tuple[Manifest | None, bytes]:
    found = archive.ending(".mf")
    if not found:
        problems.append(
            problem("manifest-none", "it has no manifest: nothing in it says what it should be")
        )
        problems += [
            problem("certificate-form", f"{one.name} signs a manifest that is not there", one.name)
            for one in archive.ending(".cert")[:1]
        ]
        return None, b""
    if len(found) > 1:
        problems.append(problem("manifest-several", f"there are {len(found)} manifests in it"))
    if found[0].size > manifests.MOST_BYTES:
        what = f"{found[0].name} is longer than {manifests.MOST_BYTES} bytes"
        problems.append(problem("manifest-line", what, found[0].name))
    text = os.pread(fd, min(found[0].size, manifests.MOST_BYTES), found[0].offset)
    manifest = manifests.parse_manifest(found[0].name, text)
    problems += [*manifest.problems, *manifests.compared(manifest, archive.members)]
    for one in archive.ending(".cert")[:1]:
        data = os.pread(fd, min(one.size, manifests.MOST_BYTES), one.offset)
        signer, wrong = manifests.read_certificate(one.name, data, text)
        manifest = replace(manifest, signer=signer)
        problems += wrong
    return manifest, text


def _disks(
    fd: int, archive: Archive, descriptor: Descriptor, problems: list[Problem]
) -> Iterator[DiskReport]:
    members = {one.name: one for one in archive.members}
    for number, told in enumerate(descriptor.disks[: MOST_DISKS + 1]):
        problems += _judged_size(told)
        member = members.get(told.file)
        if member is None:
            yield _told(told, descriptor)
            continue
        try:
            disk = open_disk(fd, member.offset, member.size)
            layout = read_layout(disk, root_disk=number == 0)
        except DamagedDisk as damage:
            problems.append(problem(damage.code, f"{member.name}: {damage}", member.name))
            yield replace(_told(told, descriptor), member=member, size=member.size)
            continue
        problems += judged_table(layout, member.name)
        if number == 0:
            problems += judged_root(layout, descriptor.firmware, member.name)
        if told.capacity and told.capacity != disk.capacity:
            what = f"{member.name} has {disk.capacity} bytes, the descriptor says {told.capacity}"
            problems.append(problem("disk-capacity", what, member.name))
        yield _report(member, disk.format, disk.capacity, layout, descriptor)


def _judged_size(told: OvfDisk) -> Iterator[Problem]:
    if told.capacity >= MOST_DISK:
        what = f"{told.file or told.disk_id} has {told.capacity} bytes"
        yield problem("disk-size", what, told.file)


def _judged_told(told: OvfDisk) -> Iterator[Problem]:
    """What can be said of a disk that is not there."""
    yield from _judged_size(told)
    kind = told.format.rpartition("#")[2].lower()
    if told.file and "vmdk" in told.format.lower() and kind != "streamoptimized":
        what = f"{told.file} is said to be a VMDK of the kind {kind[:40]!a}"
        yield problem("disk-described", what, told.file)


def _report(
    member: Member, kind: str, capacity: int, layout: Layout, descriptor: Descriptor
) -> DiskReport:
    mode = layout.boot_mode
    if mode == "uefi+bios" and descriptor.firmware != "unknown":
        mode = descriptor.firmware
    return DiskReport(
        member.name,
        kind,
        capacity,
        member.size,
        mode,
        layout.table.scheme,
        tuple((one, layout.filesystems.get(one.number, "unknown")) for one in layout.partitions),
        layout.guest,
        member,
    )


def _told(one: OvfDisk, descriptor: Descriptor) -> DiskReport:
    """A disk of which only the descriptor speaks."""
    form = one.format.lower()
    kind = (
        "vmdk-stream-optimized" if "streamoptimized" in form else "vmdk" if "vmdk" in form else ""
    )
    kind = kind or ("vhd" if "vhd" in form else "qcow2" if "qcow" in form else "unknown")
    return DiskReport(one.file, kind, one.capacity, one.size, descriptor.firmware)


def _verified(
    fd: int,
    found: Inspection,
    expected: str,
    on_bytes: Callable[[int, int], None] | None,
) -> Inspection:
    digests = Digests(found.archive.members, found.manifest)
    done = 0
    while data := os.pread(fd, CHUNK, done):
        digests.feed(data)
        done += len(data)
        if on_bytes:
            on_bytes(done, found.size)
    return with_digests(found, digests, expected)


def with_digests(found: Inspection, digests: Digests, expected: str = "") -> Inspection:
    """The inspection once every byte has gone through ``digests``."""
    manifest, problems = digests.checked()
    all_problems = [*found.problems, *problems]
    if expected and digests.digest() != expected:
        what = f"its SHA-256 is {digests.digest()}, not the expected one"
        all_problems.append(problem("digest-mismatch", what))
    kept = sorted_problems(all_problems)
    return replace(found, manifest=manifest, problems=kept, digest=digests.digest())


def expected_digest(text: str) -> str:
    """A SHA-256 in hex as a person copies it, in lower case; "" for none. UsageError if it is no such thing."""
    digest = text.strip().lower().removeprefix("sha256:")
    if digest and (len(digest) != 64 or set(digest) - set("0123456789abcdef")):  # noqa: PLR2004 - SHA-256 in hex
        raise UsageError(
            "cannot use --expect-digest",
            why="it is no SHA-256 in hex",
            fix="copy the 64 digits from Okta's download page",
        )
    return digest
