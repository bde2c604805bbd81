"""S3 and KMS behind the front: account, authorization, conditional writes, one state per cloud."""

from __future__ import annotations

from io import BytesIO

import pytest

from ostiary.sandbox.aws.state import Cloud
from ostiary.sandbox.world import World

MANAGEMENT, MEMBER = "111111111111", "222222222222"


@pytest.fixture
def member(sts, connect):
    keys = sts.assume_role(
        RoleArn=f"arn:aws:iam::{MEMBER}:role/OrganizationAccountAccessRole", RoleSessionName="one"
    )["Credentials"]
    return lambda service: connect(service, keys)


@pytest.fixture
def s3(connect, admin):
    return connect("s3", admin)


@pytest.mark.parametrize(
    "url", [None, "http://127.0.0.1:4566", "https://localhost:4566", "https://aws.localhost:4566"]
)
def test_objects_by_path_and_by_host(connect, admin, url):
    s3 = connect("s3", admin, url=url)
    s3.create_bucket(Bucket="acme-runs")
    s3.put_object(Bucket="acme-runs", Key="runs/a b+c/journal", Body=b"one")
    assert s3.get_object(Bucket="acme-runs", Key="runs/a b+c/journal")["Body"].read() == b"one"
    assert s3.head_object(Bucket="acme-runs", Key="runs/a b+c/journal")["ContentLength"] == 3
    listed = s3.list_objects_v2(Bucket="acme-runs", Prefix="runs/")["Contents"]
    assert [one["Key"] for one in listed] == ["runs/a b+c/journal"]
    s3.delete_object(Bucket="acme-runs", Key="runs/a b+c/journal")
    assert s3.list_objects_v2(Bucket="acme-runs")["KeyCount"] == 0


def test_streams_and_strange_keys(s3):
    s3.create_bucket(Bucket="acme-runs")
    body = bytes(range(256)) * 400
    for key in ("stream", "/a//b", "ü?&=#%41.txt", "x/"):
        s3.put_object(Bucket="acme-runs", Key=key, Body=BytesIO(body))
        assert s3.get_object(Bucket="acme-runs", Key=key)["Body"].read() == body
    assert s3.list_objects_v2(Bucket="acme-runs")["KeyCount"] == 4


def test_conditional_writes(s3, refusal):
    s3.create_bucket(Bucket="acme-runs")
    put = {"Bucket": "acme-runs", "Key": "lease"}
    etag = s3.put_object(**put, Body=b"one", IfNoneMatch="*")["ETag"]
    assert refusal(s3.put_object, **put, Body=b"two", IfNoneMatch="*")[0] == "PreconditionFailed"
    again = s3.put_object(**put, Body=b"two", IfMatch=etag)["ETag"]
    assert refusal(s3.put_object, **put, Body=b"x", IfMatch=etag)[0] == "PreconditionFailed"
    assert s3.get_object(**put)["Body"].read() == b"two"
    s3.put_object(**put, Body=b"three", IfMatch=again)
    assert refusal(s3.get_object, Bucket="acme-runs", Key="none")[0] == "NoSuchKey"


def test_bucket_settings(s3, refusal, connect, admin):
    s3.create_bucket(Bucket="acme-runs")
    s3.head_bucket(Bucket="acme-runs")
    assert s3.get_bucket_location(Bucket="acme-runs").get("LocationConstraint") is None
    s3.put_public_access_block(
        Bucket="acme-runs",
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    s3.put_bucket_encryption(
        Bucket="acme-runs",
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]
        },
    )
    wrong = {"LocationConstraint": "us-east-1"}
    call = s3.create_bucket
    assert refusal(call, Bucket="other", CreateBucketConfiguration=wrong)[0] == (
        "InvalidLocationConstraint"
    )


def test_a_bucket_is_closed_to_other_accounts_and_to_who_may_not(
    s3, member, world, connect, refusal
):
    s3.create_bucket(Bucket="acme-runs")
    s3.put_object(Bucket="acme-runs", Key="a", Body=b"one")
    other = member("s3")
    assert refusal(other.get_object, Bucket="acme-runs", Key="a")[0] == "AccessDenied"
    assert refusal(other.create_bucket, Bucket="acme-runs")[0] == "BucketAlreadyExists"
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::acme-runs/b*"}
        ],
    }
    reader = connect("s3", world.aws.add_user(MANAGEMENT, "reader", [policy]))
    assert refusal(reader.get_object, Bucket="acme-runs", Key="a")[0] == "AccessDenied"
    assert refusal(reader.put_object, Bucket="acme-runs", Key="b", Body=b"")[0] == "AccessDenied"
    assert refusal(reader.get_object, Bucket="acme-runs", Key="b")[0] == "NoSuchKey"


def test_keys_of_kms(connect, admin, member, world, refusal):
    kms = connect("kms", admin)
    key = kms.create_key()["KeyMetadata"]
    assert key["AWSAccountId"] == MANAGEMENT
    kms.create_alias(AliasName="alias/ostiary", TargetKeyId=key["KeyId"])
    assert kms.describe_key(KeyId="alias/ostiary")["KeyMetadata"]["Arn"] == key["Arn"]
    data = kms.generate_data_key(KeyId="alias/ostiary", KeySpec="AES_256")
    plain = kms.decrypt(CiphertextBlob=data["CiphertextBlob"])["Plaintext"]
    assert plain == data["Plaintext"]
    assert refusal(member("kms").describe_key, KeyId=key["Arn"])[0] == "AccessDeniedException"
    assert refusal(member("kms").describe_key, KeyId="alias/ostiary")[0] == "NotFoundException"
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "kms:Encrypt", "Resource": key["Arn"]}],
    }
    clerk = connect("kms", world.aws.add_user(MANAGEMENT, "clerk", [policy]))
    blob = clerk.encrypt(KeyId="alias/ostiary", Plaintext=b"one")["CiphertextBlob"]
    assert refusal(clerk.decrypt, CiphertextBlob=blob)[0] == "AccessDeniedException"


def test_every_cloud_has_its_own_objects(s3, world, connect, admin):
    s3.create_bucket(Bucket="acme-runs")
    first, second = world.aws, Cloud(World().clock)
    second.add_account(MANAGEMENT, "Other")
    keys = second.add_user(MANAGEMENT, "admin", ["arn:aws:iam::aws:policy/AdministratorAccess"])
    world.aws = second
    assert connect("s3", keys).list_buckets()["Buckets"] == []
    world.aws = first
    assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == ["acme-runs"]
