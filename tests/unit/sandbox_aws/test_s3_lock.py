"""Object Lock: who asks for it rightly gets it, and then nobody undoes it, the administrator included."""

from datetime import UTC, datetime, timedelta

import pytest

MANAGEMENT = "111111111111"
BUCKET = "acme-audit"
ONE = {"Bucket": BUCKET, "Key": "day"}


@pytest.fixture
def s3(connect, admin):
    return connect("s3", admin)


@pytest.fixture
def locked(s3):
    s3.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
    return s3


@pytest.fixture
def later(world):
    def later(days=1.0):
        return datetime.fromtimestamp(world.clock.now(), UTC) + timedelta(days=days)

    return later


def lock(until, mode="COMPLIANCE"):
    return {"ObjectLockMode": mode, "ObjectLockRetainUntilDate": until}


def test_a_bucket_says_whether_it_locks(s3, refusal):
    s3.create_bucket(Bucket="plain")
    found = refusal(s3.get_object_lock_configuration, Bucket="plain")
    assert found[0] == "ObjectLockConfigurationNotFoundError"
    s3.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
    held = s3.get_object_lock_configuration(Bucket=BUCKET)["ObjectLockConfiguration"]
    assert held["ObjectLockEnabled"] == "Enabled"
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    suspend = {"Bucket": BUCKET, "VersioningConfiguration": {"Status": "Suspended"}}
    assert refusal(s3.put_bucket_versioning, **suspend)[0] == "InvalidBucketState"
    configured = {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}
    refused = refusal(s3.put_object_lock_configuration, Bucket="plain", **configured)
    assert refused[0] == "InvalidBucketState"


def test_a_locked_version_stays_until_its_time_is_up(locked, later, refusal, world):
    put = locked.put_object(**ONE, Body=b"rows", **lock(later(0.003)))
    told = locked.head_object(**ONE)
    assert told["ObjectLockMode"] == "COMPLIANCE"
    version = {**ONE, "VersionId": put["VersionId"]}
    for bypass in (False, True):
        said = refusal(locked.delete_object, **version, BypassGovernanceRetention=bypass)
        assert said == ("AccessDenied", "Access Denied because object protected by object lock.")
    locked.put_object(**ONE, Body=b"other")
    assert locked.get_object(**version)["Body"].read() == b"rows", "a new version hides no old one"
    locked.delete_object(**ONE)
    assert locked.get_object(**version)["Body"].read() == b"rows", "a marker takes nothing away"
    world.clock.advance(300)
    locked.delete_object(**version)
    assert refusal(locked.get_object, **version)[0] in ("NoSuchVersion", "NoSuchKey")


def test_a_retention_in_compliance_mode_only_grows(locked, later, refusal):
    locked.put_object(**ONE, Body=b"rows", **lock(later(2)))
    change = locked.put_object_retention

    def retention(days, mode="COMPLIANCE"):
        return {**ONE, "Retention": {"Mode": mode, "RetainUntilDate": later(days)}}

    for shorter in (retention(1), retention(3, "GOVERNANCE"), {**ONE, "Retention": {}}):
        assert refusal(change, **shorter, BypassGovernanceRetention=True)[0] == "AccessDenied"
    change(**retention(3))
    assert refusal(change, **retention(2.5))[0] == "AccessDenied"


def test_governance_mode_gives_way_to_who_bypasses_it(locked, later, refusal):
    put = locked.put_object(**ONE, Body=b"rows", **lock(later(), "GOVERNANCE"))
    version = {**ONE, "VersionId": put["VersionId"]}
    assert refusal(locked.delete_object, **version)[0] == "AccessDenied"
    locked.delete_object(**version, BypassGovernanceRetention=True)


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"ObjectLockMode": "COMPLIANCE"}, "InvalidArgument"),
        ({"ObjectLockRetainUntilDate": datetime(2100, 1, 1, tzinfo=UTC)}, "InvalidArgument"),
        (lock(datetime(2001, 1, 1, tzinfo=UTC)), "InvalidArgument"),
        (lock(datetime(2100, 1, 1, tzinfo=UTC), "STRICT"), "InvalidArgument"),
    ],
)
def test_terms_that_are_none_are_refused(locked, refusal, terms, code):
    assert refusal(locked.put_object, **ONE, Body=b"x", **terms)[0] == code


def test_a_bucket_without_object_lock_takes_no_locked_object(s3, later, refusal):
    s3.create_bucket(Bucket=BUCKET)
    put = {**ONE, "Body": b"x", **lock(later())}
    said = refusal(s3.put_object, **put)
    assert said == ("InvalidRequest", "Bucket is missing Object Lock Configuration")
    retention = {"Mode": "COMPLIANCE", "RetainUntilDate": later()}
    s3.put_object(**ONE, Body=b"x")
    assert refusal(s3.put_object_retention, **ONE, Retention=retention)[0] == "InvalidRequest"


def test_who_locks_must_be_allowed_to(locked, later, refusal, world, connect):
    def caller(*actions):
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        name = f"u{len(world.calls)}"
        return connect("s3", world.aws.add_user(MANAGEMENT, name, [policy]))

    put = {**ONE, "Body": b"x", **lock(later())}
    writer = caller("s3:PutObject", "s3:DeleteObject", "s3:CreateBucket")
    code, message = refusal(writer.put_object, **put)
    assert (code, "s3:PutObjectRetention" in message) == ("AccessDenied", True)
    made = caller("s3:PutObject", "s3:PutObjectRetention").put_object(**put)
    code, message = refusal(writer.delete_object, **ONE, VersionId=made["VersionId"])
    assert (code, "s3:DeleteObjectVersion" in message) == ("AccessDenied", True)
    new = {"Bucket": "another", "ObjectLockEnabledForBucket": True}
    assert refusal(writer.create_bucket, **new)[0] == "AccessDenied"
