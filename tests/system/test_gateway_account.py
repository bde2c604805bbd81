"""What an import makes of an account: bucket, role, keys, names; what was there stays as it was."""

import json
import threading
from functools import partial

import botocore.session
import pytest
from gateway_world import QUICK, GatewayWorld

from ostiary.errors import Conflict, Denied, NotFound, UsageError
from ostiary.sandbox.adapters import aws_hook
from ostiary.sandbox.appliance.make import DiskSpec
from ostiary.sandbox.aws import behind

ACCOUNT, REGION = "100000000001", "us-east-1"
BUCKET = f"ostiary-gateway-{ACCOUNT}-{REGION}"
WRITES = (
    "CreateBucket",
    "PutPublicAccessBlock",
    "PutBucketOwnershipControls",
    "PutBucketEncryption",
    "PutBucketLifecycleConfiguration",
    "PutBucketPolicy",
    "PutBucketTagging",
    "CreateMultipartUpload",
    "UploadPart",
    "ImportImage",
    "CreateRole",
    "PutRolePolicy",
    "UpdateAssumeRolePolicy",
)


@pytest.fixture
def gateway(tmp_path, monkeypatch):
    return GatewayWorld(tmp_path, monkeypatch)


def written(gateway):
    return {one[1] for one in gateway.world.calls} & set(WRITES)


def stranger(gateway, account="210000000001"):
    """An S3 client of an administrator of another account."""
    key, secret = gateway.world.aws.add_user(
        account, "stranger", ["arn:aws:iam::aws:policy/AdministratorAccess"]
    )
    return gateway_client(gateway, "s3", key, secret)


def gateway_client(gateway, service, key, secret):
    session = botocore.session.Session()
    client = session.create_client(
        service, region_name=REGION, aws_access_key_id=key, aws_secret_access_key=secret
    )
    client.meta.events.register("before-send", aws_hook(gateway.world))
    return client


class TestBucket:
    @pytest.mark.parametrize(
        ("region", "partition"),
        [("us-east-1", "aws"), ("eu-west-3", "aws"), ("us-gov-east-1", "aws-us-gov")],
    )
    def test_only_tls_and_marked(self, tmp_path, monkeypatch, region, partition):
        gateway = GatewayWorld(tmp_path, monkeypatch, region)
        gateway.run(gateway.ova(), "import-image")
        s3 = gateway.client("s3")
        name = f"ostiary-gateway-{gateway.reached.account_id}-{region}"
        (statement,) = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])["Statement"]
        assert statement["Effect"] == "Deny"
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        arn = f"arn:{partition}:s3:::{name}"
        assert statement["Resource"] == [arn, f"{arn}/*"]
        tags = s3.get_bucket_tagging(Bucket=name)["TagSet"]
        assert {"Key": "ostiary:estate", "Value": "gateway-import"} in tags
        rules = s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"]
        assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]

    def test_a_second_import_writes_no_setting(self, gateway):
        gateway.run(gateway.ova(), "import-image")
        gateway.world.calls.clear()
        gateway.run(gateway.ova("v2.ova", version=2), "import-image")
        assert written(gateway) == {"CreateMultipartUpload", "UploadPart", "ImportImage"}

    def test_a_bucket_that_was_made_half_is_completed_and_what_others_set_stays(self, gateway):
        s3 = gateway.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        team = {"Key": "team", "Value": "edge"}
        s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [team]})
        rule = {
            "ID": "theirs",
            "Status": "Enabled",
            "Filter": {"Prefix": "logs/"},
            "Expiration": {"Days": 30},
        }
        s3.put_bucket_lifecycle_configuration(
            Bucket=BUCKET, LifecycleConfiguration={"Rules": [rule]}
        )
        theirs = {
            "Sid": "Theirs",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:DeleteBucket",
            "Resource": f"arn:aws:s3:::{BUCKET}",
        }
        document = {"Version": "2012-10-17", "Statement": theirs}
        s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(document))
        gateway.run(gateway.ova(), "import-image")
        assert team in s3.get_bucket_tagging(Bucket=BUCKET)["TagSet"]
        rules = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
        assert [one["ID"] for one in rules] == ["theirs", "ostiary-uploads"]
        statements = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])["Statement"]
        assert statements[0] == theirs
        assert statements[1]["Sid"] == "OstiaryTlsOnly"

    def test_a_bucket_that_a_person_named_is_used_as_it_is(self, gateway):
        gateway.client("s3").create_bucket(Bucket="acme-appliances")
        gateway.world.calls.clear()
        gateway.run(gateway.ova(), "import-image", bucket="acme-appliances")
        assert not {one for one in written(gateway) if "Bucket" in one}

    def test_the_bucket_of_another_account_is_not_written_to(self, gateway):
        other = stranger(gateway)
        other.create_bucket(Bucket=BUCKET)
        with pytest.raises(Denied) as refused:
            gateway.run(gateway.ova(), "import-image")
        assert refused.value.what == f"cannot use bucket {BUCKET}"
        assert "--bucket" in refused.value.fix
        assert not written(gateway) - {"CreateBucket"}
        assert other.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0

    def test_a_bucket_elsewhere_is_refused_before_a_byte(self, gateway):
        place = {"LocationConstraint": "eu-central-1"}
        gateway.reached.aws.client("s3", "eu-central-1").create_bucket(
            Bucket="acme-in-frankfurt", CreateBucketConfiguration=place
        )
        with pytest.raises(Conflict, match="cannot import from bucket acme-in-frankfurt"):
            gateway.run(gateway.ova(), "import-image", bucket="acme-in-frankfurt")
        assert gateway.calls("CreateMultipartUpload", "UploadPart") == 0

    def test_an_object_of_the_same_size_is_not_taken_for_ours(self, gateway):
        path = gateway.ova()
        first = gateway.run(path, "import-image", keep_upload=True)
        s3, ec2 = gateway.client("s3"), gateway.client("ec2")
        (one,) = s3.list_objects_v2(Bucket=BUCKET)["Contents"]
        head = s3.head_object(Bucket=BUCKET, Key=one["Key"])
        assert head["Metadata"] == {"appliance-sha256": first.digest}
        s3.put_object(Bucket=BUCKET, Key=one["Key"], Body=bytes(one["Size"]))
        ec2.deregister_image(ImageId=first.image_id)
        again = gateway.run(path, "import-image", reached=gateway.again())
        assert again.facts["bytes"] == path.stat().st_size
        assert again.image_id != first.image_id

    def test_what_is_there_whole_is_not_sent_again(self, gateway):
        path = gateway.ova()
        first = gateway.run(path, "import-image", keep_upload=True)
        gateway.client("ec2").deregister_image(ImageId=first.image_id)
        again = gateway.run(path, "import-image", reached=gateway.again())
        assert again.facts == {"bytes": 0, "bytes_again": path.stat().st_size}


class TestKeys:
    @pytest.fixture
    def key(self, gateway):
        kms = gateway.client("kms")
        found = kms.create_key()["KeyMetadata"]
        kms.create_alias(AliasName="alias/appliances", TargetKeyId=found["KeyId"])
        return found["Arn"]

    @pytest.mark.parametrize("route", ["import-image", "import-snapshot", "ebs-direct"])
    def test_by_alias_on_every_route(self, gateway, key, route):
        made = gateway.run(gateway.ova(), route, kms_key="alias/appliances")
        ec2 = gateway.client("ec2")
        (snapshot,) = ec2.describe_snapshots(SnapshotIds=list(made.snapshots))["Snapshots"]
        assert snapshot["Encrypted"]
        assert snapshot["KmsKeyId"] == key
        tags = {one["Key"]: one["Value"] for one in snapshot["Tags"]}
        assert tags["ostiary:kms-key"] == key
        assert tags["Name"] == made.name

    def test_the_role_may_use_that_key_alone(self, gateway, key):
        gateway.run(gateway.ova(), "import-image", kms_key=key)
        policy = gateway.client("iam").get_role_policy(
            RoleName="vmimport", PolicyName="ostiary-gateway-import"
        )["PolicyDocument"]
        (statement,) = [one for one in policy["Statement"] if one["Sid"] == "Encrypt"]
        assert statement["Resource"] == [key]

    def test_an_open_ami_is_not_taken_for_an_encrypted_one(self, gateway, key):
        path = gateway.ova()
        first = gateway.run(path, "ebs-direct")
        second = gateway.run(path, "ebs-direct", kms_key=key)
        assert not second.reused
        assert second.image_id != first.image_id
        assert gateway.run(path, "ebs-direct", kms_key="alias/appliances").image_id == (
            second.image_id
        )

    def test_a_key_that_is_none_is_said_before_the_file_is_read(self, gateway):
        with pytest.raises(NotFound):
            gateway.run(gateway.ova(), "import-image", kms_key="alias/nobodys")
        assert not written(gateway)
        assert not [one for one in gateway.steps if one.what == "verifying"]

    def test_a_key_that_is_disabled(self, gateway, key):
        with behind.entered(gateway.world.aws, "kms"):
            from moto.kms.models import kms_backends  # noqa: PLC0415 - slow to import

            kms_backends[ACCOUNT][REGION].disable_key(key.rpartition("/")[2])
        with pytest.raises(Conflict, match="its state is Disabled"):
            gateway.run(gateway.ova(), "import-image", kms_key=key)
        assert not written(gateway)

    def test_the_key_of_a_bucket_is_the_roles_to_decrypt_with(self, gateway, key):
        s3 = gateway.client("s3")
        s3.create_bucket(Bucket="acme-appliances")
        default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/appliances"}
        s3.put_bucket_encryption(
            Bucket="acme-appliances",
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": default}]
            },
        )
        gateway.run(gateway.ova(), "import-image", bucket="acme-appliances")
        policy = gateway.client("iam").get_role_policy(
            RoleName="vmimport", PolicyName="ostiary-gateway-import"
        )["PolicyDocument"]
        (statement,) = [one for one in policy["Statement"] if one["Sid"] == "Encrypt"]
        assert statement["Resource"] == [key]


class TestRole:
    @pytest.mark.parametrize("route", ["import-image", "import-snapshot"])
    def test_a_role_that_iam_shows_late(self, gateway, route):
        gateway.world.switches.visible_after = 0.6
        assert gateway.run(gateway.ova(), route).image_id
        assert len(gateway.images.tasks) == 1

    def test_a_role_that_the_service_sees_late(self, gateway):
        """IAM shows it, VM Import knows it a moment later."""
        iam, step_seen = gateway.client("iam"), []
        boundary = "arn:aws:iam::aws:policy/job-function/Billing"

        def on_step(step):
            if step.what == "uploading" and not step_seen:
                step_seen.append(step)
                iam.put_role_permissions_boundary(RoleName="vmimport", PermissionsBoundary=boundary)
                undo = partial(iam.delete_role_permissions_boundary, RoleName="vmimport")
                threading.Timer(0.3, undo).start()

        gateway.steps = type("Steps", (list,), {"append": lambda _, step: on_step(step)})()
        assert gateway.run(gateway.ova(), "import-image").image_id
        assert gateway.calls("ImportImage") > 1
        assert len(gateway.images.tasks) == 1

    def test_a_role_that_may_not_is_not_waited_for(self, gateway):
        """The service's refusal is final when nothing was written to the role just now: here an SCP denies."""
        gateway.run(gateway.ova(), "import-image")
        gateway.world.calls.clear()
        boundary = "arn:aws:iam::aws:policy/job-function/Billing"
        gateway.client("iam").put_role_permissions_boundary(
            RoleName="vmimport", PermissionsBoundary=boundary
        )
        with pytest.raises(Conflict, match="sufficient permissions") as refused:
            gateway.run(gateway.ova("v2.ova", version=2), "import-image")
        assert refused.value.fix
        assert gateway.calls("ImportImage") == 1


class TestNames:
    def test_a_name_that_another_ami_has_is_refused_before_a_byte(self, gateway):
        gateway.run(gateway.ova(), "ebs-direct", name="edge")
        gateway.world.calls.clear()
        with pytest.raises(Conflict) as refused:
            gateway.run(gateway.ova("v2.ova", version=2), "ebs-direct", name="edge")
        assert refused.value.code == "InvalidAMIName.Duplicate"
        assert "--name" in refused.value.fix
        assert gateway.calls("StartSnapshot", "PutSnapshotBlock") == 0

    @pytest.mark.parametrize("name", ["ab", "a" * 129, "a*b", "näme"])
    def test_a_name_that_ec2_takes_not(self, gateway, name):
        with pytest.raises(UsageError, match="cannot name an AMI"):
            gateway.run(gateway.ova(), "ebs-direct", name=name)
        assert not gateway.world.calls

    def test_a_digest_that_is_none(self, gateway):
        with pytest.raises(UsageError, match="--expect-digest"):
            gateway.run(gateway.ova(), "ebs-direct", expect_digest="abc")
        assert not gateway.world.calls

    def test_parent_and_key_exclude_each_other(self, gateway):
        with pytest.raises(UsageError, match="cannot encrypt what builds on"):
            gateway.run(gateway.ova(), parent="snap-1", kms_key="alias/a")
        assert not gateway.world.calls

    def test_snapshots_bear_the_name_and_the_digest_on_every_route(self, gateway):
        for route in ("import-image", "import-snapshot", "ebs-direct"):
            made = gateway.run(gateway.ova(), route, name=f"edge {route}")
            listed = gateway.client("ec2").describe_snapshots(SnapshotIds=list(made.snapshots))
            for one in listed["Snapshots"]:
                tags = {tag["Key"]: tag["Value"] for tag in one["Tags"]}
                assert tags["Name"] == f"edge {route}"
                assert tags["ostiary:appliance-digest"] == made.digest


class TestAgain:
    def test_another_name_in_a_second_run_is_the_same_task(self, gateway):
        path = gateway.ova()
        gateway.images.pace = 60
        stop = threading.Event()

        def on_step(step):
            if step.text.startswith("import-ami-"):
                stop.set()

        gateway.steps = type("Steps", (list,), {"append": lambda _, step: on_step(step)})()
        with pytest.raises(Exception, match="stopped watching"):
            gateway.run(path, "import-image", stop=stop)
        gateway.steps = []
        gateway.images.pace = 0.2
        for runs in ("runs", "of another operator"):
            other = gateway.again(runs)
            made = gateway.run(path, "import-image", reached=other, name=f"edge {runs}")
        assert len(gateway.images.tasks) == 1
        assert made.reused
        assert made.name == "edge runs"

    def test_anothers_failed_attempt_is_not_ours(self, gateway):
        path = gateway.ova()
        gateway.images.faults.breaks = "ServerError: an internal error has occurred"
        with pytest.raises(Conflict):
            gateway.run(path, "import-image")
        gateway.images.faults.breaks = ""
        made = gateway.run(path, "import-image", reached=gateway.again("of another operator"))
        assert made.image_id
        assert len(gateway.images.tasks) == 2

    def test_an_ami_that_is_pending_is_waited_for(self, gateway):
        path = gateway.ova()
        first = gateway.run(path, "ebs-direct")
        image = gateway.images.images[first.image_id]
        image.state = "pending"
        timer = threading.Timer(0.2, lambda: setattr(image, "state", "available"))
        timer.start()
        again = gateway.run(path, "ebs-direct", reached=gateway.again())
        timer.join()
        assert (again.image_id, again.reused) == (first.image_id, True)
        assert len(gateway.images.images) == 1

    def test_an_ami_that_failed_is_made_anew(self, gateway):
        path = gateway.ova()
        first = gateway.run(path, "import-image")
        gateway.images.images[first.image_id].state = "failed"
        again = gateway.run(path, "import-image", reached=gateway.again())
        assert again.image_id != first.image_id

    def test_what_a_failed_attempt_left_goes_with_the_next(self, gateway):
        """The first disk came through, the second failed: its snapshot would stay for ever."""
        path = gateway.ova(disks=(DiskSpec(), DiskSpec(9 * 1024 * 1024)))

        def on_step(step):
            if step.done == 100 and step.unit == "percent":
                gateway.images.faults.breaks = "ServerError: an internal error has occurred"

        gateway.images.pace = 1.0
        gateway.steps = type("Steps", (list,), {"append": lambda _, step: on_step(step)})()
        with pytest.raises(Conflict, match="internal error"):
            delayed(gateway, path)
        assert len(gateway.images.snapshots) == 1
        gateway.images.faults.breaks, gateway.steps, gateway.images.pace = "", [], 0.0
        made = gateway.run(path, "import-snapshot", reached=gateway.again())
        assert set(gateway.images.snapshots) == set(made.snapshots)


def delayed(gateway, path):
    """The second disk's task begins later than the first, so that it is under way when that one has come through."""
    begun = gateway.images.new_id

    def new_id(prefix):
        if prefix == "import-snap" and gateway.images.tasks:
            gateway.images.tasks[next(iter(gateway.images.tasks))].started -= 0.6
        return begun(prefix)

    gateway.images.new_id = new_id
    try:
        gateway.run(path, "import-snapshot", patience=QUICK)
    finally:
        gateway.images.new_id = begun
