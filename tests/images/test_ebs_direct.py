"""EBS direct: exact blocks, checked checksums and counts, tokens that repeat, time that runs out."""

from __future__ import annotations

import base64
import hashlib

import pytest
from botocore.exceptions import ClientError

BLOCK = 524_288


def b64(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def block(seed: int) -> bytes:
    return bytes([seed]) * BLOCK


def put(ebs, snapshot_id, index, data, **other):
    asked = {
        "BlockData": data,
        "DataLength": len(data),
        "Checksum": b64(data),
        "ChecksumAlgorithm": "SHA256",
    }
    return ebs.put_snapshot_block(SnapshotId=snapshot_id, BlockIndex=index, **asked | other)


def linear(*datas: bytes) -> str:
    return b64(b"".join(hashlib.sha256(data).digest() for data in datas))


@pytest.fixture
def written(ebs, world):
    """A completed snapshot of these blocks."""

    def written(blocks, **start):
        snapshot_id = ebs.start_snapshot(VolumeSize=1, **start)["SnapshotId"]
        for index, data in blocks.items():
            put(ebs, snapshot_id, index, data)
        ebs.complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=len(blocks))
        world.clock.advance(1)
        return snapshot_id

    return written


def reason(call) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["Error"]["Code"], caught.value.response.get("Reason", "")


def test_a_snapshot_is_written_sealed_and_read_back(ebs, ec2, world, bytes_of):
    started = ebs.start_snapshot(
        VolumeSize=2, Description="oag", Tags=[{"Key": "Name", "Value": "oag"}]
    )
    assert (started["BlockSize"], started["Status"]) == (BLOCK, "pending")
    snapshot_id = started["SnapshotId"]
    assert put(ebs, snapshot_id, 7, block(1))["Checksum"] == b64(block(1))
    put(ebs, snapshot_id, 4095, block(2), Progress=50)
    put(ebs, snapshot_id, 7, block(3))  # written over: still two distinct blocks
    answer = ebs.complete_snapshot(
        SnapshotId=snapshot_id,
        ChangedBlocksCount=2,
        Checksum=linear(block(3), block(2)),
        ChecksumAlgorithm="SHA256",
        ChecksumAggregationMethod="LINEAR",
    )
    assert answer["Status"] == "pending"
    assert ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]["State"] == "pending"
    world.clock.advance(1)
    seen = ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]
    assert (seen["State"], seen["VolumeSize"]) == ("completed", 2)
    assert seen["Tags"] == [{"Key": "Name", "Value": "oag"}]
    assert bytes_of(snapshot_id) == {7: block(3), 4095: block(2)}


@pytest.mark.parametrize(
    ("index", "data", "other", "expected"),
    [
        (0, b"x" * 512, {}, "INVALID_BLOCK"),
        (0, block(1), {"DataLength": 512}, "INVALID_BLOCK"),
        (2048, block(1), {}, "INVALID_BLOCK"),
        (0, block(1), {"Checksum": b64(b"other")}, "INVALID_PARAMETER_VALUE"),
    ],
)
def test_a_block_that_is_not_exact_is_refused(ebs, index, data, other, expected):
    snapshot_id = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    found = reason(lambda: put(ebs, snapshot_id, index, data, **other))
    assert found == ("ValidationException", expected)
    answer = ebs.complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=0)
    assert answer["Status"] == "pending"


@pytest.mark.parametrize(
    "wrong",
    [
        {"ChangedBlocksCount": 1},
        {"ChangedBlocksCount": 3},
        {"Checksum": linear(block(2), block(1))},
        {"ChecksumAggregationMethod": None},
        {"ChecksumAlgorithm": None},
    ],
)
def test_a_completion_that_does_not_fit_what_was_put_is_refused(ebs, wrong):
    snapshot_id = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    put(ebs, snapshot_id, 1, block(2))
    put(ebs, snapshot_id, 0, block(1))
    right = {
        "ChangedBlocksCount": 2,
        "Checksum": linear(block(1), block(2)),
        "ChecksumAlgorithm": "SHA256",
        "ChecksumAggregationMethod": "LINEAR",
    }
    asked = {key: value for key, value in (right | wrong).items() if value is not None}
    found = reason(lambda: ebs.complete_snapshot(SnapshotId=snapshot_id, **asked))
    assert found == ("ValidationException", "INVALID_PARAMETER_VALUE")
    assert ebs.complete_snapshot(SnapshotId=snapshot_id, **right)["Status"] == "pending"


def test_the_same_token_gives_the_same_snapshot_and_another_request_with_it_a_conflict(ebs):
    first = ebs.start_snapshot(VolumeSize=1, ClientToken="one")["SnapshotId"]
    assert ebs.start_snapshot(VolumeSize=1, ClientToken="one")["SnapshotId"] == first
    found = reason(lambda: ebs.start_snapshot(VolumeSize=2, ClientToken="one"))
    assert found[0] == "ConflictException"


def test_a_snapshot_left_alone_fails_and_each_block_gives_it_time(ebs, ec2, world):
    world.clock.advance(
        -890
    )  # botocore signs with the real time; a quarter of an hour apart is too much
    snapshot_id = ebs.start_snapshot(VolumeSize=1, Timeout=10)["SnapshotId"]
    world.clock.advance(599)
    put(ebs, snapshot_id, 0, block(1))
    world.clock.advance(599)
    assert ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]["State"] == "pending"
    world.clock.advance(1)
    assert reason(lambda: put(ebs, snapshot_id, 2, block(1)))[1] == "INVALID_SNAPSHOT_ID"
    seen = ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]
    assert (seen["State"], seen["StateMessage"]) == (
        "error",
        "The snapshot was not completed in time",
    )


@pytest.mark.parametrize("minutes", [9, 4321])
def test_a_timeout_outside_its_bounds_is_refused(ebs, refusal, minutes):
    code, message = refusal(ebs.start_snapshot, VolumeSize=1, Timeout=minutes)
    assert (code, "timeout" in message.lower()) == ("ValidationException", True)


def test_nothing_is_listed_or_read_before_it_is_sealed_and_nothing_put_after(ebs, written):
    snapshot_id = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    found = reason(lambda: ebs.list_snapshot_blocks(SnapshotId=snapshot_id))
    assert found == ("ValidationException", "INVALID_SNAPSHOT_ID")
    sealed = written({0: block(1)})
    assert reason(lambda: put(ebs, sealed, 1, block(1)))[1] == "INVALID_SNAPSHOT_ID"
    assert ebs.complete_snapshot(SnapshotId=sealed, ChangedBlocksCount=1)["Status"] == "completed"
    unknown = reason(lambda: put(ebs, "snap-0123456789abcdef0", 1, block(1)))
    assert unknown == ("ResourceNotFoundException", "SNAPSHOT_NOT_FOUND")


def test_a_child_holds_the_blocks_of_its_parent_even_when_that_is_gone(ebs, ec2, written, bytes_of):
    parent = written({0: block(1), 5: block(2)})
    child = written({5: block(9), 6: block(3)}, ParentSnapshotId=parent)
    grandchild = written({7: block(4)}, ParentSnapshotId=child)
    changed = ebs.list_changed_blocks(FirstSnapshotId=parent, SecondSnapshotId=child)
    assert [one["BlockIndex"] for one in changed["ChangedBlocks"]] == [5, 6]
    assert "FirstBlockToken" not in changed["ChangedBlocks"][1]
    ec2.delete_snapshot(SnapshotId=parent)
    ec2.delete_snapshot(SnapshotId=child)
    expected = {0: block(1), 5: block(9), 6: block(3), 7: block(4)}
    assert bytes_of(grandchild) == expected


def test_what_excludes_each_other_or_is_too_small_is_refused(ebs, written):
    parent = written({0: block(1)})
    both = reason(
        lambda: ebs.start_snapshot(VolumeSize=1, ParentSnapshotId=parent, Encrypted=False)
    )
    assert both == ("ValidationException", "INVALID_PARAMETER_VALUE")
    key = "arn:aws:kms:eu-central-1:111111111111:key/12345678-1234-1234-1234-123456789012"
    lost = reason(lambda: ebs.start_snapshot(VolumeSize=1, Encrypted=True, KmsKeyArn=key))
    assert lost == ("ResourceNotFoundException", "DEPENDENCY_RESOURCE_NOT_FOUND")
    big = reason(lambda: ebs.start_snapshot(VolumeSize=65_537))
    assert big == ("ValidationException", "INVALID_VOLUME_SIZE")


def test_a_hundred_snapshots_may_be_open(ebs, refusal):
    for _ in range(100):
        first = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    assert refusal(ebs.start_snapshot, VolumeSize=1)[0] == "ConcurrentLimitExceededException"
    ebs.complete_snapshot(SnapshotId=first, ChangedBlocksCount=0)


def test_blocks_come_in_pages_and_only_for_their_own_tokens(ebs, written, bytes_of, refusal):
    blocks = {index: block(index % 7 + 1) for index in range(0, 240, 2)}
    snapshot_id = written(blocks)
    first = ebs.list_snapshot_blocks(SnapshotId=snapshot_id, MaxResults=100)
    assert len(first["Blocks"]) == 100
    assert bytes_of(snapshot_id) == blocks
    token = first["Blocks"][0]["BlockToken"]
    found = reason(
        lambda: ebs.get_snapshot_block(SnapshotId=snapshot_id, BlockIndex=2, BlockToken=token)
    )
    assert found == ("ValidationException", "INVALID_BLOCK_TOKEN")


def test_the_caller_needs_the_action(ebs, connect, refusal):
    snapshot_id = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    allowed = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "ebs:StartSnapshot", "Resource": "*"}],
    }
    one = connect("ebs", [allowed])
    one.start_snapshot(VolumeSize=1)
    code, message = refusal(one.complete_snapshot, SnapshotId=snapshot_id, ChangedBlocksCount=0)
    assert code == "AccessDeniedException"
    assert "ebs:CompleteSnapshot" in message
