"""The lines in other people's configuration of ssh: ours come and go, theirs stay letter by letter."""

from __future__ import annotations

import subprocess

import pytest

from ostiary.doors.servers.client import ssh_config
from ostiary.errors import Conflict, OstiaryError, UsageError

THEIRS = "# mine\nHost *.example\n  User me\n\nMatch all\n  Port 2022\n"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / ".ssh").mkdir(mode=0o700)
    return tmp_path


def test_what_was_there_stays_and_comes_back(home):
    config = home / ".ssh/config"
    config.write_text(THEIRS)
    config.chmod(0o644)
    assert ssh_config.install(home, "alice") == [home / ".config/ostiary/ssh_config", config]
    assert config.read_text().endswith(THEIRS)
    assert config.read_text().count("Include") == 1
    assert config.stat().st_mode & 0o777 == 0o644
    assert ssh_config.remove(home) == [config, home / ".config/ostiary/ssh_config"]
    assert config.read_text() == THEIRS


def test_twice_is_as_once(home):
    ssh_config.install(home, "alice")
    before = (home / ".ssh/config").read_text()
    assert ssh_config.install(home, "alice") == []
    assert (home / ".ssh/config").read_text() == before
    ssh_config.remove(home)
    assert ssh_config.remove(home) == []


def test_another_login_is_written_where_it_is_in_use(home):
    ssh_config.refresh("bob")
    assert not ssh_config.installed()
    ssh_config.install(home, "alice")
    ssh_config.refresh("bob")
    assert "User bob" in (home / ".config/ostiary/ssh_config").read_text()


def test_a_home_without_configuration_gets_one_for_its_owner_only(home):
    (home / ".ssh").rmdir()
    ssh_config.install(home, "")
    assert (home / ".ssh").stat().st_mode & 0o777 == 0o700
    assert (home / ".ssh/config").stat().st_mode & 0o777 == 0o600


def test_a_link_stays_a_link(home):
    (home / "dotfiles").mkdir()
    (home / "dotfiles/ssh").write_text(THEIRS)
    (home / ".ssh/config").symlink_to(home / "dotfiles/ssh")
    ssh_config.install(home, "alice")
    assert (home / ".ssh/config").is_symlink()
    assert "Include" in (home / "dotfiles/ssh").read_text()


@pytest.mark.parametrize(
    "theirs", [b"# caf\xe9\n", b"Host a\r\n  Port 22\r\n", b"Port 22\x0c\r# x"]
)
def test_what_is_no_text_of_ours_survives_byte_for_byte(home, theirs):
    config = home / ".ssh/config"
    config.write_bytes(theirs)
    ssh_config.install(home, "alice")
    assert config.read_bytes().endswith(theirs)
    assert ssh_config.install(home, "alice") == []
    ssh_config.remove(home)
    assert config.read_bytes() == theirs


def test_an_editor_that_ends_every_line_as_windows_does_changes_nothing(home):
    ssh_config.install(home, "alice")
    config = home / ".ssh/config"
    config.write_bytes(config.read_bytes().replace(b"\n", b"\r\n") + b"Host a\r\n")
    ssh_config.remove(home)
    assert config.read_bytes() == b"Host a\r\n"


def test_lines_that_somebody_wrote_between_the_marks_are_not_lost(home):
    ssh_config.install(home, "alice")
    config = home / ".ssh/config"
    config.write_text(config.read_text().replace(ssh_config.END, f"Port 2022\n{ssh_config.END}"))
    before = config.read_text()
    for change in (lambda: ssh_config.install(home, "bob"), lambda: ssh_config.remove(home)):
        with pytest.raises(Conflict, match="lines of their own"):
            change()
    assert config.read_text() == before


def test_a_sign_in_leaves_alone_what_a_person_includes(home):
    ssh_config.install(home, "alice")
    (home / ".ssh/config").write_text(THEIRS)
    ssh_config.refresh("bob")
    assert (home / ".ssh/config").read_text() == THEIRS
    assert "User bob" in (home / ".config/ostiary/ssh_config").read_text()


@pytest.mark.parametrize("mark", [ssh_config.BEGIN, ssh_config.END])
def test_half_of_the_marks_is_not_touched(home, mark):
    text = f"{THEIRS}{mark}\nHost x\n"
    (home / ".ssh/config").write_text(text)
    with pytest.raises(Conflict, match="not a pair"):
        ssh_config.install(home, "alice")
    assert (home / ".ssh/config").read_text() == text


def test_a_folder_in_the_way_is_said_so(home):
    (home / ".ssh/config").mkdir()
    with pytest.raises(OstiaryError, match="is a directory"):
        ssh_config.install(home, "alice")


def test_a_folder_in_the_way_of_our_file_is_said_so(home):
    (home / ".config/ostiary/ssh_config").mkdir(parents=True)
    for change in (lambda: ssh_config.install(home, "alice"), lambda: ssh_config.remove(home)):
        with pytest.raises(OstiaryError, match="is a directory"):
            change()
    assert not (home / ".ssh/config").exists()


@pytest.mark.parametrize("letter", list("'\"\\$`\n"))
def test_paths_that_do_not_survive_quoting_are_refused(home, monkeypatch, letter):
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"/run/a{letter}b")
    with pytest.raises(UsageError, match="does not survive"):
        ssh_config.block("alice")


@pytest.mark.parametrize("letter", list("%*?[]"))
def test_a_path_that_include_takes_for_a_pattern_is_refused(home, monkeypatch, letter):
    """Else ``ssh`` reads nothing of ours, or what somebody else has."""
    monkeypatch.setenv("XDG_CONFIG_HOME", f"{home}/a{letter}b")
    with pytest.raises(UsageError, match="for a pattern"):
        ssh_config.install(home, "alice")
    assert not (home / ".ssh/config").exists()


def test_ssh_reads_it_and_a_space_and_a_percent_survive(home, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"{home}/a 100% run")
    ssh_config.install(home, "alice")
    (home / ".config/ostiary/servers").write_text("web1\nsrv_1\n")
    done = _ssh(home, "web1")
    assert "user alice\n" in done
    assert f"identityagent {home}/a 100% run/ostiary/agent.sock\n" in done
    assert f"userknownhostsfile {home}/a 100% run/ostiary/known_hosts\n" in done
    assert "controlmaster false\n" in done
    assert "ostiary" not in _ssh(home, "other")


def test_a_home_whose_letters_the_locale_does_not_know(home, monkeypatch):
    folder = home / "m\udcfcller"
    folder.mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    ssh_config.install(home, "alice")
    assert ssh_config.install(home, "alice") == []
    assert b"m\xfcller/ostiary/servers" in (folder / "ostiary/ssh_config").read_bytes()
    assert b'm\xfcller/ostiary/ssh_config"' in (home / ".ssh/config").read_bytes()


@pytest.mark.parametrize("login", ["a\nProxyCommand touch owned", "a b", "a';x;'", "%h", "-v"])
def test_a_login_that_is_more_than_a_name_is_not_written(home, login):
    """The control plane chooses it, and this is a file that ssh obeys."""
    with pytest.raises(UsageError, match="no name that an account can have"):
        ssh_config.install(home, login)
    assert not (home / ".ssh/config").exists()


def test_a_person_may_still_name_another_login(home):
    ssh_config.install(home, "alice")
    (home / ".config/ostiary/servers").write_text("web1\n")
    assert "user bob\n" in _ssh(home, "bob@web1")


def _ssh(home, *words):
    done = subprocess.run(
        ["ssh", "-F", home / ".ssh/config", "-G", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_an_old_ssh_is_refused(home, monkeypatch, tmp_path):
    old = tmp_path / "bin/ssh"
    old.parent.mkdir()
    for version, good in (("OpenSSH_8.8p1", False), ("OpenSSH_8.9p1", True), ("dropbear", False)):
        old.write_text(f"#!/bin/sh\necho '{version}, OpenSSL' >&2\n")
        old.chmod(0o755)
        monkeypatch.setenv("PATH", str(old.parent))
        if good:
            ssh_config.check_ssh()
        else:
            with pytest.raises(UsageError, match=r"8\.9 or later"):
                ssh_config.check_ssh()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="cannot find ssh"):
        ssh_config.check_ssh()


@pytest.mark.parametrize(
    ("host", "is_ours", "asks"),
    [
        ("web1", True, False),
        ("srv_1", True, False),
        ("web", False, True),
        ("WEB1", False, True),
        ("web.", False, False),
        ("github.com", False, False),
        ("10.0.0.1", False, False),
    ],
)
def test_python_is_started_for_a_name_that_could_be_ours_and_is_not_in_the_list(
    home, monkeypatch, host, is_ours, asks
):
    monkeypatch.setenv("XDG_CONFIG_HOME", f"{home}/a 100% config")
    python, asked, config = home / "python", home / "asked", home / "ssh_config"
    python.write_text(f"#!/bin/sh\necho asked > '{asked}'\nexit 1\n")
    python.chmod(0o755)
    names = home / "a 100% config/ostiary/servers"
    names.parent.mkdir(parents=True)
    names.write_text("srv_1\nweb1\n")
    config.write_text(ssh_config.block("alice", python=str(python)))
    told = subprocess.run(
        ["ssh", "-T", "-G", "-F", config, "--", host], capture_output=True, text=True, check=True
    )
    assert ("proxy.py" in told.stdout) is is_ours
    assert asked.exists() is asks
    assert told.stderr == ""
