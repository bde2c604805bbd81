"""What the embedded KMS makes of key policies, states and conditions: as real KMS refuses it, with its own codes."""

from __future__ import annotations

import json

import pytest
from aws_world import MANAGEMENT, SHARED, small_organization
from botocore.exceptions import ClientError

from ostiary.aws.credentials import Credentials
from ostiary.aws.session import Aws

ROOT = {"AWS": f"arn:aws:iam::{MANAGEMENT}:root"}
SIGNER = f"arn:aws:iam::{MANAGEMENT}:user/signer"
ADMIN = {"Effect": "Allow", "Principal": ROOT, "Action": "kms:*", "Resource": "*"}


@pytest.fixture
def site(monkeypatch):
    return small_organization(monkeypatch)


@pytest.fixture
def kms(site):
    return site.aws.client("kms")


@pytest.fixture
def signer(site):
    """Somebody whose own policies allow nothing."""
    key, secret = site.cloud.add_user(MANAGEMENT, "signer", [])
    aws = Aws(clients=SHARED)
    who = Credentials(key, secret)

    def call(operation, **params):
        return aws.call("kms", operation, credentials=who, repeatable=True, within=1, **params)

    return call


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def signs(**conditions):
    allowed = {"Effect": "Allow", "Principal": {"AWS": SIGNER}, "Action": ["kms:Sign"]}
    limits = {"StringEquals": {f"kms:{name}": value for name, value in conditions.items()}}
    return allowed | {"Resource": "*", "Condition": limits}


def create(kms, policy, **more):
    asked = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY", "Policy": policy} | more
    return kms.create_key(**asked)["KeyMetadata"]["Arn"]


def refusal(call, *arguments, **params):
    with pytest.raises(ClientError) as refused:
        call(*arguments, **params)
    return refused.value.response["Error"]["Code"]


def denied(signer, arn, **change):
    asked = {"KeyId": arn, "Message": b"x" * 32, "MessageType": "RAW"}
    with pytest.raises(Exception, match="AccessDeniedException") as refused:
        signer("sign", **asked | {"SigningAlgorithm": "ECDSA_SHA_256"} | change)
    return refused.value


def test_a_key_policy_lets_in_by_itself_and_within_its_conditions(kms, signer):
    policy = document(ADMIN, signs(SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256", MessageType="RAW"))
    arn = create(kms, policy, KeySpec="RSA_2048")
    asked = {"KeyId": arn, "Message": b"x" * 32}
    good = asked | {"SigningAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256"}
    for kind in ({}, {"MessageType": "RAW"}):
        assert signer("sign", **good | kind)["Signature"]
    denied(signer, arn, SigningAlgorithm="RSASSA_PSS_SHA_256")
    denied(signer, arn, SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256", MessageType="DIGEST")
    with pytest.raises(Exception, match="kms:GetPublicKey"):
        signer("get_public_key", KeyId=arn)


def test_without_the_account_in_the_policy_no_policy_of_iam_counts(kms, site):
    closed = {"Effect": "Allow", "Principal": {"AWS": SIGNER}, "Action": "kms:*", "Resource": "*"}
    site.cloud.add_user(MANAGEMENT, "signer", [])
    arn = create(kms, document(closed), BypassPolicyLockoutSafetyCheck=True)
    assert refusal(kms.describe_key, KeyId=arn) == "AccessDeniedException"
    open_arn = create(kms, document(ADMIN))
    assert kms.describe_key(KeyId=open_arn)["KeyMetadata"]["KeyState"] == "Enabled"


def test_what_the_policy_denies_is_denied_the_administrator_too(kms):
    kept = {**ADMIN, "Effect": "Deny", "Action": ["kms:ScheduleKeyDeletion", "kms:DisableKey"]}
    arn = create(kms, document(ADMIN, kept))
    assert refusal(kms.schedule_key_deletion, KeyId=arn) == "AccessDeniedException"
    assert refusal(kms.disable_key, KeyId=arn) == "AccessDeniedException"


@pytest.mark.parametrize(
    "policy",
    [
        "{",
        "[]",
        document({"Effect": "Allow", "Principal": ROOT, "Action": "kms:*"}),
        document({**ADMIN, "Principal": {"AWS": f"arn:aws:iam::{MANAGEMENT}:role/none"}}),
        document({**ADMIN, "Principal": {"AWS": "ada"}}),
        document({**ADMIN, "Action": "kms:Sign"}),
        document(ADMIN, {**ADMIN, "Effect": "Deny", "Action": "kms:PutKeyPolicy"}),
    ],
)
def test_policies_that_kms_does_not_take(kms, policy):
    assert refusal(create, kms, policy) == "MalformedPolicyDocumentException"
    arn = create(kms, document(ADMIN))
    code = refusal(kms.put_key_policy, KeyId=arn, PolicyName="default", Policy=policy)
    assert code == "MalformedPolicyDocumentException"
    assert json.loads(kms.get_key_policy(KeyId=arn)["Policy"])["Statement"] == [ADMIN]


def test_usages_and_specs_that_do_not_go_together(kms):
    for spec, usage in (
        ("ECC_NIST_P256", None),
        ("RSA_2048", None),
        ("ECC_NIST_P256", "ENCRYPT_DECRYPT"),
        ("SYMMETRIC_DEFAULT", "SIGN_VERIFY"),
    ):
        asked = {"KeySpec": spec} | ({"KeyUsage": usage} if usage else {})
        assert refusal(kms.create_key, **asked) == "ValidationException"
    assert kms.create_key()["KeyMetadata"]["KeyUsage"] == "ENCRYPT_DECRYPT"


def test_the_states_of_a_key(kms):
    arn = create(kms, document(ADMIN))
    sign = {"KeyId": arn, "Message": b"x", "SigningAlgorithm": "ECDSA_SHA_256"}
    kms.disable_key(KeyId=arn)
    assert refusal(kms.sign, **sign) == "DisabledException"
    assert kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "Disabled"
    kms.enable_key(KeyId=arn)
    for days in (6, 31):
        asked = {"KeyId": arn, "PendingWindowInDays": days}
        assert refusal(kms.schedule_key_deletion, **asked) == "ValidationException"
    told = kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)
    assert (told["KeyId"], told["KeyState"]) == (arn, "PendingDeletion")
    assert refusal(kms.sign, **sign) == "KMSInvalidStateException"
    assert refusal(kms.enable_key, KeyId=arn) == "KMSInvalidStateException"
    kms.cancel_key_deletion(KeyId=arn)
    assert refusal(kms.cancel_key_deletion, KeyId=arn) == "KMSInvalidStateException"
    kms.enable_key(KeyId=arn)
    assert kms.sign(**sign)["Signature"]


def test_aliases_are_given_once_and_taken_by_whom_may(kms, signer):
    arn, other = create(kms, document(ADMIN)), create(kms, document(ADMIN))
    kms.create_alias(AliasName="alias/ostiary/prod", TargetKeyId=arn)
    again = {"AliasName": "alias/ostiary/prod", "TargetKeyId": other}
    assert refusal(kms.create_alias, **again) == "AlreadyExistsException"
    with pytest.raises(Exception, match="AccessDenied"):
        signer("delete_alias", AliasName="alias/ostiary/prod")
    kms.delete_alias(AliasName="alias/ostiary/prod")
    assert refusal(kms.describe_key, KeyId="alias/ostiary/prod") == "NotFoundException"


def test_an_alias_moves_where_both_keys_let_it(kms):
    alias = {"AliasName": "alias/ostiary/prod"}
    kept = {**ADMIN, "Effect": "Deny", "Action": "kms:UpdateAlias"}
    one, other, held = (create(kms, document(ADMIN, *more)) for more in ((), (), (kept,)))
    assert refusal(kms.update_alias, **alias, TargetKeyId=one) == "NotFoundException"
    kms.create_alias(**alias, TargetKeyId=one)
    assert refusal(kms.update_alias, **alias, TargetKeyId=held) == "AccessDeniedException"
    for _ in range(2):
        kms.update_alias(**alias, TargetKeyId=other)
        assert kms.describe_key(KeyId=alias["AliasName"])["KeyMetadata"]["Arn"] == other
    policy = document(ADMIN, kept)
    kms.put_key_policy(KeyId=other, PolicyName="default", Policy=policy)
    assert refusal(kms.update_alias, **alias, TargetKeyId=one) == "AccessDeniedException"
    kms.schedule_key_deletion(KeyId=one, PendingWindowInDays=7)
    kms.put_key_policy(KeyId=other, PolicyName="default", Policy=document(ADMIN))
    assert refusal(kms.update_alias, **alias, TargetKeyId=one) == "KMSInvalidStateException"


@pytest.mark.parametrize(
    ("spec", "usage", "moves"),
    [
        ("RSA_2048", "SIGN_VERIFY", True),
        ("RSA_2048", "ENCRYPT_DECRYPT", False),
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", False),
        ("HMAC_256", "GENERATE_VERIFY_MAC", False),
    ],
)
def test_an_alias_moves_to_a_key_of_the_same_type_and_usage_only(kms, spec, usage, moves):
    """KMS Developer Guide, "Update aliases": of another family it may be."""
    alias = {"AliasName": "alias/ostiary/prod"}
    first = create(kms, document(ADMIN))
    other = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["Arn"]
    kms.create_alias(**alias, TargetKeyId=first)
    if moves:
        kms.update_alias(**alias, TargetKeyId=other)
    else:
        assert refusal(kms.update_alias, **alias, TargetKeyId=other) == "ValidationException"
    now = kms.describe_key(KeyId=alias["AliasName"])["KeyMetadata"]["Arn"]
    assert now == (other if moves else first)


def test_tags_are_kept_and_are_conditions(kms, site, signer):
    site.cloud.add_user(MANAGEMENT, "other", [])
    tagged = {
        "Effect": "Allow",
        "Principal": {"AWS": SIGNER},
        "Action": "kms:Sign",
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:ResourceTag/team": "blue"}},
    }
    arn = create(kms, document(ADMIN, tagged), Tags=[{"TagKey": "team", "TagValue": "red"}])
    denied(signer, arn)
    kms.tag_resource(KeyId=arn, Tags=[{"TagKey": "team", "TagValue": "blue"}])
    listed = kms.list_resource_tags(KeyId=arn)["Tags"]
    assert listed == [{"TagKey": "team", "TagValue": "blue"}]
    signer("sign", KeyId=arn, Message=b"x", SigningAlgorithm="ECDSA_SHA_256")
    kms.untag_resource(KeyId=arn, TagKeys=["team"])
    denied(signer, arn)
