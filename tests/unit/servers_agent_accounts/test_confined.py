"""A LocalUser who may have no shell gets no manager of systemd either: while systemd was not told so, they do not enter."""

import pytest

from ostiary.doors.servers.agent import accounts_confined
from ostiary.doors.servers.agent.accounts_lookup import Lookup
from ostiary.doors.servers.agent.accounts_owned import Owned
from ostiary.doors.servers.agent.accounts_work import Work
from ostiary.doors.servers.wire.host import Entry, HostUser

NOBODY = "ostiary-nobody"  # no account of this machine: there is nothing of theirs to end
SFTP = HostUser(NOBODY, 60001, 63001, "", entries=(Entry(f"{NOBODY}@srv_1", sftp_only=True),))


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    """What systemctl answers next, its code and words, and how often it was asked."""

    class Systemd:
        def __init__(self):
            self.answers = [(0, "", "")]
            self.asked = 0

        def attempt(self, *command):
            assert command == ("systemctl", "daemon-reload")
            self.asked += 1
            return self.answers.pop(0)

    made = Systemd()
    monkeypatch.setattr(accounts_confined, "attempt", made.attempt)
    monkeypatch.setattr(accounts_confined, "BOOTED", tmp_path)
    return made


@pytest.fixture
def confine(tmp_path):
    """One round for some users: the problems it met."""
    units = tmp_path / "units"
    units.mkdir()
    owned = Owned()

    def one_round(*users):
        lookup = Lookup([], [], ask=False)
        work = Work(users, [], owned, lookup, frozenset(), ())
        accounts_confined.confine(work, tmp_path / "owned.json", units)
        return work.problems

    one_round.drop_in = units / accounts_confined.DROP_IN
    one_round.mark = tmp_path / "confined" / "60001"
    return one_round


def test_systemd_is_told_once(confine, systemd):
    assert confine(SFTP) == {}
    assert confine(SFTP) == {}
    assert systemd.asked == 1
    assert f"!{confine.mark.parent}/%i" in confine.drop_in.read_text()
    assert confine.mark.exists()


def test_a_systemd_that_does_not_read_is_asked_again(confine, systemd):
    systemd.answers = [(1, "", "Access denied"), (1, "", "Access denied"), (0, "", "")]
    assert "Access denied" in confine(SFTP)[NOBODY]
    assert "Access denied" in confine(SFTP)[NOBODY]
    assert confine(SFTP) == {}
    assert systemd.asked == 3


def test_a_systemd_that_a_killed_agent_did_not_ask_is_asked_by_the_next(
    confine, systemd, monkeypatch
):
    class Killed(BaseException):
        pass

    def killed():
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(accounts_confined, "_read_again", killed)
        with pytest.raises(Killed):
            confine(SFTP)
    assert confine.drop_in.exists()
    assert confine(SFTP) == {}
    assert confine(SFTP) == {}
    assert systemd.asked == 1


def test_whoever_may_have_a_shell_again_has_no_mark(confine, systemd):
    systemd.answers *= 2
    confine(SFTP)
    assert confine() == {}
    assert not confine.mark.exists()
    assert not confine.drop_in.exists()
    assert systemd.asked == 2
