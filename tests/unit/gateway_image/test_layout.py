"""Partition tables, file systems and loaders, as sfdisk, mke2fs and mkfs make them."""

import struct
import uuid
import zlib

import pytest
from disk_tools import MIB, MemoryDisk, file_system, partitioned, tool

from ostiary.doors.gateway.image.filesystems import filesystem
from ostiary.doors.gateway.image.judging import judged_root, judged_table
from ostiary.doors.gateway.image.layout import read_layout
from ostiary.doors.gateway.image.partitions import read_table

GPT_BIOS = (
    "label: gpt\nstart=2048,size=2048,type=21686148-6449-6E6F-744E-656564454649\nstart=4096\n"
)
GPT_ESP = "label: gpt\nstart=2048,size=34816,type=uefi\nstart=36864\n"


def codes(data, firmware="unknown"):
    layout = read_layout(MemoryDisk(data), root_disk=True)
    found = [*judged_table(layout, "d"), *judged_root(layout, firmware, "d")]
    return {one.code for one in found}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("layouts")


@pytest.fixture(scope="module")
def root(folder):
    files = {
        "etc/fstab": "# / was on /dev/sda1 during installation\nUUID=1 / ext4 defaults 0 1\n",
        "etc/os-release": 'ID=rocky\nVERSION_ID="9.5"\n',
        "boot/vmlinuz-6.1": "kernel",
        "boot/initrd.img-6.1": "initramfs",
        "lib/modules/6.1/modules.builtin": "kernel/drivers/nvme/host/nvme.ko\n",
        "lib/modules/6.1/kernel/drivers/net/ethernet/amazon/ena/ena.ko": "",
    }
    return file_system(folder, "ext4", 8 * MIB, files)


@pytest.fixture(scope="module")
def esp(folder):
    """EFI system partitions by the bits of their FAT, with a loader."""
    made = {}
    for bits, size, per_cluster in ((12, 4, 2), (16, 16, 1), (32, 17, 1)):
        options = ("-F", bits, "-s", per_cluster)
        made[bits] = file_system(folder, "vfat", size * MIB, None, *options)
    return made


def with_loader(fat: bytes) -> bytes:
    """Puts EFI/BOOT/BOOTX64.EFI into an empty FAT by hand: the tools that copy into one are not everywhere."""
    data = bytearray(fat)
    sector, per_cluster, reserved, tables, entries = struct.unpack_from("<HBHBH", data, 11)
    short, long = struct.unpack_from("<H12xI", data, 22)
    bits = 32 if not short else 12 if data[54:59] == b"FAT12" else 16
    table, root = reserved * sector, (reserved + tables * (short or long)) * sector
    clusters, each = root + entries * 32, sector * per_cluster
    first = 3 if bits == 32 else 2  # FAT32 has its root in cluster 2
    names = ((b"EFI        ", 0x10), (b"BOOT       ", 0x10), (b"BOOTX64 EFI", 0x20))
    at = clusters if bits == 32 else root
    for number, (name, kind) in enumerate(names, first):
        entry = name + bytes([kind]) + bytes(14) + struct.pack("<HI", number, 0)
        data[at : at + 32] = entry
        for copy in range(tables):
            place = table + copy * (short or long) * sector + number * bits // 8
            old = struct.unpack_from("<I", data, place)[0]
            ends = ((1 << bits) - 1) << (4 if bits == 12 and number & 1 else 0)
            struct.pack_into("<I", data, place, old | (ends & 0x0FFFFFFF if bits == 32 else ends))
        at = clusters + (number - 2) * each
    return bytes(data)


class TestTables:
    def test_gpt_with_a_bios_boot_partition(self, folder, root):
        data = partitioned(folder, GPT_BIOS, 16 * MIB, {2: root})
        layout = read_layout(MemoryDisk(data), root_disk=True)
        assert layout.boot_mode == "bios"
        assert [one.kind for one in layout.partitions] == ["bios-boot", "linux"]
        assert layout.filesystems[2] == "ext4"
        assert layout.guest.kernels == ("vmlinuz-6.1",)
        assert codes(data) == set()
        assert codes(data, "bios") == set()
        assert codes(data, "uefi") == {"boot-firmware"}

    def test_gpt_with_neither(self, folder, root):
        data = partitioned(folder, "label: gpt\nstart=2048\n", 16 * MIB, {1: root})
        assert codes(data) == {"boot-gpt-bios"}

    @pytest.mark.parametrize("bits", [12, 16, 32])
    def test_an_esp_with_and_without_the_loader(self, folder, root, esp, bits):
        (folder / "checked").write_bytes(with_loader(esp[bits]))
        told = tool("fsck.fat", "-n", "-v", "-l", folder / "checked", check=False)
        assert "BOOTX64.EFI" in told  # a second reader finds it there too
        script = GPT_ESP
        for fat, expected, mode in (
            (with_loader(esp[bits]), set(), "uefi"),
            (esp[bits], {"boot-esp"}, "unknown"),
        ):
            data = partitioned(folder, script, 32 * MIB, {1: fat, 18: root})
            assert codes(data) == expected
            assert read_layout(MemoryDisk(data), root_disk=True).boot_mode == mode

    def test_an_esp_that_cannot_be_read_is_not_called_empty(self, folder, root, esp):
        fat = bytearray(with_loader(esp[32]))
        fat[13] = 0  # sectors of a cluster
        data = partitioned(folder, GPT_ESP, 32 * MIB, {1: bytes(fat), 18: root})
        assert read_layout(MemoryDisk(data), root_disk=True).loader == "unread"
        assert codes(data) == set()

    def test_an_esp_on_mbr(self, folder, root, esp):
        script = "label: dos\nstart=2048,size=34816,type=ef\nstart=36864,type=83\n"
        data = partitioned(folder, script, 32 * MIB, {1: with_loader(esp[16]), 18: root})
        assert read_layout(MemoryDisk(data), root_disk=True).boot_mode == "uefi"
        assert codes(data, "bios") == {"boot-firmware"}
        data = partitioned(folder, script, 32 * MIB, {1: esp[16], 18: root})
        assert codes(data) == {"boot-esp"}

    def test_logical_partitions(self, folder, root):
        script = (
            "label: dos\nstart=2048,size=2048,type=83,bootable\nstart=4096,size=40960,type=5\n"
            "start=6144,size=2048,type=82\nstart=10240,size=16384,type=83\n"
        )
        data = partitioned(folder, script, 32 * MIB, {5: root})
        layout = read_layout(MemoryDisk(data), root_disk=True)
        assert [(one.number, one.kind) for one in layout.partitions] == [
            (1, "linux"),
            (5, "swap"),
            (6, "linux"),
        ]
        assert layout.filesystems[6] == "ext4"
        assert codes(data) == set()

    def test_mbr_without_the_mark(self, folder, root):
        data = partitioned(folder, "label: dos\nstart=2048,type=83\n", 16 * MIB, {1: root})
        assert codes(data) == {"boot-none"}
        assert "boot-no-table" in codes(root)

    def test_mbr_whose_partition_is_cut_off(self, folder, root):
        script = "label: dos\nstart=2048,type=83,bootable\n"
        data = partitioned(folder, script, 32 * MIB, {1: root})[: 20 * MIB]
        assert "boot-mbr-damaged" in codes(data)

    def test_one_damaged_gpt_of_two_is_enough(self, folder, root):
        whole = partitioned(folder, GPT_BIOS, 16 * MIB, {2: root})
        for place in (512 + 20, len(whole) - 512 + 60, len(whole) - 33 * 512 + 3):
            data = bytearray(whole)
            data[place] ^= 0xFF
            assert codes(data) == {"boot-gpt-damaged"}
            assert len(read_table(MemoryDisk(data)).partitions) == 2
        data = bytearray(whole)
        data[512 + 20] ^= 0xFF
        data[-512 + 60] ^= 0xFF
        assert {"boot-table"} <= codes(data)

    @pytest.mark.parametrize(
        ("at", "value"), [(72, 2**63), (72, 2**64 - 1), (80, 2**32 - 1), (84, 127), (12, 2**31)]
    )
    def test_a_gpt_that_points_anywhere(self, folder, root, at, value):
        data = partitioned(folder, GPT_BIOS, 16 * MIB, {2: root})[: 12 * MIB]
        struct.pack_into("<Q" if at == 72 else "<I", data, 512 + at, value)
        data[512 + 16 : 512 + 20] = bytes(4)
        size = struct.unpack_from("<I", data, 512 + 12)[0]
        struct.pack_into("<I", data, 512 + 16, zlib.crc32(data[512 : 512 + min(size, 512)]))
        assert "boot-table" in codes(data)

    def test_a_chain_of_logical_ones_that_leads_back(self):
        data = bytearray(4 * MIB)
        data[446 + 4] = 5
        struct.pack_into("<II", data, 446 + 8, 2048, 4096)
        data[510:512] = data[2048 * 512 + 510 : 2048 * 512 + 512] = b"\x55\xaa"
        at = 2048 * 512 + 446
        data[at + 4] = 0x83
        struct.pack_into("<II", data, at + 8, 8, 8)
        data[at + 16 + 4] = 5
        assert len(read_table(MemoryDisk(data)).partitions) == 1


class TestFileSystems:
    @pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4"])
    def test_ext(self, folder, kind):
        data = file_system(folder, kind, 4 * MIB)
        assert filesystem(MemoryDisk(data), 0, len(data)) == kind

    def test_xfs_holds_what_nobody_guesses(self, folder):
        image = folder / "xfs"
        with image.open("wb") as out:
            out.truncate(310 * MIB)  # mkfs.xfs makes none under 300
        tool("mkfs.xfs", "-q", image)
        script = "label: dos\nstart=2048,type=83,bootable\n"
        with image.open("rb") as made:
            data = partitioned(folder, script, 4 * MIB, {1: made.read(MIB)})
        layout = read_layout(MemoryDisk(data), root_disk=True)
        assert layout.filesystems == {1: "xfs"}
        assert layout.guest.as_json() == {
            "os": "unknown",
            "kernels": None,
            "initramfs": None,
            "drivers": None,
            "network": "unknown",
            "fstab": "unknown",
        }
        assert codes(data) == set()

    @pytest.mark.parametrize("bits", [12, 16, 32])
    def test_fat(self, esp, bits):
        assert filesystem(MemoryDisk(esp[bits]), 0, len(esp[bits])) == "fat"

    # Magics as the formats document them, for tools that this machine need not have.
    @pytest.mark.parametrize(
        ("at", "magic", "kind", "code"),
        [
            (512, b"LABELONE", "lvm", "guest-lvm"),
            (1536, b"LABELONE", "lvm", "guest-lvm"),
            (0, b"LUKS\xba\xbe\0\2", "luks", "guest-encrypted"),
            (4096, b"\xfc\x4e\x2b\xa9", "raid", "guest-raid"),
            (0x10040, b"_BHRfS_M", "btrfs", "filesystem-btrfs"),
            (4086, b"SWAPSPACE2", "swap", "filesystem-none"),
            (3, b"NTFS    ", "ntfs", "guest-windows"),
            (3, b"EXFAT   ", "exfat", "filesystem-none"),
            (0x8000, b"JFS1", "jfs", None),
            (0x400, b"\x10\x20\xf5\xf2", "f2fs", "filesystem-none"),
            (0, b"nothing", "unknown", "filesystem-none"),
        ],
    )
    def test_magics(self, folder, at, magic, kind, code):
        content = bytearray(MIB)
        content[at : at + len(magic)] = magic
        script = "label: dos\nstart=2048,type=83,bootable\n"
        data = partitioned(folder, script, 4 * MIB, {1: bytes(content)})
        assert read_layout(MemoryDisk(data), root_disk=True).filesystems == {1: kind}
        assert codes(data) == ({code} if code else set())

    def test_a_disk_that_is_one_physical_volume_is_seen(self):
        data = bytearray(MIB)
        data[512:520] = b"LABELONE"
        layout = read_layout(MemoryDisk(data), root_disk=False)
        assert layout.filesystems == {0: "lvm"}
        assert [one.kind for one in layout.partitions] == ["whole"]


def test_ids_of_the_types_are_those_of_the_tool(folder):
    """sfdisk knows the types by name; what it writes is what is recognised."""
    for name, kind in (("uefi", "esp"), ("linux", "linux"), ("swap", "swap"), ("lvm", "lvm")):
        data = partitioned(folder, f"label: gpt\nstart=2048,type={name}\n", 4 * MIB, {})
        assert [one.kind for one in read_table(MemoryDisk(data)).partitions] == [kind]
        assert uuid.UUID(bytes_le=bytes(data[1024:1040])).int
