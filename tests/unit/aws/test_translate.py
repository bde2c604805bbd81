"""AWS's errors in our words."""

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ProfileNotFound,
    SSLError,
)
from botocore.parsers import ResponseParserError

from ostiary.aws.translate import attempted, missing_permission, translate
from ostiary.errors import (
    Conflict,
    Denied,
    NotFound,
    OstiaryError,
    Throttled,
    Unreachable,
    UsageError,
)

DENIAL = (
    "User: arn:aws:sts::111122223333:assumed-role/OstiaryApply/ostiary-apply is not authorized to perform: "
    "iam:UpdateAssumeRolePolicy on resource: role Ops because no identity-based policy allows the "
    "iam:UpdateAssumeRolePolicy action"
)


def answer(code, message="x", status=400):
    metadata = {"HTTPStatusCode": status, "RequestId": "4f1c"}
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}, "Op"
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (answer("AccessDenied", status=403), Denied),
        (answer("AccessDeniedException"), Denied),
        (answer("ExpiredToken", status=403), Denied),
        (answer("NoSuchEntity", status=404), NotFound),
        (answer("NoSuchKey", status=404), NotFound),
        (answer("Throttling"), Throttled),
        (answer("TooManyRequestsException"), Throttled),
        (answer("Whatever", status=429), Throttled),
        (answer("SlowDown", status=503), Throttled),
        (answer("EntityAlreadyExists", status=409), Conflict),
        (answer("MalformedPolicyDocument"), Conflict),
        (answer("ServiceFailure", status=500), Unreachable),
        (NoCredentialsError(), Denied),
        (ProfileNotFound(profile="x"), UsageError),
        (EndpointConnectionError(endpoint_url="https://x"), Unreachable),
        (ConnectionClosedError(endpoint_url="https://x"), Unreachable),
        (SSLError(endpoint_url="https://x", error="bad"), Unreachable),
        (ResponseParserError("HTML"), Unreachable),
        (ParamValidationError(report="x"), OstiaryError),
        (answer("NotImplemented", status=501), OstiaryError),
    ],
)
def test_each_error_has_its_place_in_the_tree(error, kind):
    assert type(translate(error, "cannot x")) is kind


def test_a_connection_that_ends_in_its_handshake_is_no_certificate_that_is_not_trusted():
    said = "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol (_ssl.c:1006)"
    cut = translate(SSLError(endpoint_url="https://x", error=said), "cannot x", writes=True)
    assert (cut.code, cut.maybe_done) == ("SSLEOFError", True)
    assert "check the network" in cut.fix
    bad = translate(SSLError(endpoint_url="https://x", error="bad"), "cannot x")
    assert (bad.code, bad.fix) == ("SSLError", "point AWS_CA_BUNDLE at the right CA file")


def test_the_three_lines_of_a_denial():
    what = attempted("update_assume_role_policy", {"RoleName": "Ops"}, "111122223333")
    error = translate(answer("AccessDenied", DENIAL, 403), what, account="111122223333")
    assert error.what == "cannot update assume role policy of Ops in 1111-2222-3333"
    assert error.why == f"AccessDenied: {DENIAL} (request 4f1c)"
    assert error.fix == (
        "allow iam:UpdateAssumeRolePolicy on role Ops to this caller, "
        "or run: ostiary doctor --account 111122223333"
    )
    assert error.code == "AccessDenied"


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (DENIAL, ("iam:UpdateAssumeRolePolicy", "role Ops")),
        (
            "User: x is not authorized to perform: iam:GetRole on resource: arn:aws:iam::1:role/Ops with an explicit deny",
            ("iam:GetRole", "arn:aws:iam::1:role/Ops"),
        ),
        ("Not authorized to perform sts:AssumeRoleWithSAML", ("sts:AssumeRoleWithSAML", "")),
        (
            "You are not authorized to perform: organizations:ListRoots",
            ("organizations:ListRoots", ""),
        ),
        ("You don't have permissions to access this resource.", ("", "")),
    ],
)
def test_the_missing_permission_is_read_from_the_message(message, found):
    assert missing_permission(message) == found


@pytest.mark.parametrize(
    ("error", "maybe"),
    [
        (EndpointConnectionError(endpoint_url="https://x"), False),
        (ConnectionClosedError(endpoint_url="https://x"), True),
        (answer("InternalFailure", status=500), True),
    ],
)
def test_a_write_may_be_done_unless_it_was_never_sent(error, maybe):
    assert translate(error, "cannot x", writes=True).maybe_done is maybe
    assert translate(error, "cannot x", writes=False).maybe_done is False


def test_a_skewed_clock_is_named():
    error = translate(answer("SignatureDoesNotMatch", "Signature expired: 2026", 403), "cannot x")
    assert error.why.startswith("the clock of this machine is wrong")


@pytest.mark.parametrize(
    "code", ["AddressLimitExceeded", "LimitExceeded", "QuotaExceededException", "TooManyBuckets"]
)
def test_what_a_quota_refuses_sends_nobody_to_the_doctor(code):
    error = translate(answer(code), "cannot x")
    assert type(error) is Conflict
    assert "Service Quotas" in error.fix
