"""Multipart uploads and digests: what S3 keeps, and everything that it refuses."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from io import BytesIO

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.s3_digests import combined, digest, unchunked
from ostiary.sandbox.aws.s3_objects import stored_object
from ostiary.sandbox.http import Request

MANAGEMENT, MEMBER = "111111111111", "222222222222"
BUCKET = "acme-appliances"
WHERE = {"Bucket": BUCKET, "Key": "oag.ova"}
LARGE, SMALL = b"L" * (5 * 1024 * 1024), b"the end"


def sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


@pytest.fixture
def s3(connect, admin):
    client = connect("s3", admin)
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def upload(s3):
    """``upload(**options)``: an upload that was begun."""
    return lambda **options: s3.create_multipart_upload(**WHERE, **options)["UploadId"]


@pytest.fixture
def send(s3):
    """``send(upload, number, body)``: one part; what CompleteMultipartUpload wants of it."""

    def send(upload_id, number, body, **options):
        answer = s3.upload_part(
            **WHERE, UploadId=upload_id, PartNumber=number, Body=body, **options
        )
        told = {name: text for name, text in answer.items() if name.startswith("Checksum")}
        return {"PartNumber": number, "ETag": answer["ETag"], **told}

    return send


def complete(s3, upload_id, parts, **options):
    return s3.complete_multipart_upload(
        **WHERE, UploadId=upload_id, MultipartUpload={"Parts": parts}, **options
    )


def test_an_object_of_parts_and_what_is_told_of_it(s3, upload, send):
    number = upload(ChecksumAlgorithm="SHA256", ContentType="application/x-virtualbox-ova")
    parts = [
        send(number, 1, LARGE, ChecksumSHA256=sha256(LARGE)),
        send(number, 7, SMALL, ChecksumSHA256=sha256(SMALL)),
    ]
    listed = s3.list_parts(**WHERE, UploadId=number)
    assert [(one["PartNumber"], one["Size"], one["ChecksumSHA256"]) for one in listed["Parts"]] == [
        (1, len(LARGE), sha256(LARGE)),
        (7, len(SMALL), sha256(SMALL)),
    ]
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == ("SHA256", "COMPOSITE")
    answer = complete(s3, number, parts)
    digests = hashlib.sha256(LARGE).digest() + hashlib.sha256(SMALL).digest()
    assert answer["ChecksumSHA256"] == f"{sha256(digests)}-2"
    md5s = hashlib.md5(LARGE).digest() + hashlib.md5(SMALL).digest()
    assert answer["ETag"] == f'"{hashlib.md5(md5s).hexdigest()}-2"'
    head = s3.head_object(**WHERE, ChecksumMode="ENABLED")
    assert head["ContentLength"] == len(LARGE) + len(SMALL)
    assert head["ContentType"] == "application/x-virtualbox-ova"
    assert head["ChecksumSHA256"] == answer["ChecksumSHA256"]
    edge = s3.get_object(**WHERE, Range=f"bytes={len(LARGE) - 2}-{len(LARGE) + 2}")
    assert edge["Body"].read() == b"LLthe"
    asked = ["ETag", "Checksum", "ObjectParts", "ObjectSize"]
    told = s3.get_object_attributes(**WHERE, ObjectAttributes=asked)
    assert told["ObjectParts"]["TotalPartsCount"] == 2
    assert [one["Size"] for one in told["ObjectParts"]["Parts"]] == [len(LARGE), len(SMALL)]
    assert told["ObjectSize"] == head["ContentLength"]


def test_a_full_object_checksum_is_that_of_the_whole(s3, upload, send):
    number = upload(ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    parts = [send(number, 1, LARGE), send(number, 2, SMALL)]
    whole = base64.b64encode(zlib.crc32(LARGE + SMALL).to_bytes(4, "big")).decode()
    with pytest.raises(ClientError, match="BadDigest"):
        complete(s3, number, parts, ChecksumCRC32="AAAAAA==", ChecksumType="FULL_OBJECT")
    answer = complete(s3, number, parts, ChecksumCRC32=whole, ChecksumType="FULL_OBJECT")
    assert answer["ChecksumCRC32"] == whole


@pytest.mark.parametrize(
    ("algorithm", "wanted"),
    [
        ("CRC32", "cbf43926"),
        ("CRC32C", "e3069283"),
        ("CRC64NVME", "ae8b14860a799888"),
        ("SHA1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
    ],
)
def test_digests_are_those_of_the_standards(algorithm, wanted):
    """The check values that catalogues give for ``123456789``; CRCs of two halves combine to that of both."""
    assert digest(algorithm, b"123456789").hex() == wanted
    if algorithm.startswith("CRC"):
        halves = digest(algorithm, b"1234"), digest(algorithm, b"56789")
        assert combined(algorithm, *halves, 5).hex() == wanted


def test_parts_are_replaced_listed_by_page_and_aborted(s3, upload, send, refusal, world):
    number = upload()
    for part in (1, 3, 5):
        send(number, part, b"first")
    send(number, 3, b"second, longer")
    page = s3.list_parts(**WHERE, UploadId=number, MaxParts=2)
    assert page["IsTruncated"]
    assert [(one["PartNumber"], one["Size"]) for one in page["Parts"]] == [(1, 5), (3, 14)]
    rest = s3.list_parts(**WHERE, UploadId=number, PartNumberMarker=page["NextPartNumberMarker"])
    assert [one["PartNumber"] for one in rest["Parts"]] == [5]
    assert len(list(world.aws.uploads.folder.iterdir())) == 3
    s3.abort_multipart_upload(**WHERE, UploadId=number)
    assert list(world.aws.uploads.folder.iterdir()) == []
    for gone in (s3.list_parts, s3.abort_multipart_upload):
        assert refusal(gone, **WHERE, UploadId=number)[0] == "NoSuchUpload"


def test_uploads_are_listed_by_prefix_and_page(s3):
    begun = {
        key: s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
        for key in ("a/1", "a/2 +", "b")
    }
    all_of_a = s3.list_multipart_uploads(Bucket=BUCKET, Prefix="a/")
    assert [one["Key"] for one in all_of_a["Uploads"]] == ["a/1", "a/2 +"]
    page = s3.list_multipart_uploads(Bucket=BUCKET, MaxUploads=1)
    marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    rest = s3.list_multipart_uploads(Bucket=BUCKET, **marker)
    assert [one["UploadId"] for one in rest["Uploads"]] == [begun["a/2 +"], begun["b"]]


def test_a_bucket_takes_its_uploads_with_it(s3, upload):
    upload()
    s3.delete_bucket(Bucket=BUCKET)
    s3.create_bucket(Bucket=BUCKET)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


def test_what_is_wrong_with_a_part(s3, upload, send, refusal):
    number = upload(ChecksumAlgorithm="SHA256")
    put = {**WHERE, "UploadId": number, "PartNumber": 1, "Body": SMALL}
    assert refusal(s3.upload_part, **put, ChecksumSHA256=sha256(b"x"))[0] == "BadDigest"
    assert refusal(s3.upload_part, **put, ChecksumSHA256="AAAA")[0] == "InvalidRequest"
    code, text = refusal(s3.upload_part, **put, ChecksumAlgorithm="CRC32")
    assert code == "InvalidRequest"
    assert "expected checksum Type: sha256, actual checksum Type: crc32" in text
    for wrong in (0, 10_001):
        assert refusal(s3.upload_part, **put | {"PartNumber": wrong})[0] == "InvalidArgument"
    assert refusal(s3.upload_part, **put | {"UploadId": "none"})[0] == "NoSuchUpload"
    assert refusal(s3.upload_part, **put | {"Key": "other"})[0] == "NoSuchUpload"
    assert "Parts" not in s3.list_parts(**WHERE, UploadId=number)


def test_what_is_wrong_with_a_list_of_parts(s3, upload, send, refusal):
    number = upload(ChecksumAlgorithm="SHA256")
    first, second, third = (
        send(number, part, body, ChecksumAlgorithm="SHA256")
        for part, body in ((1, LARGE), (2, b"short"), (3, SMALL))
    )

    def code(*parts):
        wanted = {"UploadId": number, "MultipartUpload": {"Parts": list(parts)}}
        return refusal(s3.complete_multipart_upload, **WHERE, **wanted)[0]

    assert code() == "MalformedXML"
    assert code(third, first) == "InvalidPartOrder"
    assert code(first, first) == "InvalidPartOrder"
    assert code(first, second, third) == "EntityTooSmall"
    assert code(first, third | {"PartNumber": 4}) == "InvalidPart"
    assert code(first, third | {"ETag": first["ETag"]}) == "InvalidPart"
    assert code(first, third | {"ChecksumSHA256": sha256(b"x")}) == "InvalidPart"
    assert code(first, {"PartNumber": 3, "ETag": third["ETag"]}) == "InvalidRequest"
    complete(s3, number, [first, third])
    assert code(first, third) == "NoSuchUpload"


def test_an_upload_does_not_write_over_an_object_that_must_not_be_there(s3, upload, send, refusal):
    number = upload()
    part = send(number, 1, SMALL)
    s3.put_object(**WHERE, Body=b"mine")
    wanted = {"UploadId": number, "MultipartUpload": {"Parts": [part]}}
    call = s3.complete_multipart_upload
    assert refusal(call, **WHERE, **wanted, IfNoneMatch="*")[0] == "PreconditionFailed"
    assert s3.get_object(**WHERE)["Body"].read() == b"mine"
    complete(s3, number, [part])
    assert s3.get_object(**WHERE)["Body"].read() == SMALL


def test_only_who_may_uploads(s3, upload, world, connect, refusal):
    number = upload()
    statement = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    reader = connect("s3", world.aws.add_user(MANAGEMENT, "reader", [policy]))
    for call, more in (
        (reader.create_multipart_upload, {}),
        (reader.upload_part, {"UploadId": number, "PartNumber": 1, "Body": b""}),
        (reader.list_parts, {"UploadId": number}),
        (reader.abort_multipart_upload, {"UploadId": number}),
    ):
        assert refusal(call, **WHERE, **more)[0] == "AccessDenied"
    call = reader.list_multipart_uploads
    assert refusal(call, Bucket=BUCKET)[0] == "AccessDenied"


def test_a_stream_is_stored_without_its_frame_and_checked_by_its_trailer(s3):
    body = bytes(range(256)) * 5000
    s3.put_object(**WHERE, Body=BytesIO(body), ChecksumAlgorithm="SHA256")
    got = s3.get_object(**WHERE, ChecksumMode="ENABLED")
    assert got["Body"].read() == body
    assert got["ChecksumSHA256"] == sha256(body)
    assert "ContentEncoding" not in got


def chunked(body: bytes, *, length: int = 5, trailer: bytes = b"", **headers: str) -> Request:
    given = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": str(length),
        "x-amz-trailer": "x-amz-checksum-crc32",
        "content-encoding": "gzip,aws-chunked",
        **headers,
    }
    return Request("PUT", "/b/k", tuple(given.items()), body + trailer)


TRAILER = b"x-amz-checksum-crc32:NhCmhg==\r\n\r\n"


def test_chunks_are_joined():
    plain = unchunked(chunked(b"2;ext=1\r\nhe\r\n3\r\nllo\r\n0\r\n", trailer=TRAILER))
    assert plain.body == b"hello"
    assert plain.header("x-amz-checksum-crc32") == "NhCmhg=="
    assert plain.header("content-encoding") == "gzip"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (chunked(b"9\r\nhello\r\n0\r\n", trailer=TRAILER), "IncompleteBody"),
        (chunked(b"5\r\nhello", trailer=b""), "IncompleteBody"),
        (chunked(b"5\r\nhello\r\n0\r\n", length=6, trailer=TRAILER), "IncompleteBody"),
        (chunked(b"5\r\nhello\r\n0\r\n\r\n"), "MalformedTrailerError"),
        (chunked(b"z\r\nhello\r\n0\r\n", trailer=TRAILER), "MalformedTrailerError"),
        (
            chunked(b"", **{"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}),
            "NotImplemented",
        ),
    ],
)
def test_broken_chunks_are_refused(request_, code):
    with pytest.raises(AwsError) as caught:
        unchunked(request_)
    assert caught.value.code == code


def test_content_md5_is_checked(s3, refusal):
    other = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    assert refusal(s3.put_object, **WHERE, Body=b"one", ContentMD5=other)[0] == "BadDigest"
    assert refusal(s3.put_object, **WHERE, Body=b"one", ContentMD5="AA==")[0] == "InvalidDigest"


def test_a_service_reads_an_object_that_is_deleted_meanwhile(s3, upload, send, world):
    number = upload()
    complete(s3, number, [send(number, 1, LARGE), send(number, 2, SMALL)])
    account = world.aws.account(MANAGEMENT)
    principal = type("Service", (), {"account": account})()
    call = Call(world, Request("GET", "/"), "ec2", "ImportImage", "us-east-1", {}, principal, 0.0)
    owner, region, content = stored_object(call, BUCKET, "oag.ova")
    s3.delete_object(**WHERE)
    with content:
        assert content.read() == LARGE + SMALL
    assert (owner, region) == (MANAGEMENT, "us-east-1")
    assert stored_object(call, BUCKET, "oag.ova") is None


# buckets


def test_a_new_bucket_is_closed_and_encrypted(s3):
    block = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    assert all(block.values())
    rule = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    owner = s3.get_bucket_ownership_controls(Bucket=BUCKET)["OwnershipControls"]["Rules"]
    assert owner == [{"ObjectOwnership": "BucketOwnerEnforced"}]


@pytest.mark.parametrize("name", ["Acme", "ab", "a_b_c", "10.0.0.1", "a..b", "xn--a", "acme-"])
def test_names_that_no_bucket_may_have(s3, refusal, name):
    code = refusal(s3.create_bucket, Bucket=name)[0]
    assert code == "InvalidBucketName"


def test_regions_of_buckets(s3, connect, admin, refusal):
    eu = connect("s3", admin, region="eu-central-1")
    place = {"CreateBucketConfiguration": {"LocationConstraint": "eu-central-1"}}
    code = "IllegalLocationConstraintException"
    assert refusal(eu.create_bucket, Bucket="acme-eu")[0] == code
    eu.create_bucket(Bucket="acme-eu", **place)
    assert refusal(eu.create_bucket, Bucket="acme-eu", **place)[0] == "BucketAlreadyOwnedByYou"
    s3.create_bucket(Bucket=BUCKET)  # in us-east-1 alone that is no error
    assert eu.get_bucket_location(Bucket="acme-eu")["LocationConstraint"] == "eu-central-1"


def test_a_client_is_sent_to_the_region_of_the_bucket(s3, connect, admin):
    eu = connect("s3", admin, region="eu-central-1", retries=3)
    assert eu.head_bucket(Bucket=BUCKET)["BucketRegion"] == "us-east-1"
    one_origin = connect(
        "s3", admin, region="eu-central-1", url="https://localhost:4566", retries=3
    )
    assert one_origin.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_the_owner_that_a_client_expects(s3, refusal):
    call = {**WHERE, "UploadId": "any"}
    code = refusal(s3.list_parts, **call, ExpectedBucketOwner=MEMBER)[0]
    assert code == "AccessDenied"
    code = refusal(s3.list_parts, **call, ExpectedBucketOwner=MANAGEMENT)[0]
    assert code == "NoSuchUpload"


def statement(**more) -> str:
    one = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    } | more
    kept = {name: value for name, value in one.items() if value is not None}
    return json.dumps({"Version": "2012-10-17", "Statement": [kept]})


def test_a_bucket_policy_is_evaluated(s3, connect, admin, refusal):
    s3.put_bucket_policy(Bucket=BUCKET, Policy=statement())
    assert json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"]) == json.loads(statement())
    s3.put_object(**WHERE, Body=b"by TLS")
    plain = connect("s3", admin, url="http://localhost:4566")
    code, text = refusal(plain.get_object, **WHERE)
    assert code == "AccessDenied"
    assert "explicit deny in a resource-based policy" in text
    s3.delete_bucket_policy(Bucket=BUCKET)
    assert plain.get_object(**WHERE)["Body"].read() == b"by TLS"


@pytest.mark.parametrize(
    ("policy", "code", "text"),
    [
        ("{", "MalformedPolicy", "valid JSON"),
        (statement(Principal=None), "MalformedPolicy", "Missing required field Principal"),
        (statement(Action="ec2:*"), "MalformedPolicy", "invalid action"),
        (statement(Resource="arn:aws:s3:::other/*"), "MalformedPolicy", "invalid resource"),
        (statement(Effect="Allow", Condition=None), "AccessDenied", "BlockPublicPolicy"),
    ],
)
def test_bucket_policies_that_are_refused(s3, refusal, policy, code, text):
    found = refusal(s3.put_bucket_policy, Bucket=BUCKET, Policy=policy)
    assert found[0] == code
    assert text in found[1]
    assert refusal(s3.get_bucket_policy, Bucket=BUCKET)[0] == "NoSuchBucketPolicy"


def test_the_switches_of_the_world_reach_uploads(s3, upload, world, refusal):
    number = upload()
    world.switches.throttle_share = 1.0
    put = {**WHERE, "UploadId": number, "PartNumber": 1, "Body": SMALL}
    assert refusal(s3.upload_part, **put)[0] == "SlowDown"
    world.switches.throttle_share = 0.0
    world.switches.denied = {(MANAGEMENT, "s3:PutObject")}
    assert refusal(s3.upload_part, **put)[0] == "AccessDenied"
    world.switches.denied = set()
    assert "Parts" not in s3.list_parts(**WHERE, UploadId=number)
    world.switches.lost_answer_share = 1.0
    with pytest.raises(ConnectionClosedError):
        s3.upload_part(**put)
    assert len(s3.list_parts(**WHERE, UploadId=number)["Parts"]) == 1
