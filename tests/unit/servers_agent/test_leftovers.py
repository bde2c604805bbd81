"""What a kill left half written goes, wherever the agent writes; what others keep beside it stays."""

import dataclasses
from pathlib import Path

import pytest

from ostiary.doors.servers.agent import accounts_confined, files, leftovers
from ostiary.doors.servers.agent.files import Paths, write

HALF = "0123456789ab"


@pytest.fixture(autouse=True)
def units(tmp_path, monkeypatch):
    monkeypatch.setattr(accounts_confined, "UNITS", tmp_path / "units")


def test_what_a_kill_left_goes_and_what_others_have_stays(tmp_path):
    folders = {name: tmp_path / name for name in ("ssh", "etc", "var", "sudoers")}
    paths = Paths(**folders, pam=tmp_path / "pam.d" / "sshd")
    places = [paths.sshd_config, paths.drop_in, paths.pam, paths.pam.with_name("ostiary-proof")]
    places += [paths.state, paths.identity, paths.unread, paths.hook, paths.authorities]
    places += [paths.drop_in.with_name("01-ostiary-other-ways.conf"), paths.ledger / "floor"]
    places += [tmp_path / "units" / accounts_confined.DROP_IN]
    left = [one.with_name(f".{one.name}.{HALF}") for one in places]
    theirs = [
        paths.pam.with_name(f".login.{HALF}"),
        paths.pam.with_name(".sshd.rpmsave"),
        paths.drop_in.with_name(f".50-cloud.conf.{HALF}"),
        paths.state.with_name(".notes"),
    ]
    for one in (*places, *left, *theirs):
        one.parent.mkdir(parents=True, exist_ok=True)
        one.write_text("")
    in_the_way = paths.var / f".backup.{HALF}"
    in_the_way.mkdir()
    leftovers.sweep(paths)
    assert in_the_way.is_dir()
    assert not [one for one in left if one.exists()]
    assert all(one.exists() for one in (*places, *theirs))


def test_folders_that_are_not_there_are_nothing_to_sweep(tmp_path):
    names = {one.name: tmp_path / "none" / one.name for one in dataclasses.fields(Paths)}
    leftovers.sweep(Paths(**names))


def test_what_is_being_written_is_no_leftover(tmp_path, monkeypatch):
    """The service keeps its state while somebody's ``once`` sweeps."""
    place = tmp_path / "state.json"
    synced = files.os.fsync

    def sweeps(file):
        files.swept(tmp_path)
        synced(file)

    monkeypatch.setattr(files.os, "fsync", sweeps)
    assert write(place, "whole")
    assert (place.read_text(), [one.name for one in Path(tmp_path).iterdir()]) == (
        "whole",
        ["state.json"],
    )
