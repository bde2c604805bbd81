"""Whom the host's own sudoers name, as sudo's own cvtsudoers reads them."""

import shutil

import pytest
from ssh_world import STRICT

from ostiary.doors.servers.agent import sudoers_others
from ostiary.doors.servers.agent.files import HostError
from ostiary.doors.servers.wire.host import HostUser

RULES = """
Defaults env_reset
User_Alias CLOUD = azureuser, %dba, !carol, !OTHERS
User_Alias OTHERS = !dave, erin
root ALL=(ALL:ALL) ALL
CLOUD ALL=(ALL) NOPASSWD: ALL
%sudo ALL=(ALL:ALL) ALL
#60007 ALL=(root) NOPASSWD: /usr/bin/id ""
ALL ALL=(root) /usr/bin/true
"""


@pytest.fixture
def sudoers(tmp_path):
    if not shutil.which("cvtsudoers"):
        (pytest.fail if STRICT else pytest.skip)("cvtsudoers is needed: requirements/debian.txt")
    file = tmp_path / "sudoers"
    file.write_text(f"{RULES}@includedir {tmp_path}/more\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more/ssm").write_text("ssm-user ALL=(ALL) NOPASSWD:ALL\n")
    (tmp_path / "more/ldap").write_text("SvcBackup, %OPS, %:web, %#63009 ALL=(ALL) ALL\n")
    return file


def test_who_is_named_wherever_and_however_it_is_written(sudoers):
    logins = ("azureuser", "dba", "ssm-user", "carol", "dave", "erin", "alice", "all", "60007")
    users = [HostUser(login, 60001 + n, 63101, "") for n, login in enumerate(logins)]
    named = {"azureuser": "azureuser", "dba": "%dba", "ssm-user": "ssm-user", "dave": "dave"}
    assert {**sudoers_others.named(users, sudoers)} == named


def test_capital_letters_and_numbers_of_groups_name_somebody_too(sudoers):
    """case_insensitive_user and case_insensitive_group of sudoers(5) are on where nobody says otherwise."""
    logins = ("svcbackup", "ops", "web", "alice")
    users = [HostUser(login, 60001 + n, 63006 + n, "") for n, login in enumerate(logins)]
    named = {"svcbackup": "SvcBackup", "ops": "%OPS", "web": "%:web", "alice": "%#63009"}
    assert {**sudoers_others.named(users, sudoers)} == named


def test_without_sudo_nobody_is_named(tmp_path):
    assert sudoers_others.named([HostUser("alice", 60001, 63001, "")], tmp_path / "none") == {}


def test_rules_that_a_package_left_behind_keep_nobody_out(tmp_path, sudoers, monkeypatch):
    """Debian keeps /etc/sudoers when it removes sudo, and cvtsudoers goes with it."""
    monkeypatch.setattr(sudoers_others, "PATH", str(tmp_path))
    assert sudoers_others.named([HostUser("azureuser", 60001, 63001, "")], sudoers) == {}


def test_rules_that_cannot_be_read_are_told(sudoers):
    sudoers.write_text("this is no rule\n")
    with pytest.raises(HostError, match="cvtsudoers failed"):
        sudoers_others.named([HostUser("alice", 60001, 63001, "")], sudoers)
