"""The run store and the key wrap over the embedded S3 and KMS."""

import pytest
from aws_world import MANAGEMENT, small_organization
from run_store_suite import RunStoreSuite

from ostiary.aws.kms_wrap import KmsWrap
from ostiary.aws.run_store import S3RunStore
from ostiary.errors import Denied, NotFound, OstiaryError, UsageError


@pytest.fixture
def site(monkeypatch):
    return small_organization(monkeypatch)


class TestS3RunStore(RunStoreSuite):
    @pytest.fixture
    def store(self, site):
        site.aws.call("s3", "create_bucket", Bucket="acme-ostiary")
        return S3RunStore.at(site.aws, "s3://acme-ostiary/runs")

    @pytest.fixture
    def other(self, site, store):
        return S3RunStore.at(site.again(), "s3://acme-ostiary/runs/")

    def test_a_lost_answer_of_a_conditional_put_is_resolved_by_looking(self, site, store):
        site.world.switches.lost_answer_share = 0.5
        for number in range(6):
            assert store.put_new(f"acme/{number}", b"mine")
            assert not store.put_new(f"acme/{number}", b"theirs")


def test_a_missing_bucket_is_an_error_and_not_an_empty_store(site):
    store = S3RunStore.at(site.aws, "s3://nowhere-at-all/runs")
    with pytest.raises(NotFound):
        store.get("acme/lease")
    with pytest.raises(NotFound):
        store.put_new("acme/lease", b"x")


def test_an_address_that_is_none_is_refused(site):
    with pytest.raises(UsageError):
        S3RunStore.at(site.aws, "acme-ostiary/runs")


def test_a_key_of_kms_wraps_for_its_estate_only(site):
    key = site.aws.call("kms", "create_key", repeatable=True)["KeyMetadata"]["KeyId"]
    wrapped = KmsWrap(site.aws, key, "acme").wrap(b"k" * 32)
    assert KmsWrap(site.again(), key, "acme").unwrap(wrapped) == b"k" * 32
    with pytest.raises(OstiaryError):
        KmsWrap(site.aws, key, "other").unwrap(wrapped)
    site.world.switches.denied.add((MANAGEMENT, "kms:Decrypt"))
    with pytest.raises(Denied):
        KmsWrap(site.aws, key, "acme").unwrap(wrapped)
