from ostiary.plan.change import Change, Plan, Unread
from ostiary.plan.render import render, shown
from ostiary.plan.resource import Key

ACCOUNT = "111122223333"


def plan(*changes, **options):
    return Plan("acme", "", "", (ACCOUNT,), tuple(changes), **options)


def test_reads_like_a_diff():
    changes = [
        Change("create", Key("iam-role", ACCOUNT, "Ops"), None, {"size": 1, "text": "x" * 12345}),
        Change(
            "update",
            Key("okta-group", "main", "g"),
            {"list": ["a", "b"], "tags": {"x": 1, "y": 2}, "same": 1},
            {"list": ["b", "c"], "tags": {"x": 3, "y": 2}, "same": 1},
            ("list", "tags"),
        ),
        Change("delete", Key("iam-role", ACCOUNT, "Old"), {"a": 1}, reason="no longer wanted"),
        Change(
            "snippet",
            Key("iam-role", ACCOUNT, "Cfn"),
            reason="belongs to stack s",
            snippet="Sid: x\nEffect: y",
        ),
        Change("foreign", Key("iam-role", ACCOUNT, "Theirs"), reason="exists without our mark"),
    ]
    unread = (Unread("444455556666", ("iam-role",), "AccessDenied", "ask"),)
    text = render(
        plan(*changes, keep=20, unread=unread, warnings=("no MFA",)),
        details=True,
        names={ACCOUNT: f"{ACCOUNT} prod-web"},
    )
    assert text == (
        f"{ACCOUNT} prod-web\n"
        "  + iam-role Ops\n"
        "      + size  1\n"
        "      + text  sha256:3c49a9d3… (12,345 characters)\n"
        "  - iam-role Old   DELETED: no longer wanted\n"
        "  ! iam-role Cfn   belongs to stack s\n"
        "      | Sid: x\n"
        "      | Effect: y\n"
        "  ! iam-role Theirs   exists without our mark\n"
        "\n"
        "main\n"
        "  ~ okta-group g\n"
        '      - list  "a"\n'
        '      + list  "c"\n'
        "      - tags.x  1\n"
        "      + tags.x  3\n"
        "\n"
        "? 444455556666 was not read, nothing is deleted there: AccessDenied\n"
        "    fix: ask\n"
        "! no MFA\n"
        "\n"
        "plan: 1 to create, 1 to update, 1 to delete, 1 in the way, 1 to hand to their owners,"
        " 20 as wanted\n"
    )


def test_a_new_object_is_one_line_without_details():
    one = Change("create", Key("iam-role", ACCOUNT, "Ops"), None, {"size": 1})
    assert render(plan(one)) == f"{ACCOUNT}\n  + iam-role Ops\n\nplan: 1 to create\n"


def test_what_is_released_is_not_called_deleted():
    one = Change("delete", Key("iam-role", ACCOUNT, "Old"), {"a": 1}, reason="no longer wanted")
    assert render(plan(one), released=True) == (
        f"{ACCOUNT}\n"
        "  = iam-role Old   stays, without our mark\n"
        "\n"
        "plan: 1 to release, nothing is deleted\n"
    )


def test_colour_only_when_asked():
    one = Change("replace", Key("iam-role", ACCOUNT, "Ops"), {"a": 1}, {"a": 2}, ("a",))
    assert "\033" not in render(plan(one))
    coloured = render(plan(one), colour=True)
    assert "\033[1;31m  -/+ iam-role Ops   REPLACED\033[0m\n" in coloured


def test_hostile_names_do_not_reach_the_terminal():
    name = "a\x1b[2J\x9b\u202e\nplan: nothing"
    text = render(
        plan(Change("create", Key("okta-group", "main", name), None, {"n": name})), details=True
    )
    assert "\x1b" not in text
    assert "\x9b" not in text
    assert "\u202e" not in text
    assert len([line for line in text.splitlines() if line.startswith("plan:")]) == 1


def test_an_empty_plan():
    assert render(plan(keep=3)) == "plan: 3 as wanted\n"
    assert render(plan()) == "plan: nothing is wanted and nothing is there\n"


def test_values():
    assert shown("a b") == '"a b"'
    assert shown(None) == "null"
    assert shown({"b": 1, "a": [True]}) == '{"a":[true],"b":1}'


def test_who_gains_and_loses_access_is_shown_without_details():
    """A new object is one line, but for what it lets people do; so is one that goes."""
    key = Key("server-project", "control", "prod")
    access = ["group sre: login on every server"]
    made = Change("create", key, after={"access": access, "rules": [{}]})
    gone = Change("delete", Key("server-project", "control", "dev"), {"access": access})
    text = render(Plan("acme", "", "", ("control",), (made, gone)))
    assert '      + access  "group sre: login on every server"\n' in text
    assert '      - access  "group sre: login on every server"\n' in text
    assert "rules" not in text


def test_a_long_sentence_of_access_is_read_whole():
    """A rule with a long command, say: whoever judges the plan must see all of it, and a digest says nothing."""
    key = Key("server-project", "control", "prod")
    short, long, endless = "group a: login", f"group b: {'x' * 300}", f"group c: {'x' * 3000}"
    made = Change("create", key, after={"access": [long]})
    gone = Change("delete", key, {"access": [long]})
    changed = Change("update", key, {"access": [short]}, {"access": [long, endless]}, ("access",))
    text = render(Plan("acme", "", "", ("control",), (made, gone, changed)))
    assert text.count(f'access  "{long}"\n') == 3
    assert "access  sha256:" in text
    assert endless not in text
