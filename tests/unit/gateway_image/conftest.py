"""Appliances made once for these tests, and archives made of anything."""

import io
import tarfile

import pytest

from ostiary.sandbox.appliance.make import Appliance, make_ova


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """``made(**options)``: the path of an appliance with these options."""
    folder = tmp_path_factory.mktemp("appliances")
    known = {}

    def made(**options):
        appliance = Appliance(**options)
        if appliance not in known:
            path = folder / f"{len(known)}.ova"
            make_ova(path, appliance)
            known[appliance] = path
        return known[appliance]

    return made


OVF = b"""<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
<References/><VirtualSystem ovf:id="x"/></Envelope>"""


@pytest.fixture
def archive(tmp_path):
    """``archive(members)``: a tar of (TarInfo or name, content)."""

    def archive(*members, form=tarfile.USTAR_FORMAT):
        path = tmp_path / "x.ova"
        with tarfile.open(path, "w", format=form) as out:
            for one, content in members:
                info = one if isinstance(one, tarfile.TarInfo) else tarfile.TarInfo(one)
                info.size = len(content) if info.isreg() else 0
                out.addfile(info, io.BytesIO(content))
        return path

    return archive
