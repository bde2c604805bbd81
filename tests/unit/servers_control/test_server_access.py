"""Who may do what on which server."""

import pytest

from ostiary.model.server_access import Rule, ServerAccess, SudoRule, decide, faults, login_for

SRE = Rule("group:sre", login=True)
NOW = 100.0


def access(*rules, person="ada@acme.example", groups=("sre",), labels=None):
    return decide(rules, person, groups, labels or {"role": "web"}, NOW)


def test_what_no_rule_gives_is_refused():
    assert access() == ServerAccess()
    assert access(SRE, groups=()) == ServerAccess()
    assert access(Rule("group:sre", sudo=(SudoRule("r", ("/bin/x",)),))) == ServerAccess(), (
        "sudo alone is no login"
    )
    assert access(Rule("user:sre", login=True)) == ServerAccess()
    assert access(Rule("sre", login=True)) == ServerAccess()


def test_rights_add_up_and_say_why():
    restart = SudoRule("restart", ("/usr/bin/systemctl restart web",))
    found = access(
        SRE, Rule("user:ada@acme.example", admin=True, sudo=(restart,), forward=("db:5432",))
    )
    assert found.login
    assert found.admin
    assert found.sudo == (restart,)
    assert found.forward == ("db:5432",)
    assert found.because == ("group:sre", "user:ada@acme.example")


def test_labels_and_time_bound_a_rule():
    web = Rule("group:sre", login=True, servers=(("role", "web"),))
    assert access(web).login
    assert not access(web, labels={"role": "db"}).login
    assert not access(web, labels={"tier": "web"}).login
    assert access(Rule("group:sre", login=True, until=NOW + 1)).login
    assert not access(Rule("group:sre", login=True, until=NOW)).login


def test_a_bound_holds_only_where_every_way_in_has_it():
    short = Rule("group:sre", login=True, sftp_only=True, max_session=60)
    assert access(short).max_session == 60
    assert access(short).sftp_only
    assert (
        access(short, Rule("group:sre", login=True, max_session=90, sftp_only=True)).max_session
        == 90
    )
    assert access(short, SRE).max_session == 0
    assert not access(short, SRE).sftp_only


BACKUP = Rule("group:sre", login=True, force_command="/usr/bin/backup")
ROTATE = Rule("user:ada@acme.example", login=True, force_command="/usr/bin/rotate")
FILES = Rule("group:sre", login=True, sftp_only=True)


@pytest.mark.parametrize("rules", [(BACKUP, ROTATE), (FILES, BACKUP), (ROTATE, FILES, BACKUP)])
def test_several_rules_without_a_shell_give_none_together(rules):
    for order in (rules, rules[::-1]):
        found = access(*order)
        assert found.sftp_only or found.force_command
    assert access(*rules, SRE).force_command == ""
    assert not access(*rules, SRE).sftp_only


def test_a_shell_from_one_network_and_a_command_from_anywhere_are_no_shell_from_anywhere():
    inside = Rule("group:sre", login=True, source_address=("192.0.2.0/24",), max_session=60)
    found = access(inside, BACKUP)
    assert (found.force_command, found.source_address) == ("", ("192.0.2.0/24",))
    assert found.max_session == 60


def test_a_command_of_spaces_is_no_shell_and_is_refused():
    assert faults(Rule("group:sre", login=True, force_command=" "))
    assert faults(Rule("user:machine:ci", login=True))
    assert faults(Rule("group:sre", login=True, max_session=-1))


@pytest.mark.parametrize(
    "command",
    [
        "",
        "systemctl restart web",
        "/usr/bin/",
        "/usr/bin/cat /var/log/*",
        "/usr/bin/id, /bin/sh",
        "/usr/bin/id\nALL ALL=(ALL) NOPASSWD: ALL",
        "/usr/bin/id\\",
        "!/bin/sh",
        "#include /tmp/x",
        "/usr/../bin/sh",
        "/usr/bin/sudoedit /etc/passwd",
        "/usr/bin/env x=y",
        '/usr/bin/id ""',
        "/usr/bin/id $(id)",
        "ALL, /bin/sh",
        "/usr/bin/id ",
    ],
)
def test_a_command_that_sudoers_would_read_otherwise_is_refused(command):
    assert faults(Rule("group:sre", login=True, sudo=(SudoRule("one", (command,)),)))


def test_good_rules_have_no_faults():
    rule = Rule(
        "group:sre",
        login=True,
        sudo=(
            SudoRule("restart-web", ("/usr/bin/systemctl restart web", "/usr/bin/id")),
            SudoRule("all", ("ALL",)),
        ),
        forward=("db.internal:5432", "[::1]:80"),
    )
    assert faults(rule) == []


@pytest.mark.parametrize(
    "target", ["*:22", "db", "db:0", "db:65536", "db:22,x:1", "db:22\n", ":22"]
)
def test_a_target_is_one_host_and_one_port(target):
    assert faults(Rule("group:sre", login=True, forward=(target,)))


@pytest.mark.parametrize(
    ("okta", "local"),
    [
        ("ada@acme.example", "ada"),
        ("Grace.Hopper@acme.example", "grace-hopper"),
        ("x" * 40 + "@a", "x" * 32),
        ("root@acme.example", ""),
        ("Admin@acme.example", ""),
        ("7of9@acme.example", ""),
        ("-rf@acme.example", "rf"),
        ("$(id)@acme.example", "id"),
        ("a:b\nc@acme.example", "a-b-c"),
        ("ünï@acme.example", "n"),
        ("..@acme.example", ""),
        ("", ""),
    ],
)
def test_names_of_local_users(okta, local):
    assert login_for(okta) == local
