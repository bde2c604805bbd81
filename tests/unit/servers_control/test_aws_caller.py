"""Who somebody is at AWS: a presigned GetCallerIdentity of now, for us, and nothing else that a caller chooses."""

import time

import httpx2
import pytest
from aws_instance import (
    ACCOUNT,
    CONTROL,
    HEADER,
    OTHER,
    REGION,
    AwsTransport,
    make_world,
    presigned,
    session_of,
)

from ostiary.doors.servers.control.aws_caller import MOST_AGE, AwsCallers, Caller
from ostiary.errors import Denied, Unreachable

INSTANCE = "i-0123456789abcdef0"


@pytest.fixture
def world():
    return make_world()


@pytest.fixture
def aws(world):
    return AwsTransport(world)


@pytest.fixture
def callers(aws):
    return AwsCallers(httpx2.Client(transport=aws), CONTROL)


def asked(world, callers, url):
    return callers.ask(callers.checked(url, world.clock.now()))


def test_aws_says_account_role_id_and_session(world, callers, aws):
    found = asked(world, callers, presigned(session_of(world)))
    role = world.aws.account(ACCOUNT).roles.get("WebServer")
    assert found == Caller(ACCOUNT, "WebServer", role.id, INSTANCE)
    (sent,) = aws.sent
    assert sent.headers[HEADER] == CONTROL
    assert "authorization" not in sent.headers
    twin = asked(world, callers, presigned(session_of(world, OTHER)))
    assert (twin.account, twin.role) == (OTHER, "WebServer")
    assert twin.role_id != found.role_id, "one name, two roles"


def test_the_global_endpoint_signs_for_us_east_1(world, callers):
    url = presigned(session_of(world), host="sts.amazonaws.com", region="us-east-1")
    assert asked(world, callers, url).account == ACCOUNT
    with pytest.raises(Denied, match="another day or region"):
        asked(world, callers, presigned(session_of(world), host="sts.amazonaws.com"))


def swap(url, old, new):
    assert old in url
    return url.replace(old, new, 1)


HOST = f"sts.{REGION}.amazonaws.com"
FOREIGN = [
    "evil.example",
    f"{HOST}.evil.example",
    f"{HOST}:8443",
    f"user@{HOST}",
    f"evil.example#@{HOST}",
    "sts.amazonaws.com.evil.example",
    "STS.EU-WEST-1.AMAZONAWS.COM",
    f"s3.{REGION}.amazonaws.com",
    "iam.amazonaws.com",
    "sts.eu-west-1.amazonaws.com.",
    "sts.eu-west-1.evil.amazonaws.com",
    "169.254.169.254",
    "localhost",
    "",
]


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_host_is_never_asked(world, callers, aws, host):
    """CVE-2020-16250: whoever chooses the host chooses the answer."""
    url = swap(presigned(session_of(world)), HOST, host)
    with pytest.raises(Denied) as refused:
        asked(world, callers, url)
    assert refused.value.code == "bad-aws-proof"
    assert aws.sent == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("https://", "http://"),
        ("https://", "file://"),
        ("/?", "/x?"),
        ("/?", "//?"),
        ("/?", "/?Action=AssumeRole&"),
        ("Action=GetCallerIdentity", "Action=AssumeRole"),
        ("Action=GetCallerIdentity", "Action=GetCallerIdentity&Extra=1"),
        ("Version=2011-06-15", "Version=2010-01-01"),
        ("X-Amz-Expires=60", "X-Amz-Expires=0"),
        ("X-Amz-Expires=60", "X-Amz-Expires=-1"),
        ("X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Algorithm=none"),
        ("%2Fsts%2F", "%2Fiam%2F"),
        ("%2Feu-west-1%2F", "%2Fus-east-1%2F"),
        ("X-Amz-Credential=ASIA", "X-Amz-Credential=AKIA"),
        ("X-Amz-Date=2", "X-Amz-Date=x"),
        ("&X-Amz-Signature=", "&X-Amz-Signature=zz&Y="),
        ("X-Amz-SignedHeaders=host%3Bx-ostiary-control", "X-Amz-SignedHeaders=host"),
        ("&X-Amz-Signature=", "&X-Amz-Signature=" + "0" * 64 + "&X-Amz-Signature="),
        ("&X-Amz-Signature=", "#"),
        ("?", ""),
    ],
)
def test_any_other_shape_is_never_sent(world, callers, aws, old, new):
    with pytest.raises(Denied):
        asked(world, callers, swap(presigned(session_of(world)), old, new))
    assert aws.sent == []


@pytest.mark.parametrize(
    "url", ["", "https://[::1", "x" * 10_000, f"https://{HOST}/?" + "a=1&" * 5000]
)
def test_what_is_no_such_url_is_refused(world, callers, aws, url):
    with pytest.raises(Denied):
        asked(world, callers, url)
    assert aws.sent == []


def test_further_signed_headers_are_refused(world, callers, aws):
    """A header of the caller's choice could change the answer (``accept: application/json``)."""
    more = {HEADER: CONTROL, "accept": "application/json"}
    with pytest.raises(Denied, match="alone"):
        asked(world, callers, presigned(session_of(world), headers=more))
    with pytest.raises(Denied, match="alone"):
        asked(world, callers, presigned(session_of(world), headers={}))
    assert aws.sent == []


def test_what_was_signed_for_another_service_is_refused_by_aws(world, callers):
    for control in ("https://vault.example", CONTROL + "/", CONTROL.upper(), ""):
        url = presigned(session_of(world), headers={HEADER: control})
        with pytest.raises(Denied, match="SignatureDoesNotMatch"):
            asked(world, callers, url)


@pytest.mark.parametrize("age", [MOST_AGE + 2, -MOST_AGE - 2, 3600])
def test_an_old_or_future_signature_is_refused(world, callers, aws, age):
    url = presigned(session_of(world))
    with pytest.raises(Denied, match="from now"):
        callers.checked(url, world.clock.now() + age)
    assert aws.sent == []


def test_a_changed_signature_or_a_session_that_ended_is_refused_by_aws(world, callers):
    url = presigned(session_of(world))
    changed = url[:-1] + ("0" if url[-1] != "0" else "1")
    with pytest.raises(Denied, match="SignatureDoesNotMatch"):
        asked(world, callers, changed)
    session = session_of(world)
    url = presigned(session)
    del world.aws.keys[session.access_key]
    with pytest.raises(Denied, match="InvalidClientTokenId"):
        asked(world, callers, url)


def answering(body, status=200, headers=()):
    def handler(_):
        return httpx2.Response(status, content=body, headers=dict(headers))

    return AwsCallers(httpx2.Client(transport=httpx2.MockTransport(handler)), CONTROL)


ANSWER = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
    "<GetCallerIdentityResult><Arn>{arn}</Arn><UserId>{user}</UserId><Account>{account}</Account>"
    "{more}</GetCallerIdentityResult></GetCallerIdentityResponse>"
)
GOOD = {
    "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/run-1",
    "user": "AROA0123456789ABCDEF0:run-1",
    "account": ACCOUNT,
    "more": "",
}


@pytest.mark.parametrize(
    "changed",
    [
        {"arn": f"arn:aws:iam::{ACCOUNT}:user/ci"},
        {"arn": f"arn:aws:sts::{ACCOUNT}:federated-user/ci"},
        {"arn": f"arn:aws:sts::{OTHER}:assumed-role/ci/run-1"},
        {"account": OTHER},
        {"user": "AROA0123456789ABCDEF0:run-2"},
        {"user": "AIDA0123456789ABCDEF0:run-1"},
        {"more": f"<Account>{OTHER}</Account>"},
        {"more": "<Arn>arn:aws:sts::1:assumed-role/x/y</Arn>"},
    ],
)
def test_an_answer_that_is_not_whole_and_of_a_role_is_refused(world, changed):
    url = presigned(session_of(world))
    good = answering(ANSWER.format(**GOOD))
    assert asked(world, good, url) == Caller(ACCOUNT, "ci", "AROA0123456789ABCDEF0", "run-1")
    with pytest.raises(Denied):
        asked(world, answering(ANSWER.format(**{**GOOD, **changed})), url)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"<GetCallerIdentityResponse/>",
        b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
        b"<" * 100_000,
    ],
)
def test_other_answers_are_refused(world, body):
    with pytest.raises(Denied):
        asked(world, answering(body), presigned(session_of(world)))


def test_a_redirect_is_not_followed_and_silence_is_no_refusal(world):
    url = presigned(session_of(world))
    with pytest.raises(Denied):
        asked(world, answering(b"", 302, [("location", "https://evil.example/")]), url)
    with pytest.raises(Unreachable):
        asked(world, answering(b"", 503), url)


def test_with_an_endpoint_of_ones_own_only_that_one_is_asked(world, aws):
    own = AwsCallers(httpx2.Client(transport=aws), CONTROL, "https://localhost:4566")
    url = presigned(session_of(world), host="localhost:4566")
    assert asked(world, own, url).account == ACCOUNT
    with pytest.raises(Denied):
        asked(world, own, presigned(session_of(world)))


def test_an_answer_shows_no_credentials(world, callers):
    session = session_of(world)
    url = presigned(session)
    checked = callers.checked(url, world.clock.now())
    assert session.token not in repr(checked)
    assert checked.signature not in repr(checked)


class Drips(httpx2.SyncByteStream):
    def __iter__(self):
        for _ in range(20):
            yield b" "
            time.sleep(0.1)


def test_sts_is_waited_for_in_all_no_longer_than_it_may_take(world):
    """Each of its bytes is in time; enrolments of others have few threads."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, stream=Drips()))
    callers = AwsCallers(httpx2.Client(transport=transport), CONTROL, seconds=0.3)
    began = time.monotonic()
    with pytest.raises(Unreachable, match="too long to answer in all"):
        asked(world, callers, presigned(session_of(world)))
    assert time.monotonic() - began < 1.5
