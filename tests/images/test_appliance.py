"""The appliances that the sandbox makes, judged by qemu-img, sfdisk, e2fsck, debugfs, fsck.fat, tar and openssl."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from ostiary.errors import UsageError
from ostiary.sandbox.appliance import guest as guests
from ostiary.sandbox.appliance.command import make
from ostiary.sandbox.appliance.guest import Guest
from ostiary.sandbox.appliance.make import FAULTS, Appliance, DiskSpec, make_ova

MIB = 1024 * 1024
PATHS = "/usr/sbin:/sbin:/usr/bin:/bin"
TOOLS = ("qemu-img", "mke2fs", "e2fsck", "debugfs", "sfdisk", "fsck.fat", "openssl")
STRICT = os.environ.get("CI") == "true" or os.geteuid() == 0
OVF = "{http://schemas.dmtf.org/ovf/envelope/1}"
ALL = [(f, t, v) for f in ("bios", "uefi") for t in ("mbr", "gpt") for v in ("footer", "header")]
TYPES = {
    ("bios", "mbr"): ["83"],
    ("uefi", "mbr"): ["ef", "83"],
    ("bios", "gpt"): [
        "21686148-6449-6E6F-744E-656564454649",
        "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    ],
    ("uefi", "gpt"): [
        "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
        "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    ],
}


@pytest.fixture(scope="session", autouse=True)
def tools():
    missing = [tool for tool in TOOLS if shutil.which(tool, path=PATHS) is None]
    if missing:
        (pytest.fail if STRICT else pytest.skip)(f"{missing[0]} is needed: requirements/debian.txt")


def run(*command, good=(0,)):
    done = subprocess.run(
        [str(one) for one in command],
        capture_output=True,
        text=True,
        env={"PATH": PATHS, "LC_ALL": "C"},
        check=False,
    )
    assert done.returncode in good, (command, done.stdout, done.stderr)
    return done.stdout + done.stderr


class Opened:
    """An appliance taken apart by tar and qemu-img."""

    def __init__(self, folder: Path, **wanted):
        self.folder = folder / "inside"
        self.folder.mkdir()
        self.made = make_ova(folder / "x.ova", Appliance(**wanted))
        self.names = run("tar", "-tf", self.made.path).split()
        run("tar", "-xf", self.made.path, "-C", self.folder)
        self.vmdks = sorted(self.folder.glob("*.vmdk"))

    def raw(self, number: int = 0) -> Path:
        out = self.folder / f"{number}.raw"
        if not out.exists():
            run("qemu-img", "convert", "-f", "vmdk", "-O", "raw", self.vmdks[number], out)
        return out

    def partitions(self):
        table = json.loads(run("sfdisk", "--json", self.raw()))["partitiontable"]
        return table["label"], table["partitions"]

    def partition(self, index: int) -> Path:
        """A file with the bytes of one partition."""
        one = self.partitions()[1][index]
        out = self.folder / f"part{index}"
        with self.raw().open("rb") as disk:
            disk.seek(one["start"] * 512)
            out.write_bytes(disk.read(one["size"] * 512))
        return out

    def debugfs(self, request: str) -> str:
        return run("debugfs", "-R", request, self.partition(-1))


@pytest.mark.parametrize(("firmware", "table", "variant"), ALL)
def test_every_tool_finds_it_whole(tmp_path, firmware, table, variant):
    it = Opened(tmp_path, firmware=firmware, table=table, variant=variant)
    # qemu-img repairs nothing and complains of nothing in its own variant; of a footer it checks what it can
    assert "No errors were found" in run("qemu-img", "check", it.vmdks[0])
    about = json.loads(run("qemu-img", "info", "--output=json", it.vmdks[0]))
    assert about["virtual-size"] == 64 * MIB
    assert about["format-specific"]["data"]["create-type"] == "streamOptimized"
    assert hashlib.sha256(it.raw().read_bytes()).hexdigest() == it.made.disks[0].raw_digest
    said = run("sfdisk", "--verify", it.raw())
    assert "No errors detected" in said
    label, partitions = it.partitions()
    assert label == {"mbr": "dos", "gpt": "gpt"}[table]
    assert [one["type"] for one in partitions] == TYPES[firmware, table]
    run(
        "e2fsck", "-f", "-n", it.partition(-1)
    )  # its exit code says whether there is anything to repair
    if firmware == "uefi":
        said = run("fsck.fat", "-n", "-v", it.partition(0))
        assert re.search(r"\b4 files, 3/", said), said  # the label, EFI, BOOT and the loader
        assert "16 bit entries" in said


def test_the_system_inside_is_readable(tmp_path):
    it = Opened(tmp_path, guest=Guest(network="static", fstab="device"))
    assert "/dev/sda1 / ext4" in it.debugfs("cat /etc/fstab")
    assert "BOOTPROTO=none" in it.debugfs("cat /etc/sysconfig/network-scripts/ifcfg-eth0")
    assert "vmlinuz-5.14" in it.debugfs("ls -p /boot")
    kernel = it.debugfs("stat /boot/vmlinuz-5.14.0-503.el9.x86_64")
    assert "Size: 65536" in kernel
    times = re.findall(r"[acm]time: 0x([0-9a-f]{8})", kernel)
    assert times
    assert set(times) == {f"{guests.MADE:08x}"}
    assert "User:     0" in kernel


def test_the_same_description_gives_the_same_bytes(tmp_path):
    def digest(file, **other):
        wanted = {"firmware": "uefi", "table": "gpt", "signed": True, "disks": (DiskSpec(),) * 2}
        return make_ova(tmp_path / file, Appliance(**wanted | other)).digest

    first = digest("a.ova")
    assert hashlib.sha256((tmp_path / "a.ova").read_bytes()).hexdigest() == first
    assert digest("b.ova") == first
    others = [
        digest("c.ova", version=2),
        digest("c.ova", name="other"),
        digest("c.ova", signed=False),
    ]
    assert len({first, *others}) == 4


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_members_manifest_and_signature(tmp_path, algorithm):
    it = Opened(tmp_path, manifest=algorithm, signed=True, disks=(DiskSpec(),) * 2)
    assert it.names == ["oag.ovf", "oag.mf", "oag.cert", "oag-disk1.vmdk", "oag-disk2.vmdk"]
    assert (it.made.path.read_bytes())[257:265] == b"ustar\x0000"
    lines = (it.folder / "oag.mf").read_text().splitlines()
    for line, name in zip(lines, [it.names[0], *it.names[3:]], strict=True):
        content = (it.folder / name).read_bytes()
        assert line == f"{algorithm.upper()}({name})= {hashlib.new(algorithm, content).hexdigest()}"
    signature, _, pem = (it.folder / "oag.cert").read_text().partition("\n")
    (tmp_path / "pem").write_text(pem)
    (tmp_path / "signature").write_bytes(bytes.fromhex(signature.partition("= ")[2]))
    key = run("openssl", "x509", "-in", tmp_path / "pem", "-noout", "-pubkey")
    (tmp_path / "key").write_text(key)
    verify = ("openssl", "dgst", "-sha256", "-verify", tmp_path / "key")
    signed = ("-signature", tmp_path / "signature", it.folder / "oag.mf")
    assert "Verified OK" in run(*verify, *signed)


def test_the_descriptor_names_what_is_there(tmp_path):
    it = Opened(tmp_path, firmware="uefi", table="gpt", disks=(DiskSpec(), DiskSpec(48 * MIB)))
    root = ET.parse(it.folder / "oag.ovf").getroot()
    files = {one.get(f"{OVF}id"): one for one in root.iter(f"{OVF}File")}
    disks = list(root.iter(f"{OVF}Disk"))
    assert len(disks) == len(files) == 2
    for disk, made in zip(disks, it.made.disks, strict=True):
        file = files[disk.get(f"{OVF}fileRef")]
        assert file.get(f"{OVF}href") == made.name
        assert int(file.get(f"{OVF}size")) == (it.folder / made.name).stat().st_size
        assert int(disk.get(f"{OVF}capacity")) == made.capacity


def test_holes_cost_nothing(tmp_path):
    disks = (DiskSpec(128 * MIB), DiskSpec(256 * MIB, noise=1000, every=64))
    it = Opened(tmp_path, disks=disks)
    assert it.made.path.stat().st_size < 2 * MIB
    assert it.raw(1).stat().st_size == 256 * MIB
    with it.raw(1).open("rb") as disk:
        for at in range(0, 256 * MIB, 64 * MIB):
            disk.seek(at)
            assert any(disk.read(1000))
            assert not any(disk.read(MIB))


class TestFaults:
    def test_the_tree_lacks_what_it_is_to_lack(self, tmp_path):
        faults = frozenset({"no-kernel", "no-initramfs", "no-fstab"})
        it = Opened(tmp_path, faults=faults)
        boot = it.debugfs("ls -p /boot")
        assert "grub2" in boot
        assert "vmlinuz" not in boot
        assert "initramfs" not in boot
        assert "not found" in it.debugfs("stat /etc/fstab")

    @pytest.mark.parametrize(
        ("table", "left"), [("mbr", ["83"]), ("gpt", TYPES["bios", "gpt"][1:])]
    )
    def test_nothing_says_where_a_bios_starts(self, tmp_path, table, left):
        it = Opened(tmp_path, table=table, faults=frozenset({"no-boot-flag"}))
        _, partitions = it.partitions()
        assert [one["type"] for one in partitions] == left
        assert not any(one.get("bootable") for one in partitions)

    def test_no_partitions(self, tmp_path):
        it = Opened(tmp_path, faults=frozenset({"no-partitions"}))
        assert "does not contain a recognized partition table" in run(
            "sfdisk", "--json", it.raw(), good=(1,)
        )

    def test_no_loader(self, tmp_path):
        it = Opened(tmp_path, firmware="uefi", faults=frozenset({"no-loader"}))
        assert re.search(r"\b1 files?, 0/", run("fsck.fat", "-n", "-v", it.partition(0)))

    @pytest.mark.parametrize("variant", ["footer", "header"])
    def test_compression_0_stands_in_the_header_and_nothing_else_moves(self, tmp_path, variant):
        def packed(folder, faults):
            (tmp_path / folder).mkdir()
            it = Opened(tmp_path / folder, variant=variant, faults=frozenset(faults))
            return it.vmdks[0].read_bytes()

        good, bad = packed("good", ()), packed("bad", ("compression-0",))
        differ = [at for at, (one, two) in enumerate(zip(good, bad, strict=True)) if one != two]
        assert differ == [77] + ([len(good) - 1024 + 77] if variant == "footer" else [])

    def test_archives_that_are_wrong(self, tmp_path):
        def names(fault):
            made = make_ova(tmp_path / "y.ova", Appliance(faults=frozenset({fault})))
            return run("tar", "-P", "-tf", made.path, good=(0, 2)).split()

        assert names("ovf-last")[:3] == ["oag-disk1.vmdk", "oag.ovf", "oag.mf"]
        assert names("outside-name")[-1] == "../../etc/cron.d/oag"
        assert "Unexpected" in " ".join(names("truncated"))

    def test_a_manifest_that_is_wrong(self, tmp_path):
        def lines(fault):
            (tmp_path / fault).mkdir()
            it = Opened(tmp_path / fault, faults=frozenset({fault}))
            digests = dict(
                re.findall(r"SHA256\((.+)\)= ([0-9a-f]{64})", (it.folder / "oag.mf").read_text())
            )
            return {
                name: hashlib.sha256((it.folder / name).read_bytes()).hexdigest() == digest
                for name, digest in digests.items()
            }

        assert lines("bad-manifest") == {"oag.ovf": True, "oag-disk1.vmdk": False}
        assert lines("missing-line") == {"oag.ovf": True}


class TestRefusals:
    @pytest.mark.parametrize(
        ("wanted", "what", "why", "fix"),
        [
            ({"name": 'a"<&'}, "no appliance can be named 'a\"<&'", "", "use up to 60 letters"),
            ({"name": "../x"}, "no appliance can be named '../x'", "", "use up to 60 letters"),
            ({"firmware": "open"}, "no firmware is named open", "", "use one of: bios, uefi"),
            ({"table": "bsd"}, "no partition table is named bsd", "", "use one of: gpt, mbr"),
            (
                {"variant": "flat"},
                "no VMDK variant is named flat",
                "",
                "use one of: footer, header",
            ),
            ({"manifest": "md5"}, "no manifest is named md5", "", "sha1, sha256, sha512"),
            (
                {"faults": frozenset({"luck"})},
                "no fault is named luck",
                "",
                ", ".join(sorted(FAULTS)),
            ),
            (
                {"faults": frozenset({"no-loader"})},
                "fault no-loader says nothing here",
                "it needs firmware uefi",
                "",
            ),
            (
                {"manifest": None, "faults": frozenset({"bad-manifest"})},
                "fault bad-manifest says nothing here",
                "it needs a manifest",
                "",
            ),
            (
                {"faults": frozenset({"forged-signature"})},
                "fault forged-signature says nothing here",
                "it needs a signed manifest",
                "",
            ),
            ({"disks": ()}, "cannot make an appliance without a disk", "", "give it one"),
            (
                {"disks": (DiskSpec(8 * MIB),)},
                "cannot make a disk of 8388608 bytes",
                "",
                "choose whole MiB, 32 or more",
            ),
            (
                {"guest": Guest(modules=("floppy",))},
                "no module is named floppy",
                "",
                "use one of: ena, nvme, xen-blkfront",
            ),
        ],
    )
    def test_what_cannot_be_made(self, tmp_path, wanted, what, why, fix):
        with pytest.raises(UsageError) as refused:
            make_ova(tmp_path / "x.ova", Appliance(**wanted))
        assert refused.value.what == what
        assert refused.value.why == why
        assert fix in refused.value.fix
        assert list(tmp_path.iterdir()) == []

    def test_a_place_that_is_none(self, tmp_path):
        with pytest.raises(UsageError, match="cannot write the appliance") as refused:
            make_ova(tmp_path / "no" / "x.ova")
        assert refused.value.why == "No such file or directory (FileNotFoundError)"

    def test_a_file_that_is_there_stays_when_a_new_one_cannot_be_made(self, tmp_path, monkeypatch):
        path = tmp_path / "x.ova"
        path.write_bytes(b"mine")
        too_much = Guest(payload=40 * MIB)
        with pytest.raises(UsageError, match="cannot make the file system") as refused:
            make_ova(path, Appliance(disks=(DiskSpec(32 * MIB),), guest=too_much))
        assert refused.value.why
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(guests, "_SYSTEM_PATH", ())
        with pytest.raises(UsageError) as refused:
            make_ova(path)
        assert refused.value.why == "mke2fs is not on this machine"
        assert refused.value.fix.endswith("apt-get install e2fsprogs")
        assert path.read_bytes() == b"mine"
        assert list(tmp_path.iterdir()) == [path]


class TestFlags:
    def flags(self, path, **other):
        usual = {
            "firmware": "bios",
            "table": "",
            "disks": (),
            "variant": "footer",
            "signed": False,
            "network": "dhcp",
            "version": 1,
            "faults": (),
        }
        return make(path, **usual | other)

    def test_a_name_is_made_of_the_file(self, tmp_path):
        made = self.flags(tmp_path / 'Okta "Access" <Gateway>.ova', disks=(32, 3))
        assert [one.name for one in made.disks] == [
            "okta-access-gateway-disk1.vmdk",
            "okta-access-gateway-disk2.vmdk",
        ]
        assert [one.capacity for one in made.disks] == [32 * MIB, 3 * MIB]
        assert self.flags(tmp_path / "--.ova").disks[0].name == "oag-disk1.vmdk"

    def test_a_disk_of_a_size_that_is_none(self, tmp_path):
        with pytest.raises(UsageError, match="cannot make a disk of 16385 MiB"):
            self.flags(tmp_path / "x.ova", disks=(16385,))
