"""What a kill left half written goes, wherever the agent writes; what others keep beside it stays."""

import dataclasses

from ostiary.doors.servers.agent import leftovers
from ostiary.doors.servers.agent.files import Paths

HALF = "0123456789ab"


def test_what_a_kill_left_goes_and_what_others_have_stays(tmp_path):
    folders = {name: tmp_path / name for name in ("ssh", "etc", "var", "sudoers")}
    paths = Paths(**folders, pam=tmp_path / "pam.d" / "sshd")
    places = [paths.sshd_config, paths.drop_in, paths.pam, paths.pam.with_name("ostiary-proof")]
    places += [paths.state, paths.identity, paths.unread, paths.hook, paths.authorities]
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
    leftovers.sweep(paths)
    assert not [one for one in left if one.exists()]
    assert all(one.exists() for one in (*places, *theirs))


def test_folders_that_are_not_there_are_nothing_to_sweep(tmp_path):
    names = {one.name: tmp_path / "none" / one.name for one in dataclasses.fields(Paths)}
    leftovers.sweep(Paths(**names))
