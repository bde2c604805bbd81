"""What Okta's group mapping makes of names: the documented filters and their traps."""

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from ostiary.doors.federation.group_lint import lint
from ostiary.doors.federation.role_groups import group_name, preview, previews_json
from ostiary.errors import UsageError
from ostiary.model.account import Account
from ostiary.model.estate import Console
from ostiary.model.estate_groups import derive_filter, derive_pattern
from ostiary.model.partition import PARTITIONS

HASH = r"^aws\#\S+\#(?{{role}}[\w\-]+)\#(?{{accountid}}\d+)$"
OPEN = r"aws_(?{{accountid}}\d+)_(?{{role}}[a-zA-Z0-9+=,.@\-_]+)"
PATTERN = "arn:aws:iam::${accountid}:saml-provider/Okta,arn:aws:iam::${accountid}:role/${role}"
ID = "828416469395"


def one(name, group_filter=HASH, pattern=PATTERN):
    return preview([name], group_filter, pattern)[0]


def test_the_documented_example():
    shown = one(f"aws#northamerica-production#Tier1_Support#{ID}")
    assert previews_json([shown]) == {
        "names": [
            {
                "name": f"aws#northamerica-production#Tier1_Support#{ID}",
                "matches": True,
                "role": "Tier1_Support",
                "account": ID,
                "arn": f"arn:aws:iam::{ID}:role/Tier1_Support",
                "problems": [],
            }
        ]
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (f"aws#x#Ops.Admin#{ID}", "+ = , . @"),
        (f"aws#x#a+b=c@d,e#{ID}", "+ = , . @"),
        (f"aws#x#Ädmin#{ID}", "ASCII"),
        ("aws#x#Admin#١١١١٢٢٢٢٣٣٣٣", "ASCII"),
        (f"aws#x#Admin#{ID}\n", "control character U+000A"),
        (f"aws#x#Admin#{ID}\u200b", "control character U+200B"),
        (f"AWS#x#Admin#{ID}", "upper and lower case"),
        (f"aws#a b#Admin#{ID}", "a space"),
        (f"aws#x#path/Admin#{ID}", "role path"),
        ("aws#x#Admin", "starts like a role group"),
    ],
)
def test_near_misses_give_nothing_and_a_reason(name, said):
    shown = one(name)
    assert (shown.matches, shown.role, shown.account, shown.arn) == (False, None, None, None)
    assert said in shown.problems[0]


def test_other_groups_are_none_of_our_business():
    assert one("Everyone") == type(one("Everyone"))("Everyone")


@pytest.mark.parametrize("account", ["82841646939", "8284164693955", "1"])
def test_numbers_that_are_no_account_ids(account):
    shown = one(f"aws#x#Admin#{account}")
    assert shown.matches
    assert shown.account == account
    assert shown.arn is None
    assert "12 digits" in shown.problems[0]


def test_greedy_alias_is_called_ambiguous():
    shown = one("aws#a#RoleA#111111111111#RoleB#222222222222")
    assert (shown.role, shown.account) == ("RoleB", "222222222222")
    assert "ambiguous" in shown.problems[0]


@pytest.mark.parametrize(
    "name", [f"notaws_{ID}_Admin", f"aws_{ID}_Admin (old)", f"xaws_{ID}_Admin!!"]
)
def test_unanchored_filters_are_reported(name):
    shown = one(name, OPEN)
    assert not shown.matches
    assert "not anchored" in shown.problems[0]
    assert "not anchored" in one(f"aws_{ID}_Admin", OPEN).problems[0]


@pytest.mark.parametrize("bad", ["(?=x)", "^aws$", r"^(?{{role}}\w+)$", "("])
def test_filters_that_judge_nothing(bad):
    with pytest.raises(UsageError):
        preview(["x"], bad, PATTERN)


@pytest.mark.parametrize(
    ("changed", "level", "said"),
    [
        ({"group_filter": OPEN}, "error", "anchored"),
        ({"group_filter": HASH + "|x"}, "error", "anchored"),
        ({"group_filter": f"^x|{HASH[1:]}"}, "error", "anchored"),
        ({"group_filter": "^aws$"}, "error", "no group (?{{role}}"),
        ({"group_filter": "^(?=a)$"}, "error", "RE2"),
        ({"group_filter": HASH.replace("(?{{role}}", "(?P<role>")}, "error", "(?{{name}}"),
        ({"group_filter": r"^aws#(?{{role}}.+)#(?{{accountid}}\d+)$"}, "warning", "any characters"),
        ({"group_filter": HASH}, "note", r"\d{12}"),
        ({"group_filter": HASH}, "note", "by position"),
        ({"pattern": PATTERN.replace(",", ",\n")}, "error", "two lines"),
        ({"pattern": PATTERN.replace("Okta", "[SAML Provider Name]")}, "error", "still holds"),
        ({"pattern": PATTERN.replace("Okta", "Other")}, "error", "SAML provider 'Other'"),
        ({"pattern": PATTERN.replace("arn:aws:", "arn:aws-cn:")}, "error", "accounts are in aws"),
        ({"pattern": PATTERN.replace("arn:aws:", "arn:aws-x:")}, "error", "no AWS partition"),
        ({"pattern": PATTERN.replace("arn:aws:", "arn:aws-cn:", 1)}, "error", "different partit"),
        ({"pattern": "x"}, "error", "must be arn:"),
        ({"app_filter": ""}, "error", "names no app"),
        ({"app_filter": "okta, active_directory"}, "warning", "2 sources"),
        ({"app_filter": "active_directory"}, "note", "leaves them out"),
    ],
)
def test_lint(changed, level, said):
    given = {"group_filter": HASH, "pattern": PATTERN, "app_filter": "okta", **changed}
    found = lint(**given, provider="Okta", partition="aws")
    assert any(item.level == level and said in item.message for item in found), found
    assert [item.level for item in found] == sorted(
        (item.level for item in found), key=("error", "warning", "note").index
    )


def test_documented_settings_have_no_errors():
    assert {item.level for item in lint(HASH, PATTERN, "okta")} == {"note"}
    assert derive_filter("aws#{alias}#{role}#{account}", ["A", "B_c-d"]) == HASH
    assert derive_pattern(PARTITIONS["aws"], "Okta") == PATTERN
    assert lint(HASH.replace(r"\d+", r"\d{12}"), PATTERN, "okta") == (
        lint(HASH, PATTERN, "okta")[1],
    )


@pytest.mark.parametrize(
    ("alias", "name", "wanted"),
    [("a-b", "x", "a-b"), ("", "My Account (2)", "my-account-2"), ("", "日本", "account")],
)
def test_names(alias, name, wanted):
    console = Console("c", "o", "g")
    account = Account("828416469395", name, "g", "aws", alias=alias)
    assert group_name(console, account, "R") == f"aws#{wanted}#R#828416469395"


roles = st.from_regex(r"[A-Za-z0-9_+=.@-]{1,64}", fullmatch=True)
aliases = st.from_regex(r"[a-z0-9](-?[a-z0-9]){2,20}", fullmatch=True)
ids = st.from_regex(r"[0-9]{12}", fullmatch=True)
templates = st.sampled_from(
    ["aws#{alias}#{role}#{account}", "aws_{account}_{role}", "x.{account}/{alias}/{role}"]
)


@pytest.mark.chaos
@settings(deadline=None, max_examples=examples(25, 100))
@given(templates, roles, aliases, ids)
def test_every_name_of_ours_gives_its_own_role(template, role, alias, number):
    console = Console("c", "o", "g", group_name=template)
    name = group_name(console, Account(number, "n", "g", "aws", alias=alias), role)
    (shown,) = preview([name], derive_filter(template, [role]), PATTERN)
    assert (shown.matches, shown.role, shown.account) == (True, role, number)
    assert shown.arn == f"arn:aws:iam::{number}:role/{role}"
    assert not shown.problems


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=60))
def test_no_name_breaks_the_preview(name):
    shown = one(name)
    assert shown.matches is (shown.role is not None)
    if shown.matches:
        assert name.isascii() or shown.problems
        assert name.isprintable()
