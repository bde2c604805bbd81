"""Who may pass the front: signatures, partitions, unserved operations."""

from __future__ import annotations

from ostiary.sandbox.aws.front import handle
from ostiary.sandbox.http import Request

MANAGEMENT, MEMBER, GOV = "111111111111", "222222222222", "444444444444"


def test_the_caller_is_who_signed(sts):
    who = sts.get_caller_identity()
    assert who["Arn"] == f"arn:aws:iam::{MANAGEMENT}:user/admin"
    assert who["Account"] == MANAGEMENT


def test_wrong_secret_unknown_key_and_wrong_token_are_refused(connect, admin, sts, refusal):
    assert (
        refusal(connect("sts", (admin[0], "x" * 40)).get_caller_identity)[0]
        == "SignatureDoesNotMatch"
    )
    assert (
        refusal(connect("iam", ("AKIA0000000000000000", "x")).list_roles)[0]
        == "InvalidClientTokenId"
    )
    keys = sts.assume_role(
        RoleArn=f"arn:aws:iam::{MEMBER}:role/OrganizationAccountAccessRole", RoleSessionName="one"
    )["Credentials"]
    no_token = (keys["AccessKeyId"], keys["SecretAccessKey"])
    assert refusal(connect("sts", no_token).get_caller_identity)[0] == "InvalidClientTokenId"
    bad = (*no_token, "wrong")
    assert refusal(connect("sts", bad).get_caller_identity)[0] == "InvalidClientTokenId"
    assert connect("sts", keys).get_caller_identity()["Account"] == MEMBER


def test_an_expired_session_and_a_skewed_clock_are_named(connect, sts, world, refusal):
    keys = sts.assume_role(
        RoleArn=f"arn:aws:iam::{MEMBER}:role/OrganizationAccountAccessRole",
        RoleSessionName="one",
        DurationSeconds=900,
    )["Credentials"]
    world.clock.advance(840)
    assert connect("sts", keys).get_caller_identity()["Account"] == MEMBER
    world.clock.advance(61)
    world.aws.keys[keys["AccessKeyId"]].expires -= 0
    assert refusal(connect("sts", keys).get_caller_identity)[0] in {
        "SignatureDoesNotMatch",
        "ExpiredToken",
    }
    world.aws.clock.advance(-120)
    world.aws.keys[keys["AccessKeyId"]].expires -= 600
    assert refusal(connect("sts", keys).get_caller_identity)[0] == "ExpiredToken"
    assert refusal(connect("organizations", keys).list_roots)[0] == "ExpiredTokenException"
    world.clock.advance(1200)
    name, text = refusal(sts.get_caller_identity)
    assert name == "SignatureDoesNotMatch"
    assert text.startswith("Signature expired: ")
    assert text.endswith(" - 15 min.)")


def test_what_the_signature_does_not_cover_counts_for_nothing(connect, admin, refusal):
    client = connect("organizations", admin)

    def leave_out(name):
        def change(request, **_):
            text = request.headers["Authorization"].decode()
            request.headers["Authorization"] = text.replace(f"{name};", "", 1)

        return change

    for name, said in (
        ("host", "must be a 'SignedHeader'"),
        ("x-amz-date", "not signed: x-amz-date"),
    ):
        change = leave_out(name)
        client.meta.events.register_first("before-send", change)
        code, message = refusal(client.describe_organization)
        client.meta.events.unregister("before-send", change)
        assert code == "InvalidSignatureException"
        assert said in message


def test_an_inactive_key_is_unknown(connect, admin, world, iam, refusal):
    key = iam.create_access_key()["AccessKey"]
    second = connect("sts", (key["AccessKeyId"], key["SecretAccessKey"]))
    assert second.get_caller_identity()["Account"] == MANAGEMENT
    iam.update_access_key(AccessKeyId=key["AccessKeyId"], Status="Inactive")
    assert refusal(second.get_caller_identity)[0] == "InvalidClientTokenId"


def test_credentials_are_unknown_in_another_partition(connect, world, admin, refusal):
    gov = world.aws.add_user(GOV, "admin", ["arn:aws-us-gov:iam::aws:policy/AdministratorAccess"])
    who = connect("sts", gov, region="us-gov-west-1").get_caller_identity()
    assert who["Arn"] == f"arn:aws-us-gov:iam::{GOV}:user/admin"
    assert refusal(connect("sts", gov).get_caller_identity)[0] == "InvalidClientTokenId"
    wrong = connect("sts", admin, region="us-gov-west-1")
    assert refusal(wrong.get_caller_identity)[0] == "InvalidClientTokenId"


def test_any_host_header_works(connect, admin):
    for url in ("http://127.0.0.1:4566", "https://localhost:8443", "https://aws.localhost:1234"):
        assert connect("sts", admin, url=url).get_caller_identity()["Account"] == MANAGEMENT
        assert connect("organizations", admin, url=url).list_roots()["Roots"]


def test_what_has_no_row_is_refused_cleanly(connect, admin, iam, refusal):
    assert refusal(iam.get_credential_report)[0] == "NotImplemented"
    assert refusal(connect("kms", admin).list_grants, KeyId="x")[0] == "NotImplemented"
    assert refusal(connect("s3", admin).get_bucket_cors, Bucket="abc")[0] == "NotImplemented"
    assert refusal(connect("sqs", admin).list_queues)[0] == "NotImplemented"


def test_an_unsigned_request_has_no_token(world):
    for body, headers in (
        (b"Action=GetCallerIdentity&Version=2011-06-15", ()),
        (b"{}", (("x-amz-target", "TrentService.ListKeys"),)),
        (b"", (("authorization", "Basic abc"),)),
        (b"\xff\xfe", ()),
        (b"Action=AssumeRoleWithSAML&Version=2011-06-15&RoleArn.1=x", ()),
    ):
        response = handle(world, Request("POST", "/", headers, body, "https://localhost"))
        assert 400 <= response.status < 500
        assert b"<html" not in response.body


def test_input_is_validated_by_the_model(iam, refusal):
    name, text = refusal(iam.get_role, RoleName="x" * 65)
    assert name == "ValidationError"
    assert text == (
        f"1 validation error detected: Value '{'x' * 65}' at 'roleName' failed to satisfy constraint:"
        " Member must have length less than or equal to 64"
    )
    assert refusal(iam.get_role, RoleName="a b")[0] == "ValidationError"
    assert refusal(iam.list_roles, MaxItems=2000)[0] == "ValidationError"


def test_calls_are_recorded(world, sts, iam):
    sts.assume_role(
        RoleArn=f"arn:aws:iam::{MEMBER}:role/OrganizationAccountAccessRole", RoleSessionName="one"
    )
    iam.list_roles()
    assert world.calls == [("sts", "AssumeRole", MEMBER), ("iam", "ListRoles", MANAGEMENT)]
