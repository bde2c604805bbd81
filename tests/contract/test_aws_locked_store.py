"""Audits in a bucket with Object Lock: exported, gone on with, verified, and not to be removed by an administrator."""

import pytest
from audit_files import PROJECT, new_signer, plain, sign
from aws_world import MANAGEMENT, small_organization

from ostiary.aws.locked_store import LockedStore
from ostiary.connect import Transports
from ostiary.connect_control import locked_store
from ostiary.doors.servers.audit.checkpoint import read
from ostiary.doors.servers.audit.export import export
from ostiary.doors.servers.audit.segment import files_in
from ostiary.doors.servers.audit.targets import InStore
from ostiary.doors.servers.audit.verify import verify
from ostiary.doors.servers.control.checkpoint_places import InStore as Place
from ostiary.errors import Denied, NotFound, UsageError

BUCKET = "acme-audit"
SIGNER = new_signer()


@pytest.fixture
def site(monkeypatch):
    site = small_organization(monkeypatch)
    site.aws.call("s3", "create_bucket", Bucket=BUCKET, ObjectLockEnabledForBucket=True)
    return site


@pytest.fixture
def store(site):
    return LockedStore(site.aws, BUCKET, "ostiary", days=30, clock=site.world.clock.now)


def test_what_is_put_is_locked_and_nobody_removes_it(site, store):
    store.check()
    assert store.put_new("prj_1/day.jsonl", b"rows")
    assert not store.put_new("prj_1/day.jsonl", b"other")
    assert store.get("prj_1/day.jsonl").data == b"rows"
    assert store.names("prj_1/") == ("prj_1/day.jsonl",)
    one = {"Bucket": BUCKET, "Key": "ostiary/prj_1/day.jsonl"}
    told = site.aws.call("s3", "head_object", **one)
    assert told["ObjectLockMode"] == "COMPLIANCE"
    days = (told["ObjectLockRetainUntilDate"].timestamp() - site.world.clock.now()) / 86400
    assert days == pytest.approx(30, abs=0.01)
    with pytest.raises(Denied, match="object protected by object lock"):
        site.aws.call("s3", "delete_object", **one, VersionId=told["VersionId"])
    sooner = {"Mode": "COMPLIANCE", "RetainUntilDate": told["LastModified"].replace(year=2999)}
    site.aws.call("s3", "put_object_retention", **one, Retention=sooner)
    with pytest.raises(Denied):
        site.aws.call("s3", "put_object_retention", **one, Retention={})


def test_a_lost_answer_is_resolved_by_looking(site, store):
    site.world.switches.lost_answer_share = 0.5
    for number in range(6):
        assert store.put_new(f"prj_1/{number}", b"mine")


def test_a_bucket_that_does_not_lock_is_refused_with_what_to_do(site):
    site.aws.call("s3", "create_bucket", Bucket="plain")
    with pytest.raises(UsageError, match="has no Object Lock") as refused:
        LockedStore(site.aws, "plain", "", days=1).check()
    assert "--object-lock-enabled-for-bucket" in refused.value.fix
    assert refused.value.code == "ObjectLockConfigurationNotFoundError"
    with pytest.raises(NotFound):
        LockedStore(site.aws, "absent-altogether", "", days=1).check()
    with pytest.raises(UsageError):
        LockedStore(site.aws, "plain", "", days=0)


def test_who_may_put_but_not_lock_puts_nothing(site, store):
    site.world.switches.denied.add((MANAGEMENT, "s3:PutObjectRetention"))
    with pytest.raises(Denied):
        store.put_new("prj_1/day.jsonl", b"rows")
    assert store.names("") == ()


def test_an_address_that_is_none_is_refused():
    for url in ("s3://", "http://x/y", "x"):
        with pytest.raises(UsageError):
            locked_store(url, days=1, region="eu-central-1", transports=Transports())


class Source:
    """The other side: all of a project's rows, and a checkpoint for each ten."""

    project_id = PROJECT

    def __init__(self, count):
        self.all = plain(count)
        self.signed = [sign(SIGNER, one) for one in self.all[9::10]]

    def rows(self, after):
        return [one for one in self.all if one.number > after]

    def checkpoints(self, after):
        return [one for one in self.signed if one.number > after]


def fetched(store, folder):
    """Every object, as somebody copies a bucket."""
    for name in store.names(""):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(store.get(name).data)
    return files_in([folder])


def test_an_audit_is_exported_there_gone_on_with_and_verified_from_a_copy(site, store, tmp_path):
    site.world.switches.lost_answer_share = 0.3
    for count, last in ((25, 20), (25, 0), (40, 40)):
        done = export(Source(count), InStore(store), [SIGNER.public_key])
        assert done.last == last
    site.world.switches.lost_answer_share = 0.0
    rows, checkpoints = fetched(store, tmp_path)
    signed = [one for path in checkpoints for one in read(path)]
    found = verify(rows, signed, [SIGNER.public_key])
    assert (found.whole, found.rows, found.covered, found.trusted) == (True, 40, 40, True)


@pytest.mark.parametrize("hidden", [(0,), (1,), (0, 1), (2, 3), (0, 1, 2, 3)])
def test_what_a_marker_hides_is_exported_again_and_nothing_overlaps(site, store, tmp_path, hidden):
    for count in (20, 40, 60):
        export(Source(count), InStore(store), [SIGNER.public_key])
    names = store.names("")
    for number in hidden:
        site.aws.call("s3", "delete_object", Bucket=BUCKET, Key=f"ostiary/{names[number]}")
    export(Source(80), InStore(store), [SIGNER.public_key])
    rows, _ = fetched(store, tmp_path)
    found = verify(rows)
    assert (found.whole, found.first, found.rows) == (True, 1, 80)


def test_checkpoints_are_kept_there_too(store):
    place = Place(store)
    for number in (9, 19):
        place.keep(sign(SIGNER, plain(20)[number]))
    assert place.last(PROJECT).number == 20
    assert place.last("prj_other") is None
