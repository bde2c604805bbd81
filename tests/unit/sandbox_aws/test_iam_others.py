"""SAML providers, customer policies, users, groups and the account itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from ostiary.saml.metadata import render

MANAGEMENT = "111111111111"
DOCUMENT = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "iam:Get*", "Resource": "*"}],
    }
)


@pytest.fixture(scope="module")
def metadata() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return render("http://www.okta.com/exk1", certificate, "https://acme.okta.com/app/x/sso/saml")


def test_saml_providers(iam, metadata, refusal):
    tags = [{"Key": "ostiary:estate", "Value": "acme"}]
    arn = iam.create_saml_provider(Name="Okta", SAMLMetadataDocument=metadata, Tags=tags)[
        "SAMLProviderArn"
    ]
    assert arn == f"arn:aws:iam::{MANAGEMENT}:saml-provider/Okta"
    shown = iam.get_saml_provider(SAMLProviderArn=arn)
    assert shown["SAMLMetadataDocument"] == metadata
    assert shown["Tags"] == tags
    assert refusal(iam.create_saml_provider, Name="OKTA", SAMLMetadataDocument=metadata)[0] == (
        "EntityAlreadyExists"
    )
    assert [one["Arn"] for one in iam.list_saml_providers()["SAMLProviderList"]] == [arn]
    iam.update_saml_provider(
        SAMLProviderArn=arn, SAMLMetadataDocument=metadata.replace("exk1", "exk2")
    )
    assert "exk2" in iam.get_saml_provider(SAMLProviderArn=arn)["SAMLMetadataDocument"]
    iam.tag_saml_provider(SAMLProviderArn=arn, Tags=[{"Key": "a", "Value": "b"}])
    iam.untag_saml_provider(SAMLProviderArn=arn, TagKeys=["ostiary:estate"])
    assert iam.list_saml_provider_tags(SAMLProviderArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    iam.delete_saml_provider(SAMLProviderArn=arn)
    assert refusal(iam.get_saml_provider, SAMLProviderArn=arn)[0] == "NoSuchEntity"


def test_junk_metadata_is_refused(iam, metadata, refusal):
    for text in ("x" * 1000, f"<a>{'x' * 1000}</a>", "\ufeff" + metadata):
        name, said = refusal(iam.create_saml_provider, Name="Okta", SAMLMetadataDocument=text)
        assert name == "InvalidInput"
        assert said.startswith("Could not parse metadata")
    short = refusal(iam.create_saml_provider, Name="Okta", SAMLMetadataDocument="x" * 999)
    assert short[0] == "ValidationError"


def test_customer_policies_have_five_versions(iam, refusal):
    arn = iam.create_policy(PolicyName="own", PolicyDocument=DOCUMENT)["Policy"]["Arn"]
    for _ in range(4):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=DOCUMENT, SetAsDefault=True)
    call = iam.create_policy_version
    assert refusal(call, PolicyArn=arn, PolicyDocument=DOCUMENT)[0] == "LimitExceeded"
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v5"
    assert refusal(iam.delete_policy_version, PolicyArn=arn, VersionId="v5")[0] == "DeleteConflict"
    assert refusal(iam.delete_policy, PolicyArn=arn)[0] == "DeleteConflict"
    for number in range(1, 5):
        iam.delete_policy_version(PolicyArn=arn, VersionId=f"v{number}")
    iam.delete_policy(PolicyArn=arn)
    assert refusal(iam.get_policy, PolicyArn=arn)[0] == "NoSuchEntity"


def test_policies_of_aws_can_be_read(iam, refusal):
    arn = "arn:aws:iam::aws:policy/job-function/ViewOnlyAccess"
    policy = iam.get_policy(PolicyArn=arn)["Policy"]
    version = iam.get_policy_version(PolicyArn=arn, VersionId=policy["DefaultVersionId"])
    assert version["PolicyVersion"]["Document"]["Statement"]
    names = {one["PolicyName"] for one in iam.list_policies(Scope="AWS")["Policies"]}
    assert {"AdministratorAccess", "ReadOnlyAccess", "SecurityAudit"} <= names
    assert refusal(iam.delete_policy, PolicyArn=arn)[0] == "AccessDenied"


def test_users_keys_and_groups(iam, connect, refusal):
    iam.create_user(UserName="glass", Path="/break/")
    iam.put_user_policy(UserName="glass", PolicyName="look", PolicyDocument=DOCUMENT)
    key = iam.create_access_key(UserName="glass")["AccessKey"]
    glass = connect("iam", (key["AccessKeyId"], key["SecretAccessKey"]))
    assert glass.get_user()["User"]["Arn"].endswith(":user/break/glass")
    assert refusal(glass.list_users)[0] == "AccessDenied"
    iam.create_group(GroupName="watch")
    iam.attach_group_policy(
        GroupName="watch", PolicyArn="arn:aws:iam::aws:policy/IAMReadOnlyAccess"
    )
    iam.add_user_to_group(GroupName="watch", UserName="glass")
    assert {user["UserName"] for user in glass.list_users()["Users"]} == {"admin", "glass"}
    assert iam.list_groups_for_user(UserName="glass")["Groups"][0]["GroupName"] == "watch"
    iam.create_login_profile(UserName="glass", Password="correct horse")
    iam.create_access_key(UserName="glass")
    assert refusal(iam.create_access_key, UserName="glass")[0] == "LimitExceeded"
    assert refusal(iam.delete_user, UserName="glass")[0] == "DeleteConflict"
    iam.delete_access_key(UserName="glass", AccessKeyId=key["AccessKeyId"])
    assert refusal(glass.get_user)[0] == "InvalidClientTokenId"


def test_the_account_has_one_alias(iam, refusal, world):
    assert refusal(iam.create_account_alias, AccountAlias="123456789012")[0] == "InvalidInput"
    assert refusal(iam.create_account_alias, AccountAlias="member")[0] == "EntityAlreadyExists"
    iam.create_account_alias(AccountAlias="acme")
    assert iam.list_account_aliases()["AccountAliases"] == ["acme"]
    iam.delete_account_alias(AccountAlias="acme")
    assert iam.list_account_aliases()["AccountAliases"] == []
    assert iam.get_account_summary()["SummaryMap"]["RolesQuota"] == 1000


def test_simulation_says_why_not(iam):
    iam.create_user(UserName="u")
    iam.put_user_policy(UserName="u", PolicyName="look", PolicyDocument=DOCUMENT)
    results = iam.simulate_principal_policy(
        PolicySourceArn=f"arn:aws:iam::{MANAGEMENT}:user/u",
        ActionNames=["iam:GetRole", "iam:DeleteRole"],
    )["EvaluationResults"]
    assert [one["EvalDecision"] for one in results] == ["allowed", "implicitDeny"]
