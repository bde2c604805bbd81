"""The twelve topologies of docs/explanation/admin-path.md, each with its near twin."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from ostiary.model.admin_path import PathVerdict, independent_admin_paths, is_admin
from ostiary.model.iam import AccountIam, IamGroup, IamRole, IamUser, SamlProviderSeen

MEMBER, MANAGEMENT = "222222222222", "111111111111"
OKTA = f"arn:aws:iam::{MEMBER}:saml-provider/Okta"
OKTA_ABOVE = f"arn:aws:iam::{MANAGEMENT}:saml-provider/Okta"
ENTRA = f"arn:aws:iam::{MEMBER}:saml-provider/Entra"
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
OWN_ADMIN = f"arn:aws:iam::{MEMBER}:policy/OwnAdmin"
BOUNDARY = f"arn:aws:iam::{MEMBER}:policy/Limits"
SAML_AUD = {"StringEquals": {"SAML:aud": "https://signin.aws.amazon.com/saml"}}


def document(*statements, version="2012-10-17"):
    return {"Version": version, "Statement": list(statements)}


def allow(action="*", resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


ALL = document(allow())


def trust(principal, action="sts:AssumeRole", **more):
    return document({"Effect": "Allow", "Principal": principal, "Action": action, **more})


def by_saml(provider):
    return trust({"Federated": provider}, "sts:AssumeRoleWithSAML", Condition=SAML_AUD)


def by_aws(name, **more):
    return trust({"AWS": name}, **more)


def role(name, trusted, account=MEMBER, **more):
    more.setdefault("managed_arns", (ADMINISTRATOR,))
    return IamRole(name, f"arn:aws:iam::{account}:role/{name}", "/", trusted, **more)


def user(name, account=MEMBER, **more):
    more.setdefault("active_keys", 1)
    more.setdefault("managed_arns", (ADMINISTRATOR,))
    return IamUser(name, f"arn:aws:iam::{account}:user/{name}", **more)


def account(account_id=MEMBER, roles=(), users=(), **more):
    if account_id == MEMBER:
        roles = (*roles, role("Administrator", by_saml(OKTA)))
    return AccountIam(account_id, "aws", tuple(roles), users, **more)


def judge(member, management=None, touched=(), vouched=()) -> PathVerdict:
    return independent_admin_paths(
        member,
        management,
        okta_provider_arns=frozenset({OKTA, OKTA_ABOVE}),
        touched=frozenset((kind, MEMBER, name) for kind, name in touched),
        trusted_credentials=frozenset(vouched),
    )


ABOVE = account(MANAGEMENT, users=(user("admin", MANAGEMENT),))
BREAK_GLASS = role("BreakGlass", by_aws(f"arn:aws:iam::{MANAGEMENT}:root"))
OPERATOR = user("breakglass")
NO_IAM = document(allow("s3:*"))
DENY_TRUST = {"Effect": "Deny", "Action": "iam:UpdateAssumeRolePolicy", "Resource": "*"}


def reached_through(first_trust, name="Hub"):
    """BreakGlass, entered from role Hub of the management account only."""
    hub = role(name, first_trust, MANAGEMENT)
    member = account(roles=[role("BreakGlass", by_aws(hub.arn))])
    return member, account(MANAGEMENT, roles=[hub], users=(user("admin", MANAGEMENT),))


TOPOLOGIES = {
    "1 the break-glass role is deleted": (
        judge(account(roles=[BREAK_GLASS]), ABOVE, [("iam-role", "BreakGlass")]),
        judge(account(roles=[BREAK_GLASS]), ABOVE, [("iam-role", "Reports")]),
    ),
    "2 its trust statement is removed": (
        judge(account(roles=[BREAK_GLASS]), ABOVE, [("trust-statement", "BreakGlass/Ops")]),
        judge(account(roles=[BREAK_GLASS]), ABOVE, [("trust-statement", "Administrator/Ops")]),
    ),
    "3 its policy is rewritten": tuple(
        judge(
            account(
                users=(user("breakglass", managed_arns=(OWN_ADMIN,)),), policies={OWN_ADMIN: ALL}
            ),
            touched=[("iam-policy", name)],
        )
        for name in ("OwnAdmin", "Other")
    ),
    "4 a boundary lies on it": tuple(
        judge(
            account(users=(user("breakglass", boundary_arn=BOUNDARY),), policies={BOUNDARY: limits})
        )
        for limits in (NO_IAM, ALL)
    ),
    "5 the user has no credential": (
        judge(account(users=(user("breakglass", active_keys=0),))),
        judge(account(users=(OPERATOR,))),
    ),
    "6 the role is entered by Okta only": (
        judge(account(roles=[role("BreakGlass", by_saml(OKTA))]), vouched=[OKTA]),
        judge(account(roles=[role("BreakGlass", by_saml(ENTRA))]), vouched=[ENTRA]),
    ),
    "7 the chain begins in Okta": (
        judge(*reached_through(by_saml(OKTA_ABOVE))),
        judge(*reached_through(by_aws(MANAGEMENT))),
    ),
    "8 the role in the middle is in the plan": tuple(
        independent_admin_paths(
            *reached_through(by_aws(MANAGEMENT)),
            okta_provider_arns=frozenset({OKTA}),
            touched=frozenset({("iam-role", MANAGEMENT, name)}),
        )
        for name in ("Hub", "Other")
    ),
    "9 an explicit deny by the user's group": tuple(
        judge(
            account(
                users=(user("breakglass", groups=("ops",)),),
                groups=(IamGroup("ops", "arn:aws:iam::1:group/ops", inline={"d": document(deny)}),),
            )
        )
        for deny in (DENY_TRUST, {**DENY_TRUST, "Resource": f"arn:aws:iam::{MEMBER}:role/Payroll"})
    ),
    "10 the trust names a deleted user": tuple(
        judge(account(roles=[role("BreakGlass", by_aws(name))]), ABOVE)
        for name in ("AIDAEXAMPLEDELETED01", f"arn:aws:iam::{MANAGEMENT}:user/admin")
    ),
    "11 the account could not be read": (
        judge(account(users=(OPERATOR,), complete=False)),
        judge(account(users=(OPERATOR,), complete=True)),
    ),
    "12 a condition that nobody is known to meet": tuple(
        judge(
            account(
                roles=[
                    role(
                        "BreakGlass",
                        by_aws(
                            MANAGEMENT,
                            Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}},
                        ),
                    )
                ]
            ),
            account(MANAGEMENT, users=(user("admin", MANAGEMENT, mfa=mfa),)),
        )
        for mfa in (False, True)
    ),
}


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_last_path_lost_is_refused(name):
    refused, _ = TOPOLOGIES[name]
    assert not refused.ok
    assert refused.why


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_near_twin_is_allowed(name):
    _, allowed = TOPOLOGIES[name]
    assert allowed.ok, allowed.why


def test_there_are_twelve():
    assert len(TOPOLOGIES) == 12


def test_path_is_a_sentence():
    assert judge(account(users=(OPERATOR,))).path == (
        f"IAM user breakglass of {MEMBER} with active key"
    )
    assert judge(account(roles=[BREAK_GLASS]), ABOVE).path == (
        f"role BreakGlass of {MEMBER} entered by IAM user admin of {MANAGEMENT} with active key"
    )
    member, above = reached_through(by_aws(MANAGEMENT))
    assert "entered by role Hub" in judge(member, above).path


def test_refusal_names_what_was_missing():
    why = judge(account(roles=[BREAK_GLASS]), ABOVE, [("iam-role", "BreakGlass")]).why
    assert "role BreakGlass of 222222222222 is in the plan" in why


@pytest.mark.parametrize(
    "member",
    [
        account(users=None),
        account(users=(user("breakglass", managed_arns=(OWN_ADMIN,)),)),
        account(users=(user("breakglass", boundary_arn=BOUNDARY),)),
        account(users=(user("breakglass", groups=("unread",)),)),
        account(users=(OPERATOR,), scps=None),
        account(users=(OPERATOR,), scps=((document(allow("s3:*")),),)),
        account(users=(user("breakglass", managed_arns=("arn:aws:iam::aws:policy/Odd",)),)),
    ],
)
def test_unknown_counts_as_no(member):
    assert not judge(member).ok


def test_condition_on_source_address_is_not_foreseeable():
    near_office = {"Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}
    conditional = document(allow(**near_office))
    some = user("breakglass", managed_arns=(), inline={"a": conditional})
    assert not judge(account(users=(some,))).ok
    denied = {"Effect": "Deny", "Action": "*", "Resource": "*", **near_office}
    some = user("breakglass", inline={"a": document(denied)})
    assert not judge(account(users=(some,))).ok


def test_force_mfa_policy_leaves_a_user_with_a_device():
    force = document(
        {
            "Effect": "Deny",
            "NotAction": ["iam:EnableMFADevice", "sts:GetSessionToken"],
            "Resource": "*",
            "Condition": {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}},
        }
    )
    assert judge(account(users=(user("breakglass", inline={"f": force}, mfa=True),))).ok
    for mfa in (False, None):
        assert not judge(account(users=(user("breakglass", inline={"f": force}, mfa=mfa),))).ok


def test_both_halves_are_needed_across_accounts():
    weak = account(MANAGEMENT, users=(user("admin", MANAGEMENT, managed_arns=()),))
    assert not judge(account(roles=[BREAK_GLASS]), weak).ok


def test_naming_the_user_suffices_within_the_account():
    plain = user("ops", managed_arns=())
    assert judge(account(roles=[role("BreakGlass", by_aws(plain.arn))], users=(plain,))).ok
    delegated = role("BreakGlass", by_aws(MEMBER))
    assert not judge(account(roles=[delegated], users=(plain,))).ok


def test_a_chain_of_four_roles_is_too_long():
    def chain(length):
        names = [f"R{i}" for i in range(length)]
        roles = [role(names[0], by_aws(f"arn:aws:iam::{MANAGEMENT}:user/admin"), MANAGEMENT)]
        for before, name in itertools.pairwise(names):
            here = MEMBER if name == names[-1] else MANAGEMENT
            roles.append(role(name, by_aws(f"arn:aws:iam::{MANAGEMENT}:role/{before}"), here))
        above = account(MANAGEMENT, roles=roles[:-1], users=(user("admin", MANAGEMENT),))
        return judge(account(roles=roles[-1:]), above)

    assert chain(3).ok
    assert not chain(4).ok


def test_a_circle_of_roles_ends():
    one = role("A", by_aws(f"arn:aws:iam::{MEMBER}:role/B"))
    two = role("B", by_aws(f"arn:aws:iam::{MEMBER}:role/A"))
    assert not judge(account(roles=[one, two])).ok


def test_another_provider_with_the_same_org_is_dependent():
    twin = f"arn:aws:iam::{MEMBER}:saml-provider/OldOkta"
    seen = tuple(
        SamlProviderSeen(arn.rpartition("/")[2], arn, "http://www.okta.com/exk1")
        for arn in (OKTA, twin)
    )
    member = account(roles=[role("BreakGlass", by_saml(twin))])
    assert judge(member, vouched=[twin]).ok
    assert not judge(replace(member, saml_providers=seen), vouched=[twin]).ok


def test_a_vouched_provider_in_the_plan_does_not_count():
    member = account(roles=[role("BreakGlass", by_saml(ENTRA))])
    assert not judge(member, touched=[("saml-provider", "Entra")], vouched=[ENTRA]).ok


def test_an_identity_center_role_or_a_service_is_no_path():
    sso = f"arn:aws:iam::{MEMBER}:saml-provider/AWSSSO_1_DO_NOT_DELETE"
    roles = [
        role("AWSReservedSSO_Admin_1", by_saml(sso)),
        role("Instance", trust({"Service": "ec2.amazonaws.com"})),
    ]
    assert not judge(account(roles=roles)).ok


def test_organization_condition_needs_the_organization():
    ours = {"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}
    member = account(roles=[role("BreakGlass", by_aws(MANAGEMENT, **ours))])
    assert not judge(member, ABOVE).ok
    assert judge(member, replace(ABOVE, organization_id="o-1")).ok
    assert not judge(member, replace(ABOVE, organization_id="o-2")).ok


def test_management_that_was_not_read_is_no_way():
    verdict = judge(account(roles=[BREAK_GLASS]), replace(ABOVE, complete=False))
    assert not verdict.ok
    assert MANAGEMENT in verdict.why


def test_is_admin_by_other_means_than_the_managed_policy():
    power = document(
        {"Effect": "Allow", "NotAction": ["iam:*", "organizations:*"], "Resource": "*"},
        allow(["iam:*", "organizations:Describe*"]),
    )
    someone = user("x", managed_arns=(), inline={"p": power})
    assert is_admin(someone, account()) is True
    assert is_admin(user("x", managed_arns=(), inline={"p": NO_IAM}), account()) is False
    assert is_admin(user("x", managed_arns=(OWN_ADMIN,)), account()) is None


def test_touching_more_never_opens_a_path():
    member, above = reached_through(by_aws(MANAGEMENT))
    objects = [
        ("iam-role", MEMBER, "BreakGlass"),
        ("iam-role", MANAGEMENT, "Hub"),
        ("iam-user", MANAGEMENT, "admin"),
        ("trust-statement", MEMBER, "Other/X"),
        ("okta-app", "main", "aws"),
    ]
    on_the_path = set(objects[:3])
    for count in range(len(objects) + 1):
        for touched in itertools.combinations(objects, count):
            verdict = independent_admin_paths(
                member, above, okta_provider_arns=frozenset({OKTA}), touched=frozenset(touched)
            )
            assert verdict.ok is on_the_path.isdisjoint(touched)


def test_a_refusal_stays_readable():
    roles = [role(f"Admin{n}", by_saml(OKTA)) for n in range(30)]
    why = judge(account(roles=roles)).why
    assert why.endswith("and 23 more")
