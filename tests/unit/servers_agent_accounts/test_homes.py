"""Homes: made whole or not at all, and never where a link or somebody else's folder is (negative test 20)."""

from __future__ import annotations

import os
import threading

import pytest

from ostiary.doors.servers.agent.accounts_home import make
from ostiary.doors.servers.agent.accounts_wanted import Account
from ostiary.doors.servers.agent.files import HostError


@pytest.fixture
def place(tmp_path):
    tmp_path.chmod(0o755)
    skeleton = tmp_path / "skel"
    (skeleton / ".config").mkdir(parents=True)
    (skeleton / ".profile").write_text("umask 022\n")
    (skeleton / ".config/x").write_text("x\n")
    (skeleton / ".link").symlink_to("/etc/hostname")
    return tmp_path


def account(place, name="alice"):
    return Account(name, os.getuid(), os.getgid(), "", str(place / name), "/bin/sh", ())


def test_a_home_has_the_skeleton_and_is_private(place):
    assert make(account(place), place / "skel")
    home = place / "alice"
    assert home.stat().st_mode & 0o7777 == 0o700
    assert (home / ".profile").read_text() == "umask 022\n"
    assert (home / ".config/x").read_text() == "x\n"
    assert (home / ".link").readlink().name == "hostname"
    assert not make(account(place), place / "skel")


def test_what_a_killed_run_left_is_begun_anew(place):
    half = place / f".ostiary-{os.getuid()}"
    (half / "old").mkdir(parents=True)
    assert make(account(place), place / "skel")
    assert not half.exists()
    assert not (place / "alice/old").exists()


@pytest.mark.parametrize("kind", ["link", "dangling", "file"])
def test_what_is_no_folder_is_no_home(place, kind):
    target = place / "target"
    target.mkdir()
    if kind == "file":
        (place / "alice").write_text("")
    else:
        (place / "alice").symlink_to(target if kind == "link" else place / "nowhere")
    with pytest.raises(HostError, match="is no folder"):
        make(account(place), place / "skel")
    assert list(target.iterdir()) == []


def test_a_folder_above_that_others_may_write_gets_no_home(place):
    place.chmod(0o777)
    with pytest.raises(HostError, match="alone to write"):
        make(account(place), place / "skel")


def test_a_link_for_the_folder_above_is_not_followed(place):
    (place / "real").mkdir()
    (place / "homes").symlink_to(place / "real")
    with pytest.raises(HostError, match="cannot open"):
        make(account(place / "homes"), place / "skel")


def test_links_that_come_and_go_never_lead_out(place):
    """Somebody swaps the home for a link all the time: it is made, or refused, and never made elsewhere."""
    outside, stop = place / "outside", threading.Event()
    outside.mkdir()

    def swap():
        while not stop.is_set():
            try:
                (place / "alice").symlink_to(outside)
                (place / "alice").unlink()
            except OSError:
                return

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(200):
            try:
                made = make(account(place), place / "skel")
            except HostError:
                continue
            if made:
                break
    finally:
        stop.set()
        thread.join()
    assert list(outside.iterdir()) == []
