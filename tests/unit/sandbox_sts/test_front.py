"""The same through the whole front, by botocore as foreign clients use it."""

from urllib.parse import urlencode

import botocore.session
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from ostiary.sandbox.adapters import aws_hook
from ostiary.sandbox.aws.front import handle
from ostiary.sandbox.http import Request

PROD = "111111111111"


def sts(small, credentials=None):
    keys = {"config": Config(signature_version=UNSIGNED)}
    if credentials:
        keys = {
            "aws_access_key_id": credentials["AccessKeyId"],
            "aws_secret_access_key": credentials["SecretAccessKey"],
            "aws_session_token": credentials["SessionToken"],
        }
    session = botocore.session.Session()
    client = session.create_client("sts", region_name="us-east-1", **keys)
    client.meta.events.register("before-send", aws_hook(small.world))
    return client


def test_assertion_to_caller_identity(small):
    small.world.clock.freeze()  # botocore signs by the real clock
    role, provider = small.arns(PROD)
    answer = sts(small).assume_role_with_saml(
        RoleArn=role, PrincipalArn=provider, SAMLAssertion=small.response(), DurationSeconds=900
    )
    assert answer["Subject"] == "ada@acme.example"
    identity = sts(small, answer["Credentials"]).get_caller_identity()
    assert identity["Arn"] == answer["AssumedRoleUser"]["Arn"]
    assert identity["UserId"] == answer["AssumedRoleUser"]["AssumedRoleId"]


def test_the_error_as_botocore_reads_it(small, stranger):
    role, provider = small.arns(PROD)
    with pytest.raises(ClientError) as refusal:
        sts(small).assume_role_with_saml(
            RoleArn=role, PrincipalArn=provider, SAMLAssertion=small.response(idp=stranger)
        )
    assert refusal.value.response["Error"]["Code"] == "InvalidIdentityToken"
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_the_sign_in_page_is_reached(small):
    body = urlencode({"SAMLResponse": small.response()}).encode()
    answer = handle(small.world, Request("POST", "/signin.aws.amazon.com/saml", (), body))
    assert answer.status == 302
