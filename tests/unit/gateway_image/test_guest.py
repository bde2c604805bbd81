"""What a guest says of itself, in the ways that distributions write it down; ext file systems by mke2fs."""

import random
import struct
import time

import pytest
from disk_tools import MIB, MemoryDisk, file_system, partitioned
from examples import examples

from ostiary.doors.gateway.image.ext4 import Ext4, NotPlain
from ostiary.doors.gateway.image.guest import read_guest
from ostiary.doors.gateway.image.judging import judged_root
from ostiary.doors.gateway.image.layout import read_layout
from ostiary.doors.gateway.image.partitions import Partition

MODULES = {
    "lib/modules/6.1/kernel/drivers/net/ethernet/amazon/ena/ena.ko.xz": "",
    "lib/modules/6.1/kernel/drivers/nvme/host/nvme.ko.xz": "",
    "lib/modules/6.1/kernel/drivers/block/xen-blkfront.ko.xz": "",
}
PLAIN = {
    "etc/fstab": "UUID=1 / ext4 defaults 0 1\n",
    "etc/os-release": "ID=debian\nVERSION_ID='12'\n",
    "boot/vmlinuz-6.1": "k",
    "boot/initrd.img-6.1": "i",
    **MODULES,
}


@pytest.fixture
def guest(tmp_path):
    """``guest(files, …)``: what is read of an ext4 that holds them, beside the plain ones."""

    def guest(files=None, without=(), kind="ext4", options=()):
        files = {**PLAIN, **(files or {})}
        kept = {path: text for path, text in files.items() if not path.startswith(tuple(without))}
        data = file_system(tmp_path, kind, 4 * MIB, kept, *options)
        return read_guest(MemoryDisk(data), [Partition(1, "linux", 0, len(data))], {1: kind})

    return guest


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4"])
@pytest.mark.parametrize("block", [1024, 2048, 4096])
def test_every_plain_ext_is_read(guest, kind, block):
    found = guest(kind=kind, options=("-b", block))
    assert found.os == "debian 12"
    assert found.kernels == ("vmlinuz-6.1",)
    assert found.initramfs is True
    assert found.drivers == ("ena", "nvme", "xen-blkfront")
    assert found.fstab == "uuid"


@pytest.mark.parametrize(
    "options",
    [
        ("-O", "^64bit"),
        ("-O", "^extents,^64bit"),
        ("-O", "metadata_csum_seed"),
        ("-O", "inline_data"),
        ("-O", "^flex_bg,^uninit_bg"),
        ("-I", "128"),
        ("-I", "1024"),
        ("-O", "casefold"),
        ("-O", "encrypt"),
        ("-O", "bigalloc"),
        ("-O", "meta_bg,^resize_inode"),
    ],
    ids=" ".join,
)
def test_features_are_read_or_nothing_is_said(guest, options):
    """No feature makes the reader say something else than what is there."""
    found = guest(options=options)
    if found.os == "unknown":
        assert found.kernels is None
        assert found.drivers is None
        assert found.fstab == "unknown"
    else:
        assert (found.os, found.kernels) == ("debian 12", ("vmlinuz-6.1",))
        assert found.drivers == ("ena", "nvme", "xen-blkfront")


def test_a_journal_that_was_not_replayed_makes_it_unknown(tmp_path):
    data = bytearray(file_system(tmp_path, "ext4", 4 * MIB, PLAIN))
    data[1024 + 96] |= 4
    partition = [Partition(1, "linux", 0, len(data))]
    assert read_guest(MemoryDisk(data), partition, {1: "ext4"}).kernels is None


class TestDrivers:
    def test_built_in_ones_count(self, guest):
        builtin = "kernel/drivers/nvme/host/nvme.ko\nkernel/drivers/block/xen-blkfront.ko\n"
        found = guest(
            {"lib/modules/6.1/modules.builtin": builtin},
            without=("lib/modules/6.1/kernel/drivers/nvme", "lib/modules/6.1/kernel/drivers/block"),
        )
        assert found.drivers == ("ena", "nvme", "xen-blkfront")

    def test_every_kernel_that_starts_must_have_them(self, guest):
        other = {"boot/vmlinuz-5.4": "k", "lib/modules/5.4/modules.builtin": ""}
        assert guest(other).drivers == ()
        leftover = {"lib/modules/5.4/modules.builtin": ""}  # no kernel of it in /boot
        assert guest(leftover).drivers == ("ena", "nvme", "xen-blkfront")

    def test_a_linked_lib(self, guest):
        moved = {f"usr/{path}": text for path, text in MODULES.items()}
        found = guest({**moved, "lib": "-> usr/lib"}, without=("lib/",))
        assert found.drivers == ("ena", "nvme", "xen-blkfront")

    def test_without_a_folder_nothing_is_known(self, guest):
        assert guest(without=("lib/",)).drivers is None

    def test_similar_names_are_no_drivers(self, guest):
        found = guest(
            {"lib/modules/6.1/kernel/drivers/nvme/host/nvme-core.ko.xz": ""},
            without=("lib/modules/6.1/kernel/drivers/nvme/host/nvme.",),
        )
        assert found.drivers == ("ena", "xen-blkfront")


class TestFstab:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("# / was on /dev/sda1 during installation\nUUID=1 / ext4 defaults 0 1\n", "uuid"),
            ("#/dev/sda1 / ext4 defaults 0 1\nLABEL=root / ext4 defaults 0 1\n", "uuid"),
            ("PARTLABEL=root / ext4 defaults 0 1\n", "uuid"),
            ("/dev/mapper/vg-root / ext4 defaults 0 1\n", "uuid"),
            ("/dev/vg/root / ext4 defaults 0 1\n", "uuid"),
            ("/dev/sda1\t/\text4\tdefaults\t0 1\n", "device"),
            ("/dev/nvme0n1p1 / ext4 defaults 0 1\n", "device"),
            ("/dev/xvda1 / ext4 defaults 0 1\n", "device"),
            ("", "unknown"),
            ("tmpfs /tmp tmpfs defaults 0 0\n", "unknown"),
        ],
    )
    def test_how_it_names_the_root(self, guest, text, expected):
        assert guest({"etc/fstab": text}).fstab == expected

    def test_none_at_all(self, guest):
        assert guest(without=("etc/fstab",)).fstab == "missing"


class TestNetwork:
    @pytest.mark.parametrize(
        ("files", "expected"),
        [
            ({}, "unknown"),
            ({"etc/sysconfig/network-scripts/ifcfg-eth0": "BOOTPROTO='dhcp'\n"}, "dhcp"),
            (
                {"etc/sysconfig/network-scripts/ifcfg-eth0": "BOOTPROTO=none\nIPADDR=10.0.0.2\n"},
                "static",
            ),
            ({"etc/sysconfig/network-scripts/ifcfg-eth0": "BOOTPROTO=none\n"}, "unknown"),
            ({"etc/sysconfig/network-scripts/ifcfg-lo": "IPADDR=127.0.0.1\n"}, "unknown"),
            ({"etc/sysconfig/network/ifcfg-eth0": "BOOTPROTO='dhcp4'\n"}, "dhcp"),
            (
                {
                    "etc/NetworkManager/system-connections/a.nmconnection": "[ipv4]\nmethod=auto\n[ipv6]\nmethod=ignore\n"
                },
                "dhcp",
            ),
            (
                {
                    "etc/NetworkManager/system-connections/a.nmconnection": (
                        "[ipv4]\naddress1=10.0.0.2/24\nmethod=manual\n[ipv6]\nmethod=auto\n"
                    )
                },
                "static",
            ),
            (
                {
                    "etc/network/interfaces": "auto lo\niface lo inet loopback\niface eth0 inet dhcp\n"
                },
                "dhcp",
            ),
            ({"etc/network/interfaces": "iface eth0 inet static\n  address 10.0.0.2\n"}, "static"),
            ({"etc/network/interfaces.d/50": "iface eth0 inet dhcp\n"}, "dhcp"),
            (
                {"etc/netplan/50.yaml": "network:\n  ethernets:\n    e:\n      dhcp4: true\n"},
                "dhcp",
            ),
            (
                {
                    "etc/netplan/50.yaml": "network:\n  ethernets:\n    e:\n      addresses: [10.0.0.2/24]\n"
                },
                "static",
            ),
            ({"etc/systemd/network/e.network": "[Match]\nName=e*\n[Network]\nDHCP=yes\n"}, "dhcp"),
            (
                {"etc/systemd/network/e.network": "[Network]\nDHCP=no\nAddress=10.0.0.2/24\n"},
                "static",
            ),
            (
                {
                    "etc/sysconfig/network-scripts/ifcfg-eth0": "BOOTPROTO=dhcp\n",
                    "etc/sysconfig/network-scripts/ifcfg-eth1": "BOOTPROTO=none\nIPADDR=10.0.0.2\n",
                },
                "unknown",
            ),
        ],
    )
    def test_dialects(self, guest, files, expected):
        assert guest(files).network == expected

    def test_a_file_of_line_ends_takes_no_time(self, guest):
        started = time.monotonic()
        guest({"etc/network/interfaces": "\n \t" * 300_000, "etc/netplan/a.yaml": "\n" * 900_000})
        assert time.monotonic() - started < 2


class TestBootElsewhere:
    SCRIPT = "label: dos\nstart=2048,size=8192,type=83,bootable\nstart=10240,type=83\n"
    FSTAB = "UUID=1 / ext4 defaults 0 1\nUUID=2 /boot {} defaults 0 2\n"

    def read(self, folder, boot, kind="ext4"):
        files = {path: text for path, text in PLAIN.items() if not path.startswith("boot/")}
        files |= {"etc/fstab": self.FSTAB.format(kind), "boot/efi/.keep": ""}
        root = file_system(folder, "ext4", 8 * MIB, files)
        data = partitioned(folder, self.SCRIPT, 16 * MIB, {1: boot, 5: root})
        layout = read_layout(MemoryDisk(data), root_disk=True)
        return layout.guest, {one.code for one in judged_root(layout, "unknown", "d")}

    def test_on_a_partition_of_its_own(self, tmp_path):
        files = {"vmlinuz-6.1": "k", "initramfs-6.1.img": "i"}
        guest, found = self.read(tmp_path, file_system(tmp_path, "ext4", 4 * MIB, files))
        assert guest.kernels == ("vmlinuz-6.1",)
        assert found == set()

    def test_on_one_that_is_empty(self, tmp_path):
        guest, found = self.read(tmp_path, file_system(tmp_path, "ext4", 4 * MIB, {"x": ""}))
        assert guest.kernels == ()
        assert found == {"guest-kernel"}

    def test_where_nobody_can_look(self, tmp_path):
        xfs = bytearray(4 * MIB)
        xfs[:4] = b"XFSB"
        guest, found = self.read(tmp_path, bytes(xfs), "xfs")
        assert guest.kernels is None
        assert guest.initramfs is None
        assert found == set()

    def test_two_systems_on_one_disk(self, tmp_path):
        _, found = self.read(tmp_path, file_system(tmp_path, "ext4", 4 * MIB, PLAIN))
        assert "guest-several" in found

    def test_a_kernel_without_initramfs(self, tmp_path):
        _, found = self.read(tmp_path, file_system(tmp_path, "ext4", 4 * MIB, {"vmlinuz-6.1": ""}))
        assert found == {"guest-initramfs"}


class TestHostile:
    def test_links_that_lead_in_circles(self, guest):
        assert guest({"etc/os-release": "-> other", "etc/other": "-> os-release"}).os == "unknown"
        out = {"etc/os-release": "-> ../../../../../../etc/passwd", "etc/passwd": "ID=passwd\n"}
        assert (
            guest(out).os == "passwd"
        )  # inside of the file system, as the guest itself would see it

    def test_a_tree_of_extents_that_meet_again(self, tmp_path):
        """Each node names the next one a hundred times: no more is read than of an honest file."""
        data = bytearray(file_system(tmp_path, "ext4", 8 * MIB, PLAIN, "-b", 4096))
        reader = Ext4(MemoryDisk(data), 0, len(data))
        at = self.inode_at(data, reader, "etc/os-release")
        struct.pack_into("<I", data, at + 4, 900_000)
        spare = 1200
        self.node(data, at + 40, 5, [spare + 4] * 4)
        for level in range(4, -1, -1):
            self.node(data, (spare + level) * 4096, level, [spare + level - 1] * 300)
        started = time.monotonic()
        with pytest.raises(NotPlain):
            Ext4(MemoryDisk(data), 0, len(data)).text("etc/os-release")
        assert time.monotonic() - started < 1

    @staticmethod
    def inode_at(data, reader, path):
        return bytes(data).index(reader._find(path))

    @staticmethod
    def node(data, at, level, children):
        struct.pack_into("<HHHHI", data, at, 0xF30A, len(children), 340, level, 0)
        for index, child in enumerate(children):
            entry = (
                struct.pack("<IIHH", index, child, 0, 0)
                if level
                else struct.pack("<IHHI", 0, 32768, 0, child)
            )
            data[at + 12 + 12 * index : at + 24 + 12 * index] = entry

    @pytest.mark.chaos
    def test_many_broken_ones(self, tmp_path):
        """Fields of superblock, descriptors, inodes and folders changed at will: a guest or nothing, in no time."""
        data = bytearray(file_system(tmp_path, "ext4", 2 * MIB, PLAIN, "-b", 1024))
        used = [at for at in range(0, len(data), 64) if any(data[at : at + 64])]
        chance = random.Random(60002)
        partition = [Partition(1, "linux", 0, len(data))]
        numbers = (0, 1, 2, 8, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0xF30A)
        started = time.monotonic()
        for _ in range(examples(300, 1500)):
            kept = []
            for _ in range(chance.randrange(1, 8)):
                width = chance.choice((1, 2, 4, 8))
                at = chance.choice(
                    (1024 + chance.randrange(0, 400), chance.choice(used) + chance.randrange(56))
                )
                value = chance.choice((*numbers, chance.getrandbits(64))) & ((1 << 8 * width) - 1)
                kept.append((at, bytes(data[at : at + width])))
                data[at : at + width] = value.to_bytes(width, "little")
            read_guest(MemoryDisk(data), partition, {1: "ext4"}).as_json()
            for at, old in reversed(kept):
                data[at : at + len(old)] = old
        assert time.monotonic() - started < 20
