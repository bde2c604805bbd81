"""Descriptors in the dialects of their makers, and those that mean harm."""

import time

import pytest
from examples import examples

from ostiary.doors.gateway.image.hardware import in_bytes
from ostiary.doors.gateway.image.inspect import inspect
from ostiary.doors.gateway.image.ovf import parse_ovf

ONE = """<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/{version}" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/{version}"
  xmlns:rasd="urn:rasd" xmlns:sasd="urn:sasd" xmlns:epasd="urn:epasd" xmlns:vmw="urn:vmw" xmlns:vbox="urn:vbox">
<References><File ovf:id="f1" ovf:href="a.vmdk" ovf:size="7"/><File ovf:id="f2" ovf:href="b.vmdk"/></References>
<DiskSection><Info/>
  <Disk ovf:diskId="d1" ovf:fileRef="f1" ovf:capacity="20" ovf:capacityAllocationUnits="byte * 2^30" ovf:format="u#streamOptimized"/>
  <Disk ovf:diskId="d2" ovf:fileRef="f2" ovf:capacity="1024" ovf:format="u#streamOptimized"/>
</DiskSection>{before}
<VirtualSystem ovf:id="x"><Name>oag</Name><VirtualHardwareSection>{items}</VirtualHardwareSection></VirtualSystem></Envelope>"""


def item(kind, *, parent="", at="", host="", quantity="", units="", configuration="", tag="Item"):
    pre = {"StorageItem": "sasd", "EthernetPortItem": "epasd"}.get(tag, "rasd")
    fields = {
        "ResourceType": kind,
        "Parent": parent,
        "AddressOnParent": at,
        "HostResource": host,
        "VirtualQuantity": quantity,
        "AllocationUnits": units,
    }
    body = "".join(
        f"<{pre}:{key}>{value}</{pre}:{key}>" for key, value in fields.items() if value != ""
    )
    chosen = f' ovf:configuration="{configuration}"' if configuration else ""
    return f"<{tag}{chosen}>{body}</{tag}>"


def controller(name):
    return f"<Item><rasd:InstanceID>{name}</rasd:InstanceID><rasd:ResourceType>6</rasd:ResourceType></Item>"


def parsed(items="", version="1", before=""):
    return parse_ovf(ONE.format(items=items, version=version, before=before).encode())


class TestDisks:
    def test_the_order_is_that_of_the_hardware(self):
        items = (
            item(17, parent=3, at=1, host="ovf:/disk/d1")
            + item(17, parent=3, at=0, host="ovf:/disk/d2")
            + controller(3)
        )
        assert [one.disk_id for one in parsed(items).disks] == ["d2", "d1"]

    def test_controllers_count_before_places(self):
        items = (
            controller(4)
            + controller(3)
            + item(17, parent=3, at=0, host="/disk/d1")
            + item(17, parent=4, at=1, host="ovf://disk/d2")
        )
        assert [one.disk_id for one in parsed(items).disks] == ["d2", "d1"]

    def test_without_hardware_it_is_as_listed(self):
        assert [one.disk_id for one in parsed().disks] == ["d1", "d2"]

    def test_of_version_2(self):
        items = item(17, parent=1, at=0, host="ovf:/disk/d2", tag="StorageItem")
        items += item(10, tag="EthernetPortItem") + item(10, tag="EthernetPortItem")
        found = parsed(items, version="2")
        assert [one.disk_id for one in found.disks] == ["d2", "d1"]
        assert found.nics == 2

    @pytest.mark.parametrize(
        ("amount", "units", "expected"),
        [
            ("20", "byte * 2^30", 20 * 2**30),
            ("20", "byte*2^30", 20 * 2**30),
            ("2", "bytes * 10^9", 2 * 10**9),
            ("20", "GigaBytes", 20 * 2**30),
            ("20", "MegaBytes", 20 * 2**20),
            ("512", "MB", 512 * 2**20),
            ("512", "2^20", 512 * 2**20),
            ("512", "byte", 512),
            ("512", "", 512),
            ("${size}", "byte", 0),
            ("-5", "byte", 0),
            ("1.5", "GigaBytes", 0),
            ("9" * 30, "byte", 0),
            ("1", "byte * 2^99", 2**64),
        ],
    )
    def test_units(self, amount, units, expected):
        assert in_bytes(amount, units) == expected

    def test_a_disk_of_a_file_that_nobody_knows(self):
        text = ONE.format(items="", version="1", before="").replace('fileRef="f2"', 'fileRef="f3"')
        assert {one.code for one in parse_ovf(text.encode()).problems} == {"ovf-file-missing"}

    def test_a_name_with_a_space(self):
        text = ONE.format(items="", version="1", before="").replace("a.vmdk", "my%20disk..1.vmdk")
        found = parse_ovf(text.encode())
        assert found.disks[0].file == "my disk..1.vmdk"
        assert found.problems == ()

    @pytest.mark.parametrize(
        "href", ["%2e%2e/x", "..%5cx", "%2fetc/passwd", "C:x", "ftp://h/x", "a/../../x", "\\\\h\\x"]
    )
    def test_ways_out_of_the_archive(self, href):
        text = ONE.format(items="", version="1", before="").replace("a.vmdk", href)
        assert [one.code for one in parse_ovf(text.encode()).problems] == ["ovf-reference"]

    @pytest.mark.parametrize("kind", ["sparse", "monolithicSparse", "seSparse"])
    def test_vmdks_of_another_kind(self, tmp_path, kind):
        path = tmp_path / "x.ovf"
        path.write_text(
            ONE.format(items="", version="1", before="").replace(
                "#streamOptimized", f"/vmdk.html#{kind}"
            )
        )
        assert {one.code for one in inspect(path).problems} == {"disk-described", "disk-unread"}


class TestHardware:
    def test_what_is_said(self):
        items = item(3, quantity=2) + item(4, quantity=4, units="GigaBytes") + item(10)
        found = parsed(items)
        assert (found.cpus, found.memory, found.nics) == (2, 4 * 2**30, 1)

    def test_only_the_default_configuration_counts(self):
        before = (
            "<DeploymentOptionSection><Info/><Configuration ovf:id='s'/>"
            "<Configuration ovf:id='m' ovf:default='true'/></DeploymentOptionSection>"
        )
        items = (
            item(3, quantity=1)
            + item(3, quantity=2, configuration="s")
            + item(3, quantity=4, configuration="m l")
            + item(10, configuration="s")
            + item(10, configuration="m")
        )
        found = parsed(items, before=before)
        assert (found.cpus, found.nics) == (4, 1)
        assert {one.code for one in found.problems} == set()

    def test_firmware(self):
        assert parsed('<vmw:Config vmw:key="firmware" vmw:value="efi"/>').firmware == "uefi"
        assert parsed('<vmw:Config vmw:key="firmware" vmw:value="bios"/>').firmware == "bios"
        assert (
            parsed(
                '<vbox:Machine><Hardware><Firmware type="EFI"/></Hardware></vbox:Machine>'
            ).firmware
            == "uefi"
        )
        assert parsed().firmware == "unknown"


def test_the_dialect_before_1():
    text = """<ovf:Envelope xmlns:ovf="http://www.vmware.com/schema/ovf/1/envelope" xmlns:xsi="urn:xsi" xmlns:rasd="urn:rasd">
    <References><File ovf:id="f" ovf:href="a.vmdk" ovf:chunkSize="1000"/></References>
    <Section xsi:type="ovf:DiskSection_Type"><Disk ovf:diskId="d" ovf:fileRef="f" ovf:capacity="4294967296"/></Section>
    <Content xsi:type="ovf:VirtualSystem_Type" ovf:id="old">
      <Section xsi:type="ovf:OperatingSystemSection_Type" ovf:id="79"><Description>Red Hat (64-bit)</Description></Section>
      <Section xsi:type="ovf:VirtualHardwareSection_Type">
        <Item><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>256</rasd:VirtualQuantity>
        <rasd:AllocationUnits>MegaBytes</rasd:AllocationUnits></Item></Section>
    </Content></ovf:Envelope>"""
    found = parse_ovf(text.encode())
    assert (found.machines, found.disks[0].capacity, found.memory) == (1, 2**32, 2**28)
    assert found.os_type == "Red Hat (64-bit)"
    assert [one.code for one in found.problems] == ["ovf-chunked"]
    assert found.problems[0].predicts.endswith("OVA with chunked disk files is not supported]")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "iso-8859-1"])
def test_encodings(tmp_path, encoding):
    text = ONE.format(items="", version="1", before="").replace(
        '"UTF-8"', f'"{encoding[:10].upper()}"'
    )
    path = tmp_path / "x.ovf"
    path.write_bytes(
        text.replace("UTF-8-SIG", "UTF-8").replace("UTF-16-LE", "UTF-16").encode(encoding)
    )
    found = inspect(path)
    assert found.kind == "ovf"
    assert {one.code for one in found.problems} <= {"disk-unread", "ovf-unreadable"}


@pytest.mark.chaos
class TestTooMuch:
    """Descriptors as large as they may be, made of one thing over and over: a verdict within a second."""

    @pytest.mark.parametrize(
        "piece",
        [
            '<File ovf:id="f" ovf:href="a" ovf:compression="gzip"/>',
            '<File ovf:id="f" ovf:href="../a"/>',
        ],
    )
    def test_files(self, tmp_path, piece):
        text = ONE.format(items="", version="1", before="").replace(
            "<References>", f"<References>{piece * examples(30_000, 120_000)}"
        )
        self.judge(tmp_path, text, "ovf-hostile")

    @pytest.mark.parametrize("times", [examples(15_000, 60_000)])
    def test_disks(self, tmp_path, times):
        piece = '<Disk ovf:diskId="d" ovf:fileRef="none" ovf:parentRef="x" ovf:capacity="99999999999999"/>'
        text = ONE.format(items="", version="1", before="").replace(
            "<DiskSection>", f"<DiskSection>{piece * times}"
        )
        self.judge(tmp_path, text, "disk-count")

    def test_items(self, tmp_path):
        self.judge(
            tmp_path,
            ONE.format(items=item(10) * examples(20_000, 100_000), version="1", before=""),
            "guest-nics",
        )

    def test_machines(self, tmp_path):
        text = ONE.format(
            items="", version="1", before="<VirtualSystem/>" * examples(60_000, 300_000)
        )
        self.judge(tmp_path, text, "ovf-machines")

    def test_depth(self, tmp_path):
        self.judge(tmp_path, "<Envelope>" + "<a>" * 500_000, "ovf-unreadable")

    def test_one_long_value(self, tmp_path):
        text = ONE.format(items="", version="1", before="").replace("oag", "x" * 7_000_000)
        self.judge(tmp_path, text, "disk-unread")

    def test_more_than_is_read(self, tmp_path):
        self.judge(tmp_path, "<Envelope>" + " " * 20_000_000, "ovf-hostile")

    @staticmethod
    def judge(folder, text, code):
        path = folder / "x.ovf"
        path.write_text(text)
        started = time.process_time()
        found = inspect(path)
        assert time.process_time() - started < 2
        assert code in {one.code for one in found.problems}
        assert len(found.problems) < 200
