"""The decision order, on situations of the IAM User Guide's pages on policy evaluation."""

from __future__ import annotations

import pytest

from ostiary.model.policy import (
    AuthRequest,
    Caller,
    Policies,
    assume_decision,
    decide,
    trust_decision,
)

ACCOUNT, OTHER = "111122223333", "444455556666"
USER = f"arn:aws:iam::{ACCOUNT}:user/carlossalazar"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/examplerole"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/examplerole/sessionname"
BUCKET = "arn:aws:s3:::carlossalazar/notes.txt"


def doc(*statements, version="2012-10-17"):
    return {"Version": version, "Statement": list(statements)}


def allow(action="s3:*", resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action="s3:*", resource="*", **more):
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


def to(principal, **more):
    return doc({"Effect": "Allow", "Principal": principal, "Action": "s3:*", **more})


def ask(action="s3:PutObject", resource=BUCKET, principal=USER, **context):
    return AuthRequest(principal, ACCOUNT, action, resource, context)


ALLOW = doc(allow())


@pytest.mark.parametrize(
    ("policies", "reason"),
    [
        (Policies(), "no identity-based policy allows the s3:PutObject action"),
        (Policies(identity=(ALLOW,), boundary=doc()), "no permissions boundary allows the s3:PutO"),
        (Policies(identity=(ALLOW,), session=()), "no session policy allows the s3:PutObject"),
        (Policies(identity=(ALLOW,), scps=((doc(),),)), "no service control policy allows the"),
        (Policies(identity=(ALLOW,), scps=((ALLOW,), (doc(),))), "no service control policy"),
        (Policies(identity=(ALLOW,), resource_account=OTHER), "no resource-based policy allows"),
        (Policies(identity=(ALLOW, doc(deny()))), "explicit deny in an identity-based policy"),
        (Policies(identity=(ALLOW,), boundary=doc(deny())), "explicit deny in a permissions bound"),
        (Policies(identity=(ALLOW,), session=(doc(deny()),)), "explicit deny in a session policy"),
        (Policies(identity=(ALLOW,), scps=((ALLOW, doc(deny())),)), "explicit deny in a service c"),
        (
            Policies(identity=(ALLOW,), resource=doc(deny() | {"Principal": "*"})),
            "explicit deny in a resource-based policy",
        ),
    ],
)
def test_refusals_in_the_words_of_aws(policies, reason):
    decision = decide(ask(), policies)
    assert not decision.allowed
    assert decision.reason.startswith(reason)


def test_because_ends_the_sentence_of_aws():
    assert decide(ask(), Policies()).because == (
        "because no identity-based policy allows the s3:PutObject action"
    )
    denied = decide(ask(), Policies(identity=(doc(deny(Sid="No")),)))
    assert denied.because == "with an explicit deny in an identity-based policy"
    assert denied.sid == "No"


def test_all_layers_allowing():
    assert decide(
        ask(), Policies(identity=(ALLOW,), boundary=ALLOW, session=(ALLOW,), scps=((ALLOW,),))
    ).allowed


def test_a_single_statement_may_stand_without_a_list():
    assert decide(ask(), Policies(identity=({"Statement": allow()},))).allowed


def test_the_guides_example_of_identity_and_resource_policy():
    identity = doc(
        allow(["s3:GetBucketLocation", "s3:ListAllMyBuckets"], "arn:aws:s3:::*"),
        allow("s3:*", ["arn:aws:s3:::carlossalazar/*", "arn:aws:s3:::carlossalazar"]),
        deny("s3:*", "arn:aws:s3:::*log*"),
    )
    policies = Policies(identity=(identity,))
    assert decide(ask(), policies).allowed
    assert decide(ask("s3:ListAllMyBuckets", "arn:aws:s3:::any"), policies).allowed
    logs = ask(resource="arn:aws:s3:::carlossalazar-logs/x")
    assert decide(logs, policies).reason.startswith("explicit deny")
    assert not decide(ask(resource="arn:aws:s3:::elsewhere/x"), policies).allowed


# A resource-based policy in the caller's account: what may still limit it depends on whom it names.
LIMITS = {
    "identity": Policies(),
    "boundary": Policies(identity=(ALLOW,), boundary=doc()),
    "session": Policies(identity=(ALLOW,), session=()),
}


@pytest.mark.parametrize(
    ("named", "principal", "allowed_despite"),
    [
        (USER, USER, {"identity", "boundary", "session"}),
        (SESSION, SESSION, {"identity", "boundary", "session"}),
        (ROLE, SESSION, {"identity"}),
        (ACCOUNT, USER, set()),
        (f"arn:aws:iam::{ACCOUNT}:root", SESSION, set()),
        ("*", USER, {"identity", "boundary", "session"}),
        ("*", SESSION, {"identity"}),
        (f"arn:aws:iam::{ACCOUNT}:user/another", USER, set()),
    ],
)
def test_what_limits_a_grant_within_the_account(named, principal, allowed_despite):
    for layer, policies in LIMITS.items():
        granting = Policies(
            policies.identity, policies.boundary, policies.session, to({"AWS": named})
        )
        assert decide(ask(principal=principal), granting).allowed is (layer in allowed_despite)


def test_across_accounts_both_sides_must_allow():
    for named in (USER, ACCOUNT, "*"):
        both = Policies(identity=(ALLOW,), resource=to({"AWS": named}), resource_account=OTHER)
        assert decide(ask(), both).allowed
        only = Policies(resource=to({"AWS": named}), resource_account=OTHER)
        assert decide(ask(), only).reason.startswith("no identity-based policy")


def test_root_needs_no_policy_but_obeys_control_policies():
    root = ask(principal=f"arn:aws:iam::{ACCOUNT}:root")
    assert decide(root, Policies()).allowed
    assert not decide(root, Policies(scps=((doc(deny()), ALLOW),))).allowed


@pytest.mark.parametrize(
    ("action", "asked", "applies"),
    [
        ("IAM:getrole", "iam:GetRole", True),
        ("iam:Get*", "iam:GetRole", True),
        ("iam:*Role", "iam:GetRole", True),
        ("iam:Get?ole", "iam:GetRole", True),
        ("iam:Get", "iam:GetRole", False),
        ("*", "iam:GetRole", True),
        ("*:GetRole", "iam:GetRole", True),
        (["s3:*", "iam:GetRole"], "iam:GetRole", True),
        ("iam.GetRole", "iam:GetRole", False),
        ([], "iam:GetRole", False),
    ],
)
def test_actions_ignore_case_and_take_wildcards(action, asked, applies):
    policies = Policies(identity=(doc(allow(action)),))
    assert decide(ask(asked), policies).allowed is applies
    inverse = doc({"Effect": "Allow", "NotAction": action, "Resource": "*"})
    assert decide(ask(asked), Policies(identity=(inverse,))).allowed is not applies


@pytest.mark.parametrize(
    ("resource", "applies"),
    [
        ("*", True),
        ("arn:aws:s3:::carlossalazar/*", True),
        ("arn:aws:s3:::carlossalazar/not?s.txt", True),
        ("arn:aws:s3:::CarlosSalazar/*", False),
        ("arn:aws:s3:::carlossalazar", False),
        (["arn:aws:s3:::a", BUCKET], True),
        ("arn:aws:s3:::${aws:username}/*", True),
        ("arn:aws:s3:::${AWS:UserName}/*", True),
        ("arn:aws:s3:::${aws:PrincipalTag/team, 'carlossalazar'}/*", True),
        ("arn:aws:s3:::${aws:PrincipalTag/team}/*", False),
        ("arn:aws:s3:::${*}/*", False),
    ],
)
def test_resources_keep_case_and_take_variables(resource, applies):
    context = {"aws:username": "carlossalazar"}
    policies = Policies(identity=(doc(allow(resource=resource)),))
    assert decide(ask(**context), policies).allowed is applies
    inverse = doc({"Effect": "Deny", "Action": "*", "NotResource": resource})
    unresolved = "team}" in str(resource)
    denied = not decide(ask(**context), Policies(identity=(ALLOW, inverse))).allowed
    assert denied is (not applies or unresolved)


def test_not_resource_with_a_variable_without_value_does_not_allow():
    inverse = doc({"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::${aws:x}/*"})
    assert not decide(ask(), Policies(identity=(inverse,))).allowed


def test_variables_are_texts_before_2012():
    old = doc(allow(resource="arn:aws:s3:::${aws:username}/*"), version="2008-10-17")
    asked = ask(**{"aws:username": "carlossalazar"})
    assert not decide(asked, Policies(identity=(old,))).allowed
    literally = ask(resource="arn:aws:s3:::${aws:username}/x")
    assert decide(literally, Policies(identity=(old,))).allowed


def test_what_a_variable_brings_in_is_no_wildcard():
    mine = doc(allow(resource="arn:aws:s3:::${aws:PrincipalTag/team}/*"))
    assert not decide(ask(**{"aws:PrincipalTag/team": "*"}), Policies(identity=(mine,))).allowed
    star = ask(resource="arn:aws:s3:::*/x", **{"aws:PrincipalTag/team": "*"})
    assert decide(star, Policies(identity=(mine,))).allowed


def test_principal_keys_are_there_without_being_given():
    for value in (ROLE, f"arn:aws:iam::{ACCOUNT}:role/*"):
        named = allow(Condition={"ArnLike": {"aws:PrincipalArn": value}})
        assert decide(ask(principal=SESSION), Policies(identity=(doc(named),))).allowed
    home = allow(Condition={"StringEquals": {"aws:ResourceAccount": "${aws:PrincipalAccount}"}})
    assert decide(ask(), Policies(identity=(doc(home),))).allowed


def test_not_principal_denies_all_but_the_one_listed_whole():
    def denying(*names):
        return doc({"Effect": "Deny", "NotPrincipal": {"AWS": list(names)}, "Action": "s3:*"})

    def allowed(principal, *names):
        policies = Policies(identity=(ALLOW,), resource=denying(*names))
        return decide(ask(principal=principal), policies).allowed

    root = f"arn:aws:iam::{ACCOUNT}:root"
    assert allowed(USER, USER, root)
    assert not allowed(USER, USER)
    assert not allowed(USER, f"arn:aws:iam::{OTHER}:user/x", f"arn:aws:iam::{OTHER}:root")
    assert allowed(SESSION, SESSION, ROLE, root)
    assert not allowed(SESSION, ROLE, root)


# Trust policies.
SAML = f"arn:aws:iam::{ACCOUNT}:saml-provider/Okta"
AUDIENCE = {"SAML:aud": "https://signin.aws.amazon.com/saml"}


def trust(principal, action="sts:AssumeRole", effect="Allow", **more):
    return doc({"Effect": effect, "Principal": principal, "Action": action, **more})


def test_saml_trust():
    okta = trust(
        {"Federated": SAML}, "sts:AssumeRoleWithSAML", Condition={"StringEquals": AUDIENCE}
    )

    def allowed(provider=SAML, action="sts:AssumeRoleWithSAML", context=AUDIENCE):
        caller = Caller("federated", provider)
        return trust_decision(okta, caller=caller, action=action, context=context)

    assert allowed().allowed
    assert not allowed().delegates
    assert not allowed(provider=SAML + "2").allowed
    assert not allowed(action="sts:AssumeRole").allowed
    assert not allowed(action="sts:TagSession").allowed
    assert not allowed(context={}).allowed
    assert not allowed(context={"SAML:aud": "https://signin.amazonaws-us-gov.com/saml"}).allowed
    assert allowed(context={"saml:AUD": AUDIENCE["SAML:aud"]}).allowed


def test_a_federated_caller_is_not_everybody():
    for everybody in ("*", {"AWS": "*"}, {"Federated": "*"}):
        open_door = trust(everybody, "sts:AssumeRoleWithSAML")
        caller = Caller("federated", SAML)
        assert not trust_decision(
            open_door, caller=caller, action="sts:AssumeRoleWithSAML", context={}
        ).allowed


def test_service_trust():
    ec2 = trust({"Service": ["ec2.amazonaws.com", "lambda.amazonaws.com"]})
    for service, expected in (("ec2.amazonaws.com", True), ("ecs.amazonaws.com", False)):
        caller = Caller("service", service)
        assert (
            trust_decision(ec2, caller=caller, action="sts:AssumeRole", context={}).allowed
            is expected
        )


@pytest.mark.parametrize(
    ("named", "caller", "allowed", "delegates"),
    [
        (USER, Caller.of(USER), True, False),
        (ACCOUNT, Caller.of(USER), True, True),
        (f"arn:aws:iam::{ACCOUNT}:root", Caller.of(SESSION), True, True),
        (f"arn:aws-us-gov:iam::{ACCOUNT}:root", Caller.of(SESSION), True, True),
        (ROLE, Caller.of(SESSION), True, False),
        (SESSION, Caller.of(SESSION), True, False),
        (SESSION + "x", Caller.of(SESSION), False, False),
        ("AROAEXAMPLEID0001", Caller.of(SESSION), False, False),
        ("AROAEXAMPLEID0001", Caller("aws", ROLE, ACCOUNT, SESSION, "AROAEXAMPLEID0001"), True, False),
        (OTHER, Caller.of(USER), False, False),
        (f"arn:aws:iam::{ACCOUNT}:user/*", Caller.of(USER), False, False),
        (USER, Caller("anonymous", ""), False, False),
    ],
)  # fmt: skip
def test_aws_trust_within_the_account(named, caller, allowed, delegates):
    decision = trust_decision(
        trust({"AWS": named}), caller=caller, action="sts:AssumeRole", context={}
    )
    assert (decision.allowed, decision.delegates) == (allowed, delegates)


def test_trust_across_accounts_always_delegates():
    decision = trust_decision(
        trust({"AWS": USER}),
        caller=Caller.of(USER),
        action="sts:AssumeRole",
        context={},
        role_account=OTHER,
    )
    assert decision.allowed
    assert decision.delegates


def test_deny_in_a_trust_policy():
    statements = [
        *trust({"AWS": ACCOUNT})["Statement"],
        *trust({"AWS": "*"}, effect="Deny", Sid="Nobody")["Statement"],
    ]
    decision = trust_decision(
        doc(*statements), caller=Caller.of(USER), action="sts:AssumeRole", context={}
    )
    assert decision.reason == "explicit deny in a role trust policy"
    assert decision.sid == "Nobody"


def test_root_may_not_assume_roles():
    root = f"arn:aws:iam::{ACCOUNT}:root"
    decision = trust_decision(
        trust({"AWS": ACCOUNT}), caller=Caller.of(root), action="sts:AssumeRole", context={}
    )
    assert decision.reason == "roles may not be assumed by root accounts"


@pytest.mark.parametrize(
    ("named", "home", "identity", "allowed"),
    [
        (USER, ACCOUNT, (), True),
        (ACCOUNT, ACCOUNT, (), False),
        (ACCOUNT, ACCOUNT, (doc(allow("sts:AssumeRole")),), True),
        (OTHER, ACCOUNT, (doc(allow("sts:AssumeRole")),), False),
        (USER, OTHER, (), False),
        (USER, OTHER, (doc(allow("sts:AssumeRole")),), True),
        (USER, ACCOUNT, (doc(deny("sts:*")),), False),
    ],
)
def test_trust_and_callers_policies_together(named, home, identity, allowed):
    request = ask("sts:AssumeRole", f"arn:aws:iam::{home}:role/target")
    decision = assume_decision(request, trust({"AWS": named}), Policies(identity=identity))
    assert decision.allowed is allowed


def test_external_id_against_the_confused_deputy():
    guarded = trust({"AWS": OTHER}, Condition={"StringEquals": {"sts:ExternalId": "12345"}})
    caller = Caller.of(f"arn:aws:iam::{OTHER}:role/vendor")
    for context, expected in (({"sts:ExternalId": "12345"}, True), ({}, False)):
        assert (
            trust_decision(guarded, caller=caller, action="sts:AssumeRole", context=context).allowed
            is expected
        )
