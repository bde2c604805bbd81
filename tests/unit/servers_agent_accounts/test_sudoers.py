"""Sudo rules: what reaches a file, and what never does (negative test 17 of facts/servers.md §5)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ostiary.doors.servers.agent import sudoers
from ostiary.doors.servers.agent.files import HostError
from ostiary.doors.servers.wire.host import HostUser, SudoRule

BAD = [
    *(
        "",
        "ls",
        "bin/ls",
        "./ls",
        "/bin/../bin/sh",
        "/bin/./sh",
        "/bin/",
        "/bin//sh",
        "/",
        "ALL, !/bin/sh",
    ),
    *(
        "/bin/ls\n#0 ALL=(ALL) NOPASSWD: ALL",
        "/bin/ls\nALL ALL=(ALL) ALL",
        "/bin/ls, ALL",
        "/bin/ls \\",
    ),
    *(
        "#include /tmp/x",
        "@include /tmp/x",
        "#includedir /tmp",
        "!/bin/ls",
        "/bin/*",
        "/bin/ls *",
        "/bin/l?",
    ),
    *(
        "/bin/[a-z]s",
        "sudoedit /etc/passwd",
        "/usr/bin/sudoedit /etc/passwd",
        "sudoedit",
        "/bin/ls a:b",
        "/bin/ls a=b",
    ),
    *(
        '/bin/ls ""',
        "/bin/ls  two",
        "/bin/ls ",
        "/bin/l\u0455",
        "^/bin/.*$",
        "sha224:abc /bin/ls",
        "/bin/ls\t-l",
    ),
    *(
        "/bin/ls\0",
        "/bin/ls\r",
        "/bin/ls #x",
        "Cmnd_Alias X = /bin/ls",
        "/bin/ls $HOME",
        "/bin/ls ~root",
        "all",
    ),
]


def user(*commands, **rule):
    rules = (SudoRule("rule", commands, **rule),)
    return HostUser("alice", 60001, 63001, "", sudo=rules)


@pytest.mark.parametrize("command", BAD)
def test_what_is_not_a_path_with_plain_arguments_never_reaches_a_file(command, tmp_path):
    tmp_path.chmod(0o755)
    (problem,) = sudoers.apply([user("/bin/true", command)], tmp_path)
    assert problem.startswith("sudo rules of alice: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "run_as", ["ALL", "#0", "root, bob", "%wheel", "", "root:root", "Root", "a\nb"]
)
def test_nobody_but_a_named_user_is_run_as(run_as):
    with pytest.raises(HostError, match="no user to run as"):
        sudoers.render(user("/bin/ls", run_as=run_as))


@pytest.mark.parametrize("login", ["ALL", "root", "%sudo", "a.b", "all", "#1"])
def test_a_user_whose_name_means_more_is_refused(login):
    with pytest.raises(HostError):
        sudoers.render(HostUser(login, 60001, 63001, "", sudo=(SudoRule("x", ("ALL",)),)))


def test_the_number_stands_for_the_user_and_no_argument_is_none():
    text = sudoers.render(
        user("/bin/systemctl restart web@1", "/bin/ls", noexec=True, nopasswd=False)
    )
    assert text.splitlines()[2:] == [
        "#60001 ALL=(root) PASSWD:NOEXEC: /bin/systemctl restart web@1",
        '#60001 ALL=(root) PASSWD:NOEXEC: /bin/ls ""',
    ]


def test_a_comment_cannot_become_a_rule():
    rule = SudoRule("x\nALL ALL=(ALL) ALL", ("/bin/ls",))
    lines = sudoers.render(HostUser("alice", 60001, 63001, "", sudo=(rule,))).splitlines()
    assert [line for line in lines if not line.startswith("#")] == []
    assert len(lines) == 3


def test_an_administrator_gets_all_and_visudo_takes_it(tmp_path, needs):
    needs("visudo")
    tmp_path.chmod(0o755)
    assert sudoers.apply([user("ALL")], tmp_path) == ()
    (file,) = tmp_path.iterdir()
    assert file.name == "ostiary-60001"
    assert file.stat().st_mode & 0o777 == 0o440
    assert file.read_text().endswith("#60001 ALL=(root) NOPASSWD: ALL\n")


def test_who_loses_his_rules_loses_his_file_and_others_files_stay(tmp_path, needs):
    needs("visudo")
    tmp_path.chmod(0o755)
    (tmp_path / "90-cloud-init-users").write_text("# theirs\n")
    sudoers.apply([user("/bin/ls")], tmp_path)
    assert sudoers.apply([HostUser("alice", 60001, 63001, "")], tmp_path) == ()
    assert [one.name for one in tmp_path.iterdir()] == ["90-cloud-init-users"]


def test_rules_that_turn_bad_take_the_old_ones_away(tmp_path, needs):
    needs("visudo")
    tmp_path.chmod(0o755)
    sudoers.apply([user("ALL")], tmp_path)
    assert len(sudoers.apply([user("/bin/*")], tmp_path)) == 1
    assert list(tmp_path.iterdir()) == []


def two(*commands):
    """A rule for each command."""
    rules = tuple(SudoRule(f"rule{one.rpartition('/')[2]}", (one,)) for one in commands)
    return HostUser("alice", 60001, 63001, "", sudo=rules)


@pytest.fixture
def full(monkeypatch):
    """From when it is called on, nothing can be written."""

    def refuse(path, *_):
        raise HostError(f"cannot write {path}: No space left on device")

    return lambda: monkeypatch.setattr(sudoers, "write", refuse)


def commands(folder):
    text = (folder / "ostiary-60001").read_text()
    return [one.partition(": ")[2] for one in text.splitlines() if one.startswith("#60001 ")]


def test_narrowing_takes_rules_away_and_gives_none(tmp_path, needs):
    needs("visudo")
    tmp_path.chmod(0o755)
    (tmp_path / "90-cloud-init-users").write_text("# theirs\n")
    sudoers.apply([two("/bin/ls", "/bin/true"), replace(user("ALL"), uid=60002)], tmp_path)
    assert sudoers.narrow([two("/bin/new", "/bin/true")], tmp_path) == ()
    assert commands(tmp_path) == ['/bin/true ""']
    left = {one.name: one.stat().st_mode & 0o777 for one in tmp_path.iterdir()}
    assert left == {"90-cloud-init-users": 0o644, "ostiary-60001": 0o440}
    assert sudoers.narrow([user("/bin/*")], tmp_path) == ()
    assert sudoers.narrow([user("/bin/ls")], tmp_path / "none") == ()
    assert [one.name for one in tmp_path.iterdir()] == ["90-cloud-init-users"]


def test_a_rule_that_asks_for_a_password_now_is_not_kept_as_it_was(tmp_path, needs):
    needs("visudo")
    tmp_path.chmod(0o755)
    sudoers.apply([user("ALL")], tmp_path)
    sudoers.narrow([user("ALL", nopasswd=False)], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_narrowing_leaves_what_is_still_somebodys_on_a_full_disk_too(tmp_path, needs, full):
    needs("visudo")
    tmp_path.chmod(0o755)
    sudoers.apply([two("/bin/ls", "/bin/true")], tmp_path)
    full()
    assert sudoers.narrow([two("/bin/ls", "/bin/true", "/bin/new")], tmp_path) == ()
    assert commands(tmp_path) == ['/bin/ls ""', '/bin/true ""']


def test_rules_that_cannot_be_written_with_fewer_go_altogether(tmp_path, needs, full):
    needs("visudo")
    tmp_path.chmod(0o755)
    sudoers.apply([two("/bin/ls", "/bin/true"), replace(user("ALL"), uid=60002)], tmp_path)
    full()
    (problem,) = sudoers.narrow([two("/bin/true")], tmp_path)
    assert problem.startswith("sudo rules of alice: cannot write")
    assert list(tmp_path.iterdir()) == []


def test_a_text_that_visudo_refuses_is_refused():
    with pytest.raises(HostError, match="visudo refuses"):
        sudoers.check("#60001 ALL=(root NOPASSWD: ALL\n")
