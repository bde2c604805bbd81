"""streamOptimized VMDKs: qemu-img reads the same bytes, and a broken or hostile one is refused by name."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
import zlib

import pytest
from disk_shapes import BLOCK, GRAIN, MIB, as_vmdk, made_raw, opened, rebuilt
from examples import examples
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ostiary.doors.gateway.image.disk import DamagedDisk

SIZES = (512, GRAIN, BLOCK, BLOCK + 512, 5 * MIB - 512, 33 * MIB + 7 * 512)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("variant", ["footer", "header"])
def test_what_we_read_is_what_qemu_img_reads(tmp_path, qemu_img, size, variant):
    raw, path, theirs = made_raw(size, seed=size), tmp_path / "d.vmdk", tmp_path / "d.raw"
    path.write_bytes(as_vmdk(raw, variant))
    qemu_img("convert", "-O", "raw", path, theirs)
    with opened(path) as disk:
        assert disk.format == "vmdk-stream-optimized"
        assert disk.capacity == size
        ours = rebuilt(disk)
    assert ours == raw
    assert theirs.read_bytes()[:size] == raw


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("holes", [0.0, 0.5, 1.0])
def test_what_qemu_img_writes_is_read(tmp_path, qemu_img, size, holes):
    raw, path = made_raw(size, seed=size + 1, holes=holes), tmp_path / "d.vmdk"
    (tmp_path / "d.raw").write_bytes(raw)
    options = ("-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized")
    qemu_img("convert", *options, tmp_path / "d.raw", path)
    with opened(path) as disk:
        assert disk.capacity >= size, "qemu-img rounds up"
        assert rebuilt(disk)[:size] == raw


@pytest.mark.chaos
def test_any_place_can_be_read(tmp_path):
    raw, path = made_raw(3 * MIB + 512, seed=3), tmp_path / "d.vmdk"
    before = b"what stands before it in the archive"
    path.write_bytes(before + as_vmdk(raw) + b"and after")
    length = path.stat().st_size - len(before) - len(b"and after")

    with opened(path, len(before), length) as disk:

        @settings(max_examples=examples(50, 200), deadline=None)
        @given(st.integers(0, len(raw) + GRAIN), st.integers(0, 3 * GRAIN))
        def compare(offset, size):
            assert disk.read(offset, size) == raw[offset : offset + size]

        compare()


def test_a_grain_of_zeros_that_the_table_marks(tmp_path):
    raw = made_raw(2 * MIB, seed=5, holes=0.0)
    data, path = bytearray(as_vmdk(raw, "header")), tmp_path / "d.vmdk"
    (flags,) = struct.unpack_from("<I", data, 8)
    struct.pack_into("<I", data, 8, flags | 4)
    struct.pack_into("<I", data, place_of_entry(data, 9), 1)
    path.write_bytes(data)
    with opened(path) as disk:
        assert rebuilt(disk) == raw[: 9 * GRAIN] + bytes(GRAIN) + raw[10 * GRAIN :]
        assert disk.read(9 * GRAIN, GRAIN) == bytes(GRAIN)


def place_of_entry(data: bytes, grain: int) -> int:
    """Where the header variant keeps the place of a grain."""
    (directory,) = struct.unpack_from("<Q", data, 56)
    (table,) = struct.unpack_from("<I", data, directory * 512 + grain // 512 * 4)
    return table * 512 + grain % 512 * 4


def place_of(data: bytes, grain: int) -> int:
    return struct.unpack_from("<I", data, place_of_entry(data, grain))[0] * 512


def put(offset, form, *values):
    def change(data):
        struct.pack_into(form, data, offset if offset >= 0 else len(data) + offset, *values)

    return change


def cut(size):
    def change(data):
        del data[size if size >= 0 else len(data) + size :]

    return change


def as_text(data):
    data[:] = data.replace(b"\r\n", b"\n")


HEADER = (
    ("version", put(4, "<I", 9), "vmdk-header"),
    ("grains of 3 sectors", put(20, "<Q", 3), "vmdk-header"),
    ("grains of 1 TiB", put(20, "<Q", 1 << 31), "vmdk-header"),
    ("tables of 511", put(44, "<I", 511), "vmdk-header"),
    ("no capacity", put(12, "<Q", 0), "vmdk-capacity"),
    ("capacity of 2^63", put(12, "<Q", 1 << 54), "vmdk-capacity"),
    ("a directory larger than the file", put(12, "<Q", 1 << 36), "vmdk-header"),
    ("not compressed", put(8, "<I", 3), "vmdk-not-stream-optimized"),
    ("algorithm 0", put(77, "<H", 0), "vmdk-compression"),
    ("sent as text", as_text, "vmdk-header"),
    ("only its magic", cut(4), "vmdk-truncated"),
    ("only its header", cut(512), "vmdk-truncated"),
)
FOOTER = (
    ("cut in a grain", cut(-70_000), "vmdk-footer"),
    ("cut by one sector", cut(-512), "vmdk-footer"),
    ("another capacity", put(-1024 + 12, "<Q", 2048), "vmdk-footer"),
    ("another magic", put(-1024, "<I", 0), "vmdk-footer"),
    ("a directory at the end again", put(-1024 + 56, "<Q", (1 << 64) - 1), "vmdk-footer"),
    ("no marker of the footer", put(-1536 + 12, "<I", 2), "vmdk-footer"),
    ("no end of stream", put(-512 + 12, "<I", 3), "vmdk-footer"),
    ("a directory outside", put(-1024 + 56, "<Q", 1 << 40), "vmdk-truncated"),
)


@pytest.mark.parametrize(
    ("variant", "change", "code"),
    [("header", change, code) for _, change, code in HEADER]
    + [("footer", change, code) for _, change, code in FOOTER],
    ids=[name for name, *_ in (*HEADER, *FOOTER)],
)
def test_a_broken_frame_is_refused_by_name(tmp_path, variant, change, code):
    data, path = bytearray(as_vmdk(made_raw(2 * MIB), variant)), tmp_path / "d.vmdk"
    change(data)
    path.write_bytes(data)
    with pytest.raises(DamagedDisk) as refused, opened(path) as disk:
        rebuilt(disk)
    assert refused.value.code == code


def bomb(data):
    """A grain whose few bytes inflate to 256 MiB."""
    at, packed = place_of(data, 0), zlib.compress(bytes(60_000_000), 9)[: GRAIN + 400]
    data[at : at + 12 + len(packed)] = struct.pack("<QI", 0, len(packed)) + packed


GRAINS = (
    ("bomb", bomb, "vmdk-grain"),
    (
        "another sector",
        lambda data: put(place_of(data, 3), "<Q", 3 * 128 + 1)(data),
        "vmdk-grain",
    ),
    (
        "the same grain twice",
        lambda data: put(place_of_entry(data, 3), "<I", place_of(data, 2) // 512)(data),
        "vmdk-grain",
    ),
    ("4 GiB long", lambda data: put(place_of(data, 3) + 8, "<I", 0xFFFFFFFF)(data), "vmdk-grain"),
    ("no bytes", lambda data: put(place_of(data, 3) + 8, "<I", 0)(data), "vmdk-grain"),
    ("no zlib", lambda data: put(place_of(data, 3) + 12, "<I", 0xFFFFFFFF)(data), "vmdk-grain"),
    ("past the file", lambda data: put(place_of_entry(data, 3), "<I", 1 << 30)(data), "vmdk-truncated"),
    (
        "past the disk",
        lambda data: put(place_of_entry(data, 32), "<I", place_of(data, 3) // 512)(
            put(place_of(data, 3), "<Q", 32 * 128)(data) or data
        ),
        "vmdk-grain",
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "code"), [row[1:] for row in GRAINS], ids=[row[0] for row in GRAINS]
)
def test_a_broken_grain_is_refused_by_name(tmp_path, change, code):
    data, path = bytearray(as_vmdk(made_raw(2 * MIB, holes=0.0), "header")), tmp_path / "d.vmdk"
    change(data)
    path.write_bytes(data)
    with opened(path) as disk, pytest.raises(DamagedDisk) as refused:
        rebuilt(disk)
    assert refused.value.code == code


def test_a_short_grain_is_refused(tmp_path):
    """What inflates to less than a grain, and not because the disk ends there."""
    data, path = bytearray(as_vmdk(made_raw(MIB, holes=0.0), "header")), tmp_path / "d.vmdk"
    packed = zlib.compress(b"x" * (GRAIN - 1))
    struct.pack_into(f"<QI{len(packed)}s", data, place_of(data, 3), 3 * 128, len(packed), packed)
    path.write_bytes(data)
    with opened(path) as disk, pytest.raises(DamagedDisk, match="grain 3 has 65535 bytes"):
        disk.read(3 * GRAIN, 1)


def test_an_appliance_that_is_no_stream_is_called_what_it_is(tmp_path, qemu_img):
    (tmp_path / "d.raw").write_bytes(made_raw(MIB))
    for form, code in (("monolithicSparse", "vmdk-not-stream-optimized"), ("monolithicFlat", "disk-format")):  # fmt: skip
        path = tmp_path / f"{form}.vmdk"
        qemu_img("convert", "-f", "raw", "-O", "vmdk", "-o", f"subformat={form}", tmp_path / "d.raw", path)  # fmt: skip
        with pytest.raises(DamagedDisk) as refused, opened(path):
            pass
        assert refused.value.code == code


@pytest.mark.chaos
@pytest.mark.parametrize("variant", ["footer", "header"])
def test_whatever_is_broken_costs_little_and_raises_nothing_else(tmp_path, variant):
    whole, path = as_vmdk(made_raw(2 * MIB, seed=9), variant), tmp_path / "d.vmdk"
    frame = [*range(1536), *range(len(whole) - 4096, len(whole))]
    ends = {"read": 0, "refused": 0}
    peaks = []

    @settings(
        max_examples=examples(60, 300),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(st.integers(0, 2**32), st.integers(1, 6), st.booleans(), st.integers(0, 6))
    @example(seed=0, changes=0, in_frame=False, shorter=0)  # the whole one, which is read
    def broken(seed, changes, in_frame, shorter):
        chance, data = random.Random(seed), bytearray(whole)
        for _ in range(changes):
            at = chance.choice(frame) if in_frame else chance.randrange(len(data))
            data[at] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        del data[len(data) - (shorter and chance.randrange(len(data))) :]
        path.write_bytes(data)
        started = time.process_time()
        tracemalloc.start()  # for the reader alone: what makes the examples allocates much more often
        try:
            with opened(path) as disk:
                disk.read(disk.capacity // 2, 4096)
                for _ in disk.stored_blocks():
                    pass
            ends["read"] += 1
        except DamagedDisk as refused:
            assert refused.code  # noqa: PT017 - either end is right, this one must say why
            ends["refused"] += 1
        finally:
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert time.process_time() - started < 1

    broken()
    assert max(peaks) < 24 * MIB
    assert all(ends.values()), ends


@pytest.mark.chaos
def test_a_directory_that_names_one_table_many_thousand_times(tmp_path):
    """3 TiB of disk in a small file, in full: the honest and the hostile cost the same."""
    tables = examples(20_000, 100_000)
    head = bytearray(as_vmdk(bytes(GRAIN), "header")[:512])
    put(12, "<Q", tables * 512 * 128)(head)
    put(56, "<Q", 1)(head)
    after = 1 + -(-tables * 4 // 512)
    data = head + struct.pack("<I", after) * tables
    path = tmp_path / "d.vmdk"
    path.write_bytes(data.ljust(after * 512, b"\0") + bytes(2048))
    started = time.process_time()
    with opened(path) as disk:
        assert list(disk.stored_blocks()) == []
    assert time.process_time() - started < 5 * tables / 100_000
