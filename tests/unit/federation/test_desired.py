"""From assignments to objects in Okta and AWS."""

import pytest

from ostiary.model.access import Access, Entitlement
from ostiary.model.iam import AccountIam, IamRole
from ostiary.plan.resource import Found, Key, Owner, Ref

WEB = "200000000001"
ADMIN_ALL = "group: eng, may: Admin, in: [all], console: std"
ADMIN_WEB = "group: eng, may: Admin, in: ['account:web'], console: std"
GROUP = f"aws#acme-web#Admin#{WEB}"


def reach(login, account=WEB, role="Admin", partition="aws"):
    return Access(login, Entitlement(partition, account, role))


def owned_group(name, description, number=1):
    return Found(
        Key("okta-group", "main", name),
        {"description": description},
        Owner.OURS,
        ids={"id": f"rg{number}"},
    )


def test_everything_of_one_assignment(build, wanted):
    result = build(ADMIN_WEB)
    assert not result.problems
    assert not result.warnings
    app = Key("okta-app", "main", "AWS acme std")
    group = Key("okta-group", "main", GROUP)
    apps = wanted(result, "okta-app")
    assert set(apps) == {"AWS acme std", "AWS CLI (acme)"}
    settings = apps["AWS acme std"]["settings"]
    assert settings["webSSOAllowedClient"] == Ref(
        Key("okta-app", "main", "AWS CLI (acme)"), "client_id"
    )
    assert settings["useGroupMapping"] is True
    assert settings["sessionDuration"] == 7200
    assert settings["awsEnvironmentType"] == "aws.amazon"
    assert wanted(result, "saml-provider") == {"Okta": {"metadata": Ref(app, "metadata")}}
    role = wanted(result, "iam-role")["Admin"]
    assert role["managed_policies"] == ["arn:aws:iam::aws:policy/AdministratorAccess"]
    assert role["max_session"] == 7200
    (trust,) = wanted(result, "trust-statement").values()
    assert role["trust"] == [trust["statement"]]
    assert trust["statement"]["Condition"] == {
        "StringEquals": {"SAML:aud": "https://signin.aws.amazon.com/saml"}
    }
    assert wanted(result, "okta-group") == {
        GROUP: {"description": f"ostiary estate=acme console=std role=Admin account={WEB}"}
    }
    (rule,) = wanted(result, "okta-group-rule").values()
    assert rule == {"source": "g-eng", "targets": [Ref(group, "id")], "excluded": []}
    assert wanted(result, "okta-role-group-members")[GROUP] == {
        "group": Ref(group, "id"),
        "members": ["u-ann", "u-bob"],
        "direct": [],
    }
    assert wanted(result, "okta-app-assignment") == {
        "AWS acme std/group:eng": {"app": Ref(app, "id"), "group": "g-eng"},
        "AWS CLI (acme)/group:eng": {
            "app": Ref(Key("okta-app", "main", "AWS CLI (acme)"), "id"),
            "group": "g-eng",
        },
    }
    assert result.access == {reach("ann@x")}, "bob is suspended"
    assert result.by_console == {"std": result.access}


def test_gov_is_of_its_own_partition(build, wanted):
    result = build("group: eng, may: Admin, in: [all], console: gov")
    role = wanted(result, "iam-role")["Admin"]
    assert role["managed_policies"] == ["arn:aws-us-gov:iam::aws:policy/AdministratorAccess"]
    assert role["trust"][0]["Principal"]["Federated"].startswith("arn:aws-us-gov:")
    assert "aws-us-gov#acme-gov#Admin#300000000001" in wanted(result, "okta-group")


def test_a_rule_without_console_holds_at_every_console(build):
    result = build("group: eng, may: Admin, in: [all]")
    assert {one.entitlement.partition for one in result.access} == {"aws", "aws-us-gov"}


def test_users_come_in_by_themselves(build, wanted):
    result = build(
        "user: cat@x, may: Admin, in: ['account:web'], until: 2026-06-01, reason: r", ADMIN_WEB
    )
    members = wanted(result, "okta-role-group-members")[GROUP]
    assert members["direct"] == ["u-cat"]
    assert members["members"] == ["u-ann", "u-bob", "u-cat"]
    assert wanted(result, "okta-group")[GROUP]["description"].endswith(f"account={WEB} users=u-cat")
    assert "AWS acme std/user:cat@x" in wanted(result, "okta-app-assignment")
    assert reach("cat@x") in result.access


def test_overdue_is_removed_and_reported(build):
    result = build("user: cat@x, may: Admin, in: ['account:web'], until: 2026-05-31, reason: r")
    assert not result.resources
    assert len(result.overdue) == 1
    assert "e.yaml:12" in result.warnings[0]


def test_sources_filled_by_rules_are_copied(build, wanted):
    result = build("group: fed, may: Admin, in: ['account:web'], console: std")
    assert not wanted(result, "okta-group-rule")
    assert wanted(result, "okta-role-group-members")[GROUP]["direct"] == ["u-cat"], "dan has left"
    assert "groups=g-fed" in wanted(result, "okta-group")[GROUP]["description"]
    assert "itself filled by a rule" in result.warnings[0]


def test_direct_membership_by_choice(build, wanted, head):
    result = build(ADMIN_WEB, head=head.replace("session: 2h", "membership: direct"))
    assert not wanted(result, "okta-group-rule")
    assert wanted(result, "okta-role-group-members")[GROUP]["direct"] == ["u-ann", "u-bob"]
    assert not result.warnings


def test_a_short_rule_budget_spares_the_largest_groups(build, wanted, head):
    ops = "group: ops, may: Admin, in: ['account:web'], console: std"
    result = build(
        ADMIN_WEB, ops, head=head.replace("MFA", "MFA, rule_budget: 11"), foreign_rules=10
    )
    (rule,) = wanted(result, "okta-group-rule").values()
    assert rule["source"] == "g-eng"
    assert wanted(result, "okta-role-group-members")[GROUP]["direct"] == ["u-cat"]
    assert "room for 1 rules" in result.warnings[0]


def test_existing_rules_stay_when_others_come(build, wanted):
    first = build(ADMIN_WEB)
    (name,) = wanted(first, "okta-group-rule")
    mark = wanted(first, "okta-group")[GROUP]["description"]
    rule = Found(
        Key("okta-group-rule", "main", name),
        {"source": "g-eng", "targets": ["rg1"], "excluded": []},
        Owner.OURS,
    )
    ops = "group: ops, may: Admin, in: ['account:web'], console: std"
    again = build(ADMIN_WEB, ops, owned=(owned_group(GROUP, mark), rule))
    assert name in wanted(again, "okta-group-rule")
    assert len(wanted(again, "okta-group-rule")) == 2


def test_a_changed_alias_is_a_rename(build, wanted):
    old = owned_group(
        f"aws#old#Admin#{WEB}", f"ostiary estate=acme console=std role=Admin account={WEB}"
    )
    result = build(ADMIN_WEB, owned=(old,))
    assert set(wanted(result, "okta-group")) == {GROUP}
    assert "becomes" in result.warnings[0]


def test_an_unread_account_keeps_its_groups_and_gets_no_aws_objects(build, wanted):
    name = f"aws#old-alias#Admin#{WEB}"
    owned = owned_group(name, f"ostiary estate=acme console=std role=Admin account={WEB}")
    result = build(ADMIN_ALL, owned=(owned,), unread=frozenset({WEB}))
    assert set(wanted(result, "okta-group")) == {name, "aws#no-alias-2#Admin#200000000002"}
    assert {one.key.scope for one in result.resources if one.key.kind == "iam-role"} == {
        "200000000002"
    }
    assert result.unproven == {WEB}
    assert result.access == {reach("ann@x", "200000000002")}


def test_an_unread_account_without_groups_waits(build, wanted):
    result = build(ADMIN_WEB, unread=frozenset({WEB}))
    assert not result.resources
    assert "is unread" in result.warnings[0]


def iam(*roles, policies=()):
    return {WEB: AccountIam(WEB, "aws", roles, policies={arn: {} for arn in policies})}


def role_seen(name, trust=None, path="/"):
    return IamRole(name, f"arn:aws:iam::{WEB}:role{path}{name}", path, trust or {"Statement": []})


@pytest.mark.parametrize(
    ("assignment", "seen", "said"),
    [
        ("group: eng, may: Deployer", {"iam": iam()}, "existing: true, but account"),
        (
            "group: eng, may: Admin",
            {"iam": iam(role_seen("Admin", path="/x/"))},
            "has path /x/",
        ),
        (
            "group: eng, may: Deployer",
            {"iam": iam(role_seen("Deployer", path="/p/"))},
            "has path /p/",
        ),
        ("group: eng, may: Read", {"iam": iam()}, "customer:Extra of role Read does not exist"),
        ("group: eng, may: Read", {"iam": iam()}, "customer:Box of role Read does not exist"),
        ("group: nobody, may: Admin", {}, "has no group 'nobody'"),
        ("group: eng, may: Admin", {"ambiguous": frozenset({"eng"})}, "more than one group"),
        ("user: no@x, until: 2027-01-01, reason: r, may: Admin", {}, "has no user 'no@x'"),
    ],
)
def test_what_the_world_lacks(build, assignment, seen, said):
    result = build(f"{assignment}, in: ['account:web'], console: std", **seen)
    assert any(said in line and line.startswith("e.yaml:") for line in result.problems)


def test_what_the_world_has_is_no_problem(build):
    arns = [f"arn:aws:iam::{WEB}:policy/{name}" for name in ("Extra", "Box")]
    seen = iam(role_seen("Deployer"), policies=arns)
    result = build("group: eng, may: [Read, Deployer], in: ['account:web'], console: std", iam=seen)
    assert not result.problems
    assert "iam-role" not in {
        one.key.kind for one in result.resources if one.key.name == "Deployer"
    }


def test_a_trust_policy_over_the_limit(build):
    foreign = {
        "Sid": "Theirs",
        "Effect": "Allow",
        "Principal": {"AWS": "x" * 1700},
        "Action": "sts:AssumeRole",
    }
    trust = {"Version": "2012-10-17", "Statement": [foreign]}
    (problem,) = build(ADMIN_WEB, iam=iam(role_seen("Admin", trust))).problems
    assert "e.yaml:8: the trust policy of role Admin" in problem
    assert "2,048" in problem


def test_filters_that_read_our_names_wrongly(build, head):
    other = head.replace(
        "session: 2h", r"group_filter: '^aws\#\S+\#(?{{role}}X)\#(?{{accountid}}\d+)$'"
    )
    (problem,) = build(ADMIN_WEB, head=other).problems
    assert "does not read role Admin" in problem
    wide = head.replace(
        "gov: {organization: gov}",
        r"gov: {organization: gov, group_filter: '^aws.*\#\S+\#(?{{role}}\w+)\#(?{{accountid}}\d+)$'}",
    )
    (problem,) = build(ADMIN_WEB, head=wide).problems
    assert f"also takes '{GROUP}' of console std" in problem


def test_one_provider_name_for_two_apps(build, head):
    both = head.replace(
        "gov: {organization: gov}}", "two: {organization: std, group_name: 'b#{role}#{account}'}}"
    ).replace("std: {}, gov: {partition: aws-us-gov}", "std: {}")
    result = build("group: eng, may: Admin, in: ['account:web']", head=both)
    assert any("both want SAML provider Okta" in line for line in result.problems)


def test_assertions_near_the_limit(build, accounts):
    many = tuple(
        type(accounts[0])(f"{number:012}", f"a{number}", "std", "aws", alias=f"a{number}")
        for number in range(1, 301)
    )
    (problem,) = build(ADMIN_ALL, accounts=many).problems
    assert "ann@x would be offered 300 roles" in problem
    result = build(ADMIN_ALL, accounts=many[:225])
    assert not result.problems
    assert "225 roles" in result.warnings[0]
    assert not build(ADMIN_ALL, accounts=many[:150]).warnings


def test_only_one_account_leaves_the_rules_of_others(build, wanted):
    """--only: eng's rule of both accounts stays, ops (gone from the estate) keeps what it has elsewhere."""
    names = [GROUP, "aws#no-alias-2#Admin#200000000002"]
    marks = (f"ostiary estate=acme console=std role=Admin account={name[-12:]}" for name in names)
    groups = tuple(
        owned_group(name, mark, number)
        for number, (name, mark) in enumerate(zip(names, marks, strict=True), 1)
    )

    def rule(name, source, *targets):
        attributes = {"source": source, "targets": list(targets), "excluded": []}
        return Found(Key("okta-group-rule", "main", name), attributes, Owner.OURS)

    owned = (
        *groups,
        rule("r-eng", "g-eng", "rg1", "rg2"),
        rule("r-ops", "g-ops", "rg1", "rg2"),
        rule("r-gone", "g-unknown", "rg2"),
    )
    result = build(ADMIN_ALL, owned=owned, only=frozenset({WEB}))
    rules = wanted(result, "okta-group-rule")
    assert {"r-eng", "r-gone"} < set(rules)
    (ops,) = (one for name, one in rules.items() if name not in ("r-eng", "r-gone"))
    assert ops["source"] == "g-ops"
    assert ops["targets"] == ["rg2"], "a group of another account is named by its id"
    assert set(wanted(result, "okta-group")) == {GROUP}
    assert {one.key.scope for one in result.resources if one.key.kind == "iam-role"} == {WEB}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("reach: {apply: Admin}", "role Admin is how Ostiary enters accounts of organization std"),
        ("protect: {roles: ['Adm*']}", "role Admin is protected in organization std"),
    ],
)
def test_roles_that_are_not_ours_to_write(build, head, settings, said):
    other = head.replace("organizations: {std: {}", f"organizations: {{std: {{{settings}}}")
    (problem,) = build(ADMIN_WEB, head=other).problems
    assert said in problem
    assert problem.startswith("e.yaml:")
