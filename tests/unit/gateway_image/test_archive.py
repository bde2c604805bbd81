"""The tar of an OVA, header by header: what is plain, and what another reader would see otherwise."""

import io
import tarfile
import time

import pytest

from ostiary.doors.gateway.image.archive import Member
from ostiary.doors.gateway.image.inspect import inspect


def header(name, size, kind=b"0", *, prefix=b"", magic=b"ustar\00000"):
    """One header of 512 bytes with a right checksum; ``size`` as octal, or the field's bytes themselves."""
    field = size if isinstance(size, bytes) else b"%011o\0" % size
    block = bytearray(512)
    block[:100] = name[:100].ljust(100, b"\0")
    block[124:136] = field
    block[156:157] = kind
    block[257:265] = magic
    block[345:500] = prefix.ljust(155, b"\0")
    block[148:156] = b"%06o\0 " % (sum(block) + 8 * 32)
    return bytes(block)


def padded(data):
    return data + bytes(-len(data) % 512)


def pax(**keywords):
    """The records of a pax header, each with its own length."""
    out = b""
    for keyword, value in keywords.items():
        body = b" " + keyword.replace("_", ".").encode() + b"=" + value + b"\n"
        length = len(body) + 1
        while len(str(length)) + len(body) != length:
            length += 1
        out += str(length).encode() + body
    return header(b"pax", len(out), b"x") + padded(out)


@pytest.fixture
def judged(tmp_path):
    """``judged(bytes)``: members and codes."""

    def judged(data):
        path = tmp_path / "x.ova"
        path.write_bytes(data)
        found = inspect(path)
        return found.archive.members, {
            one.code for one in found.problems if one.code.startswith("tar-")
        }

    return judged


END = bytes(1024)


def test_plain_members_lie_where_python_finds_them(tmp_path):
    path = tmp_path / "x.ova"
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(path, "w", format=form) as out:
            for number in range(20):
                long = 4 if form == tarfile.USTAR_FORMAT else 12  # ustar takes 100 bytes
                info = tarfile.TarInfo("n" * (number * long + 1) + f"é{number}.txt")
                info.size = number * 300
                out.addfile(info, io.BytesIO(bytes(info.size)))
        with tarfile.open(path) as tar:
            expected = [Member(one.name, one.offset_data, one.size) for one in tar]
        assert list(inspect(path).archive.members) == expected


def test_a_name_that_begins_here_is_the_plain_one(judged):
    members, codes = judged(header(b"./x.ovf", 0) + header(b"././/y", 0) + END)
    assert [one.name for one in members] == ["x.ovf", "y"]
    assert codes == set()
    _, codes = judged(header(b"./x.ovf", 0) + header(b"x.ovf", 0) + END)
    assert codes == {"tar-duplicate"}


class TestSizes:
    def test_base_256_of_more_than_8_gib(self, tmp_path):
        size = 9 * 1024**3
        path = tmp_path / "x.ova"
        with path.open("wb") as out:
            out.write(header(b"x.ovf", 0))
            out.write(header(b"d.img", b"\x80" + size.to_bytes(11, "big")))
            out.truncate(1024 + size)
            out.seek(0, 2)
            out.write(header(b"last", 0) + END)
        found = inspect(path)
        assert [one.name for one in found.archive.members] == ["x.ovf", "d.img", "last"]
        assert found.archive.members[1].size == size

    @pytest.mark.parametrize(
        "field", [b"\xff" * 12, b"\xc0" + bytes(11), b"abc".ljust(12), b"9".ljust(12)]
    )
    def test_a_size_that_is_none(self, judged, field):
        _, codes = judged(header(b"x.ovf", field) + END)
        assert codes & {"tar-header", "tar-truncated"}

    def test_the_size_of_pax_counts_where_the_header_has_none(self, judged):
        body = padded(b"x" * 700)
        members, codes = judged(pax(size=b"700") + header(b"x.ovf", 0) + body + END)
        assert members == (Member("x.ovf", 1536, 700),)
        assert codes == set()

    def test_two_sizes_are_one_too_many(self, judged):
        """Readers differ about which counts, so they would see other members."""
        _, codes = judged(pax(size=b"512") + header(b"x.ovf", 1024) + bytes(1024) + END)
        assert codes == {"tar-header"}


class TestPax:
    def test_a_value_with_line_ends_hides_no_path(self, judged):
        trick = pax(comment=b"a\n20 path=../evil\n", path=b"x.ovf")
        members, codes = judged(trick + header(b"y", 0) + END)
        assert [one.name for one in members] == ["x.ovf"]
        assert codes == set()

    @pytest.mark.parametrize(
        "records", [b"path=x\n", b"5 path=x\n", b"99 path=x\n", b"10 path=xx", b"0 a=b\n"]
    )
    def test_records_that_are_none(self, judged, records):
        data = header(b"pax", len(records), b"x") + padded(records) + header(b"x.ovf", 0) + END
        assert judged(data)[1] == {"tar-header"}

    @pytest.mark.parametrize("keyword", ["GNU_sparse_major", "GNU_sparse_realsize"])
    def test_sparse_files(self, judged, keyword):
        assert judged(pax(**{keyword: b"1"}) + header(b"x.ovf", 0) + END)[1] == {"tar-kind"}

    def test_links_and_names_for_all(self, judged):
        assert judged(pax(linkpath=b"/etc") + header(b"x.ovf", 0) + END)[1] == {"tar-header"}
        for keyword in ("path", "size"):
            data = bytearray(pax(**{keyword: b"7"}))
            data[:512] = header(b"pax", int(data[124:135], 8), b"g")
            assert judged(bytes(data) + header(b"x.ovf", 0) + END)[1] == {"tar-header"}

    def test_a_comment_for_all_is_fine(self, judged):
        data = bytearray(pax(comment=b"made by git"))
        data[:512] = header(b"pax", int(data[124:135], 8), b"g")
        members, codes = judged(bytes(data) + header(b"x.ovf", 0) + END)
        assert [one.name for one in members] == ["x.ovf"]
        assert codes == set()

    def test_headers_without_end_are_not_read_to_the_end(self, judged):
        started = time.monotonic()
        _, codes = judged(pax(comment=b"x") * 20_000 + header(b"x.ovf", 0) + END)
        assert codes == {"tar-members"}
        assert time.monotonic() - started < 1

    def test_a_long_name_of_another_kind_of_tar(self, judged):
        name = b"d" * 300 + b".ovf\0"
        long = header(b"././@LongLink", len(name), b"L") + padded(name)
        members, codes = judged(long + header(b"short", 0) + END)
        assert members[0].name == "d" * 300 + ".ovf"
        assert codes == set()
        link = header(b"././@LongLink", len(name), b"K") + padded(name)
        assert judged(link + header(b"x.ovf", 0) + END)[1] == {"tar-kind"}


def test_a_prefix_of_ustar_is_part_of_the_name(judged):
    assert judged(header(b"x.ovf", 0, prefix=b"folder") + END)[0][0].name == "folder/x.ovf"
    assert judged(header(b"x.ovf", 0, prefix=b"../..") + END)[1] == {"tar-name"}
    times = b"12345670123"  # where GNU keeps times
    assert judged(header(b"x.ovf", 0, prefix=times, magic=b"ustar  \0") + END)[0][0].name == "x.ovf"


@pytest.mark.parametrize(
    "name", [b"\xff\xfe.ovf", b"a\x1b[31m.ovf", "a\u202e.ovf".encode(), b"a\x7f", b""]
)
def test_names_that_nobody_can_read(judged, name):
    assert judged(header(b"x.ovf", 0) + header(name, 0) + END)[1] == {"tar-name"}


def test_a_wrong_checksum_ends_the_reading(judged):
    broken = bytearray(header(b"y", 0))
    broken[0] ^= 1
    members, codes = judged(header(b"x.ovf", 0) + bytes(broken) + header(b"z", 0) + END)
    assert [one.name for one in members] == ["x.ovf"]
    assert codes == {"tar-header"}


def test_old_tars_summed_signed_bytes(judged):
    block = bytearray(header("é.ovf".encode(), 0))
    blanked = block[:148] + b" " * 8 + block[156:]
    signed = sum(one - 256 if one > 127 else one for one in blanked)
    block[148:156] = b"%06o\0 " % signed
    members, codes = judged(bytes(block) + END)
    assert [one.name for one in members] == ["é.ovf"]
    assert codes == set()


def test_without_zeros_at_the_end_it_is_whole_all_the_same(judged):
    assert judged(header(b"x.ovf", 0))[1] == set()
    assert judged(header(b"x.ovf", 0) + header(b"y", 0)[:300])[1] == {"tar-truncated"}
