"""What the inspection of an appliance says, for good files, each fault, hostile archives and nonsense."""

import json
import os
import random
import resource
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostiary.doors.gateway.image.inspect import inspect
from ostiary.doors.gateway.image.ovf import parse_ovf
from ostiary.doors.gateway.image.problems import KINDS
from ostiary.errors import NotFound, OstiaryError, UsageError
from ostiary.sandbox.appliance.guest import Guest
from ostiary.sandbox.appliance.make import FAULTS, DiskSpec

KEYS = {
    "file",
    "kind",
    "size_bytes",
    "verdict",
    "problems",
    "manifest",
    "disks",
    "system",
    "members",
    "digest",
}


def codes(found):
    return {one.code for one in found.problems}


def shape(found):
    """The documented JSON; every key is there whatever the file was."""
    value = json.loads(json.dumps(found.as_json()))
    assert set(value) == KEYS
    assert value["verdict"] in ("ok", "warn", "refuse")
    assert set(value["manifest"]) == {"file", "algorithm", "digests", "certificate"}
    for one in value["problems"]:
        assert set(one) == {"code", "severity", "message", "fix", "safety", "file", "predicts"}
        assert one["fix"]
    for one in value["disks"]:
        assert {"file", "format", "capacity_bytes", "boot_mode", "partition_table"} <= set(one)
        assert one["boot_mode"] in ("bios", "uefi", "uefi+bios", "unknown")
        assert one["partition_table"] in ("gpt", "mbr", "none", "unknown")
    return value


class TestGoodOnes:
    @pytest.mark.parametrize("variant", ["footer", "header"])
    @pytest.mark.parametrize("table", ["mbr", "gpt"])
    @pytest.mark.parametrize("firmware", ["bios", "uefi"])
    def test_what_is_inside(self, made, firmware, table, variant):
        found = inspect(made(firmware=firmware, table=table, variant=variant))
        value = shape(found)
        assert value["verdict"] == "ok", value["problems"]
        (disk,) = value["disks"]
        assert disk["boot_mode"] == firmware
        assert disk["partition_table"] == table
        assert disk["format"] == "vmdk-stream-optimized"
        assert disk["capacity_bytes"] == 64 * 1024 * 1024
        assert disk["guest"] == {
            "os": "rocky 9.5",
            "kernels": ["vmlinuz-5.14.0-503.el9.x86_64"],
            "initramfs": True,
            "drivers": ["ena", "nvme", "xen-blkfront"],
            "network": "dhcp",
            "fstab": "uuid",
        }
        assert {one["status"] for one in value["manifest"]["digests"]} == {"not_checked"}

    @pytest.mark.parametrize("manifest", ["sha1", "sha256", "sha512"])
    def test_digests_are_verified_only_when_asked(self, made, manifest):
        path = made(manifest=manifest, signed=True, disks=(DiskSpec(), DiskSpec()))
        value = shape(inspect(path, verify=True))
        assert {one["status"] for one in value["manifest"]["digests"]} == {"verified"}
        assert value["manifest"]["certificate"]["verified"] is True
        assert value["verdict"] == ("warn" if manifest == "sha1" else "ok")
        assert len(value["digest"]) == 64

    def test_the_expected_digest(self, made):
        path = made()
        digest = inspect(path, verify=True).digest
        assert inspect(path, expect_digest=f"SHA256:{digest.upper()}").verdict == "ok"
        found = inspect(path, expect_digest="0" * 64)
        assert codes(found) == {"digest-mismatch"}
        assert found.problems[0].safety
        with pytest.raises(UsageError):
            inspect(path, expect_digest="abc")

    @pytest.mark.parametrize(
        ("guest", "code"),
        [
            (Guest(modules=("nvme",)), "guest-drivers"),
            (Guest(network="static"), "guest-network"),
            (Guest(fstab="device"), "guest-fstab-names"),
        ],
    )
    def test_what_the_guest_lacks_is_said_and_no_refusal(self, made, guest, code):
        found = inspect(made(guest=guest))
        assert codes(found) == {code}
        assert found.verdict != "refuse"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("bad-manifest", "manifest-digest"),
        ("compression-0", "vmdk-compression"),
        ("missing-line", "manifest-missing"),
        ("no-boot-flag", "boot-none"),
        ("no-fstab", "guest-fstab"),
        ("no-kernel", "guest-kernel"),
        ("no-partitions", "boot-no-table"),
        ("ovf-last", "ovf-order"),
        ("truncated", "tar-truncated"),
    ],
)
def test_each_fault_is_found(made, fault, code):
    found = inspect(made(faults=frozenset({fault})), verify=True)
    assert code in codes(found)
    assert found.verdict == "refuse"
    shape(found)


def test_no_fault_of_the_generator_is_forgotten():
    assert {
        "bad-manifest", "compression-0", "missing-line", "no-boot-flag", "no-fstab", "no-kernel", "no-partitions",
        "ovf-last", "truncated",
    } <= FAULTS  # fmt: skip


class TestHostileArchives:
    @pytest.mark.parametrize(
        "name", ["../x.ovf", "/etc/x.ovf", "a/../../x.ovf", "C:x.ovf", "\\x.ovf", "a\nb.ovf"]
    )
    def test_names_that_lead_elsewhere(self, archive, name):
        found = inspect(archive((name, b"x"), ("b.ovf", b"y")))
        assert "tar-name" in codes(found)
        assert any(one.safety for one in found.refusals)

    @pytest.mark.parametrize(
        "kind",
        [
            tarfile.LNKTYPE,
            tarfile.SYMTYPE,
            tarfile.CHRTYPE,
            tarfile.FIFOTYPE,
            tarfile.DIRTYPE,
            b"S",
        ],
    )
    def test_what_is_no_file(self, archive, kind):
        info = tarfile.TarInfo("x.ovf")
        info.type, info.linkname = kind, "/etc/passwd"
        assert "tar-kind" in codes(inspect(archive((info, b""))))

    def test_a_name_twice(self, archive):
        assert "tar-duplicate" in codes(inspect(archive(("x.ovf", b"1"), ("x.ovf", b"2"))))

    def test_thousands_of_members(self, archive):
        members = [(f"{number}.txt", b"") for number in range(5000)]
        assert "tar-members" in codes(inspect(archive(*members)))

    def test_a_long_name_of_pax_is_judged_too(self, archive):
        found = inspect(archive(("../" + "x" * 200, b"1"), form=tarfile.PAX_FORMAT))
        assert "tar-name" in codes(found)
        assert (
            inspect(archive(("y" * 200 + ".ovf", b"1"), form=tarfile.GNU_FORMAT))
            .archive.members[0]
            .name
            == "y" * 200 + ".ovf"
        )

    def test_a_size_past_the_end(self, archive):
        path = archive(("x.ovf", b"a" * 2000))
        os.truncate(path, 1024)
        assert "tar-truncated" in codes(inspect(path))


class TestDescriptors:
    @pytest.mark.parametrize(
        "text",
        [
            b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><Envelope>&e;</Envelope>',
            b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><Envelope>&b;</Envelope>',
            b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><Envelope/>',
            '<!DOCTYPE x [<!ENTITY e "y">]><Envelope/>'.encode("utf-16"),
        ],
    )
    def test_a_document_type_is_not_read(self, text, tmp_path):
        path = tmp_path / "x.ovf"
        path.write_bytes(text)
        started = time.monotonic()
        assert "ovf-hostile" in codes(inspect(path))
        assert time.monotonic() - started < 1

    @pytest.mark.parametrize(
        "href", ["http://127.0.0.1:9/x.vmdk", "file:///etc/passwd", "/etc/passwd", "../x.vmdk"]
    )
    def test_a_reference_outside_is_refused(self, href):
        text = f'<Envelope><References><File id="f" href="{href}"/></References><VirtualSystem/></Envelope>'
        assert "ovf-reference" in {one.code for one in parse_ovf(text.encode()).problems}

    def test_units_and_machines(self):
        text = b"""<Envelope xmlns:o="o"><References><File o:id="f" o:href="d.vmdk" o:size="9"/></References>
        <DiskSection><Disk o:diskId="d" o:fileRef="f" o:capacity="20" o:capacityAllocationUnits="byte * 2^30"/></DiskSection>
        <VirtualSystemCollection><VirtualSystem/><VirtualSystem/></VirtualSystemCollection></Envelope>"""
        found = parse_ovf(text)
        assert found.disks[0].capacity == 20 * 1024**3
        assert found.machines == 2
        assert "ovf-machines" in {one.code for one in found.problems}

    def test_alone_it_is_judged_without_its_disks(self, made, tmp_path):
        with tarfile.open(made(firmware="uefi", table="gpt")) as tar:
            text = tar.extractfile("oag.ovf").read()
        path = tmp_path / "oag.ovf"
        path.write_bytes(text)
        (tmp_path / "oag-disk1.vmdk").mkdir()  # nothing beside the file is opened
        value = shape(inspect(path))
        assert value["kind"] == "ovf"
        assert value["verdict"] == "ok"
        assert value["disks"][0]["boot_mode"] == "uefi"
        assert value["disks"][0]["partition_table"] == "unknown"


class TestNonsense:
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\0" * 512,
            b"\0" * 4096,
            b"KDMV" + b"\0" * 600,
            b"\x1f\x8b\x08",
            b"<",
            b"<?xml",
            b"PK\x03\x04" * 300,
            b"QFI\xfb" * 300,
        ],
    )
    def test_anything_gives_a_verdict(self, tmp_path, data):
        path = tmp_path / "x"
        path.write_bytes(data)
        assert shape(inspect(path))["verdict"] == "refuse"

    def test_what_is_no_file_does_not_hang(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path / "pipe", tmp_path, "/dev/zero"):
            with pytest.raises(UsageError):
                inspect(tmp_path / path)
        with pytest.raises(NotFound):
            inspect(tmp_path / "none")

    def test_a_huge_hole_costs_nothing(self, tmp_path):
        path = tmp_path / "x.ova"
        with path.open("wb") as file:
            file.truncate(20 * 1024**3)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.monotonic()
        assert shape(inspect(path))["verdict"] == "refuse"
        assert time.monotonic() - started < 1
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000

    @pytest.mark.chaos
    def test_flipped_and_cut_files_never_break_it(self, made, tmp_path):
        """Files that are almost appliances: a verdict each."""
        sources = [
            made(variant="footer", firmware="uefi", table="gpt").read_bytes(),
            made(variant="header").read_bytes(),
        ]
        chance = random.Random(60001)
        path = tmp_path / "x.ova"
        places = (0, 512, 1024, 4000, 5000, 6000, 8000, 20_000, 70_000)
        for number in range(examples(80, 400)):
            data = bytearray(sources[number % 2])
            for _ in range(chance.randrange(1, 12)):
                at = min(chance.choice(places) + chance.randrange(700), len(data) - 1)
                if chance.random() < 0.3:
                    at = chance.randrange(len(data))
                data[at] = chance.randrange(256)
            if chance.random() < 0.2:
                del data[chance.randrange(len(data)) :]
            path.write_bytes(data)
            shape(inspect(path))

    @pytest.mark.chaos
    @settings(
        max_examples=examples(50, 150),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(st.binary(max_size=3000))
    def test_any_bytes_give_a_verdict(self, tmp_path, data):
        path = tmp_path / "x"
        path.write_bytes(data)
        shape(inspect(path))

    @pytest.mark.chaos
    @settings(max_examples=examples(50, 150), deadline=None)
    @given(st.text(max_size=400))
    def test_any_text_inside_an_envelope(self, text):
        try:
            parse_ovf(f"<Envelope><References>{text}</References></Envelope>".encode())
        except OstiaryError:
            pytest.fail("what is in a file is a problem, never an error")


class TestCost:
    def test_structure_is_read_in_no_time(self, made):
        """However large the disks are, what is read of them is what their structure needs."""
        path = made(disks=(DiskSpec(), DiskSpec(16 * 1024 * 1024, noise=900_000, every=1)))
        assert path.stat().st_size > 13_000_000
        before = _bytes_read()
        inspect(path)
        assert _bytes_read() - before < 1_000_000
        assert min(_timed(path) for _ in range(5)) < 0.05

    def test_the_command_loads_nothing_heavy(self, made):
        code = (
            "import sys\n"
            "from pathlib import Path\n"
            "from ostiary.cli import run\n"
            f"run(['gateway', 'inspect', {str(made())!r}, '--json'])\n"
            "heavy = {'botocore', 'cryptography', 'rich', 'httpx2', 'moto'} & set(sys.modules)\n"
            # not ru_maxrss: a child inherits the peak of who started it
            "status = Path('/proc/self/status').read_text()\n"
            "print(sorted(heavy), status.split('VmHWM:')[1].split()[0], file=sys.stderr)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        heavy, memory = done.stderr.strip().rsplit(" ", 1)
        assert heavy == "[]"
        assert int(memory) < 80_000
        assert json.loads(done.stdout)["verdict"] == "ok"


def _timed(path):
    """In seconds of this process."""
    started = time.process_time()
    inspect(path)
    return time.process_time() - started


def _bytes_read():
    """By this process so far, from whatever it read."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.parametrize("code", sorted(KINDS))
def test_each_code_says_what_to_do(code):
    kind = KINDS[code]
    assert kind.fix
    assert kind.severity in ("refuse", "warn", "info")
    assert not kind.safety or kind.severity == "refuse"
