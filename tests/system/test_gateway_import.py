"""Importing an appliance against the sandbox: what is made, what is refused, what a kill leaves."""

import hashlib
import json
import subprocess
import threading

import pytest
from gateway_world import GatewayWorld

from ostiary.aws.ebs_direct import EbsDirect
from ostiary.aws.image_tasks import ImportTask
from ostiary.connect import Transports
from ostiary.connect_region import reach_region
from ostiary.doors.gateway.image.problems import REMEDIES, remedy_for
from ostiary.doors.gateway.importing.cancel import cancel
from ostiary.doors.gateway.importing.watching import Patience, watch
from ostiary.errors import Conflict, Denied, Interrupted, NotFound, OstiaryError, Unreachable
from ostiary.sandbox.appliance.make import DiskSpec
from ostiary.sandbox.aws.iam_state import AccessKey

ROUTES = ("import-image", "import-snapshot", "ebs-direct")
TWO = (DiskSpec(), DiskSpec(24 * 1024 * 1024, noise=900_000, every=2))
ONE, MIB = (DiskSpec(),), 1024 * 1024
SPARSE = (DiskSpec(), DiskSpec(500 * MIB, noise=4096, every=100), DiskSpec(8 * MIB, noise=0))
SHAPES = (
    ("bios", "mbr", "footer", ONE),
    ("bios", "mbr", "header", ONE),
    ("bios", "gpt", "footer", ONE),
    ("bios", "gpt", "header", TWO),
    ("uefi", "gpt", "footer", ONE),
    ("uefi", "gpt", "header", ONE),
    ("uefi", "mbr", "footer", ONE),
    ("uefi", "mbr", "header", TWO),
    ("bios", "mbr", "footer", SPARSE),
    ("uefi", "gpt", "header", (DiskSpec(), DiskSpec(17 * MIB, noise=1_048_576, every=1))),
    ("bios", "gpt", "footer", (DiskSpec(97 * MIB),)),
)


@pytest.fixture
def gateway(tmp_path, monkeypatch):
    return GatewayWorld(tmp_path, monkeypatch)


def raw_of(path, folder):
    """The disks as qemu-img reads them, which is nobody's reader of ours."""
    subprocess.run(["tar", "-xf", path, "-C", folder], check=True)
    found = []
    for vmdk in sorted(folder.glob("*.vmdk")):
        raw = folder / f"{vmdk.name}.raw"
        subprocess.run(["qemu-img", "convert", "-O", "raw", vmdk, raw], check=True)
        found.append(raw.read_bytes())
    return found


def stored(gateway, snapshot_id, size):
    held = bytearray(size)
    for index, data in EbsDirect(
        gateway.reached.aws, gateway.region, send=gateway.reached.blocks
    ).blocks(snapshot_id):
        held[index * len(data) : (index + 1) * len(data)] = data
    return bytes(held[:size]), not any(held[size:])


class TestRoutes:
    @pytest.mark.parametrize("route", ROUTES)
    def test_the_snapshots_hold_what_qemu_img_reads(self, gateway, tmp_path, route):
        path = gateway.ova(disks=TWO)
        made = gateway.run(path, route)
        inner = tmp_path / "inner"
        inner.mkdir()
        disks = raw_of(path, inner)
        assert len(made.snapshots) == len(disks) == 2
        for snapshot_id, raw in zip(made.snapshots, disks, strict=True):
            held, empty_behind = stored(gateway, snapshot_id, len(raw))
            assert held == raw
            assert empty_behind
        image = gateway.client("ec2").describe_images(ImageIds=[made.image_id])["Images"][0]
        tags = {tag["Key"]: tag["Value"] for tag in image["Tags"]}
        assert tags["ostiary:appliance-digest"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert tags["ostiary:route"] == route
        assert image["BootMode"] == "legacy-bios"
        assert image["EnaSupport"]

    @pytest.mark.parametrize("route", ROUTES)
    @pytest.mark.parametrize("shape", SHAPES, ids=range(len(SHAPES)))
    def test_every_shape_comes_back_to_the_byte(self, gateway, tmp_path, route, shape):
        firmware, table, variant, disks = shape
        path = gateway.ova(firmware=firmware, table=table, variant=variant, disks=disks)
        made = gateway.run(path, route)
        inner = tmp_path / "inner"
        inner.mkdir()
        raws = raw_of(path, inner)
        assert len(made.snapshots) == len(raws)
        for snapshot_id, raw in zip(made.snapshots, raws, strict=True):
            held, empty_behind = stored(gateway, snapshot_id, len(raw))
            assert held == raw
            assert empty_behind

    @pytest.mark.parametrize("route", ["import-image", "import-snapshot"])
    def test_nothing_is_left_in_the_bucket(self, gateway, route):
        gateway.run(gateway.ova(), route)
        s3 = gateway.client("s3")
        name = f"ostiary-gateway-100000000001-{gateway.region}"
        assert s3.list_objects_v2(Bucket=name).get("KeyCount") == 0
        assert "Uploads" not in s3.list_multipart_uploads(Bucket=name)

    @pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "us-gov-west-1"])
    def test_the_bucket_is_made_rightly_in_every_region(self, tmp_path, monkeypatch, region):
        gateway = GatewayWorld(tmp_path, monkeypatch, region)
        gateway.run(gateway.ova(), "import-image")
        account = gateway.reached.account_id
        s3, name = gateway.client("s3"), f"ostiary-gateway-{account}-{region}"
        where = s3.get_bucket_location(Bucket=name)["LocationConstraint"]
        assert where == (None if region == "us-east-1" else region)
        block = s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
        assert all(block.values())
        rules = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
        assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        lifecycle = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"][0]
        assert lifecycle["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 7

    def test_uefi_is_registered_with_a_tpm(self, gateway):
        made = gateway.run(gateway.ova(firmware="uefi", table="gpt"), "ebs-direct")
        image = gateway.client("ec2").describe_images(ImageIds=[made.image_id])["Images"][0]
        assert (image["BootMode"], image["TpmSupport"], image["ImdsSupport"]) == (
            "uefi",
            "v2.0",
            "v2.0",
        )
        volume = image["BlockDeviceMappings"][0]["Ebs"]
        assert volume["VolumeType"] == "gp3"

    def test_a_next_version_sends_only_what_differs(self, gateway):
        disks = (DiskSpec(64 * 1024 * 1024), DiskSpec(64 * 1024 * 1024, noise=400_000, every=1))
        first = gateway.run(gateway.ova(disks=disks), "ebs-direct")
        again = gateway.run(gateway.ova("next.ova", disks=disks), "ebs-direct")
        assert again.reused, "the same bytes under another name"
        path = gateway.ova("v2.ova", disks=(disks[0],), version=2)
        alone = gateway.run(gateway.ova("v1.ova", disks=(disks[0],)), "ebs-direct")
        newer = gateway.run(path, parent=alone.image_id)
        assert newer.route == "ebs-direct"
        assert newer.facts["blocks"] < alone.facts["blocks"]
        assert newer.facts["blocks_same"] > 0
        held, _ = stored(gateway, newer.snapshots[0], 64 * 1024 * 1024)
        inner = path.parent / "v2"
        inner.mkdir()
        assert held == raw_of(path, inner)[0]
        assert first.image_id != newer.image_id

    def test_without_digests_of_the_parent_everything_is_sent_and_said(self, gateway):
        first = gateway.run(gateway.ova(), "ebs-direct")
        other = gateway.again("elsewhere")
        newer = gateway.run(gateway.ova("v2.ova", version=2), reached=other, parent=first.image_id)
        assert newer.facts["blocks_same"] == 0
        assert any(one.what == "no-index" for one in gateway.steps)


class TestRefusals:
    """O3: nothing leaves before the file was judged and every promise of its manifest was held to."""

    @pytest.mark.parametrize("route", ROUTES)
    @pytest.mark.parametrize("fault", ["bad-manifest", "missing-line", "truncated"])
    def test_what_is_not_safe_never_leaves(self, gateway, route, fault):
        path = gateway.ova(faults=frozenset({fault}))
        before = len(gateway.world.calls)
        with pytest.raises(Conflict) as refused:
            gateway.run(path, route, force=True)
        assert refused.value.what == "refuse to import oag.ova"
        assert {one[1] for one in gateway.world.calls[before:]} <= {"GetCallerIdentity"}

    @pytest.mark.parametrize(
        "fault", ["no-kernel", "no-fstab", "no-partitions", "compression-0", "ovf-last"]
    )
    def test_what_vm_import_would_refuse_is_refused_here_first(self, gateway, fault):
        path = gateway.ova(faults=frozenset({fault}))
        with pytest.raises(Conflict) as refused:
            gateway.run(path, "import-image")
        assert "VM Import:" in refused.value.why
        assert gateway.calls("CreateBucket", "ImportImage") == 0

    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            ("no-kernel", "Unable to determine kernel version"),
            ("no-fstab", "Could not read fstab"),
            ("no-partitions", "No valid partitions"),
            ("compression-0", "unsupported compression algorithm 0"),
            ("ovf-last", "Unsupported OVA format"),
        ],
    )
    def test_force_hears_it_from_the_service_in_the_words_that_were_predicted(
        self, gateway, fault, said
    ):
        path = gateway.ova(faults=frozenset({fault}))
        with pytest.raises(Conflict) as predicted:
            gateway.run(path, "import-image")
        with pytest.raises(Conflict) as refused:
            gateway.run(path, "import-image", force=True)
        assert said in refused.value.why
        assert said in predicted.value.why
        assert refused.value.fix == remedy_for(said).fix

    def test_a_file_without_manifest_must_be_accepted_or_expected(self, gateway):
        path = gateway.ova(manifest=None)
        with pytest.raises(Conflict) as refused:
            gateway.run(path, "ebs-direct")
        assert "--accept-unsigned" in refused.value.fix
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with pytest.raises(Conflict, match="not the expected one"):
            gateway.run(path, "ebs-direct", expect_digest="0" * 64)
        assert gateway.run(path, "ebs-direct", expect_digest=f"SHA256:{digest.upper()}").image_id

    def test_the_root_user_is_refused(self, gateway, monkeypatch):
        monkeypatch.chdir(gateway.folder)
        root = AccessKey("AKIA0000000000000000", "secret", "100000000001", "")
        gateway.world.aws.keys[root.id] = root
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", root.id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", root.secret)
        alone = reach_region(
            region=gateway.region, runs="file:runs", transports=Transports(aws=gateway.join)
        )
        with pytest.raises(Denied, match="root user"):
            gateway.run(gateway.ova(), "ebs-direct", reached=alone)


class TestRole:
    def test_statements_of_others_stay_as_they_are(self, gateway):
        iam = gateway.client("iam")
        theirs = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "Old",
                    "Effect": "Allow",
                    "Principal": {"Service": "vmie.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                    "Condition": {"StringEquals": {"sts:Externalid": "vmimport"}},
                }
            ],
        }
        iam.create_role(RoleName="vmimport", AssumeRolePolicyDocument=json.dumps(theirs))
        iam.put_role_policy(
            RoleName="vmimport",
            PolicyName="vmimport",
            PolicyDocument=json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
                }
            ),
        )
        gateway.run(gateway.ova(), "import-image")
        trust = iam.get_role(RoleName="vmimport")["Role"]["AssumeRolePolicyDocument"]
        assert trust["Statement"][0] == theirs["Statement"][0]
        ours = trust["Statement"][1]
        assert ours["Condition"]["StringEquals"] == {
            "sts:Externalid": "vmimport",
            "aws:SourceAccount": "100000000001",
        }
        assert set(iam.list_role_policies(RoleName="vmimport")["PolicyNames"]) == {
            "vmimport",
            "ostiary-gateway-import",
        }

    def test_a_second_bucket_is_added_and_the_first_stays(self, gateway):
        gateway.run(gateway.ova(), "import-image")
        gateway.run(
            gateway.ova("b.ova", version=2), "import-image", bucket="another-bucket-of-acme"
        )
        policy = gateway.client("iam").get_role_policy(
            RoleName="vmimport", PolicyName="ostiary-gateway-import"
        )["PolicyDocument"]
        assert "arn:aws:s3:::another-bucket-of-acme" in policy["Statement"][0]["Resource"]
        assert (
            "arn:aws:s3:::ostiary-gateway-100000000001-us-east-1"
            in policy["Statement"][0]["Resource"]
        )
        assert all(one["Resource"] != "*" for one in policy["Statement"] if one["Sid"] == "Read")


class TestFoundAgain:
    def test_the_second_operator_gets_the_ami(self, gateway):
        path = gateway.ova()
        first = gateway.run(path, "import-image")
        other = gateway.again("another machine")
        second = gateway.run(path, "import-image", reached=other)
        assert second.reused
        assert second.image_id == first.image_id
        assert gateway.calls("ImportImage") == 1

    def test_two_at_once_make_one_task(self, gateway):
        """O8: another machine, another run store; only the token joins them."""
        path = gateway.ova()
        gateway.images.pace = 3.0
        found, failed = [], []

        def operator(number):
            try:
                found.append(
                    gateway.run(path, "import-image", reached=gateway.again(f"runs{number}"))
                )
            except OstiaryError as error:
                failed.append(error)

        threads = [threading.Thread(target=operator, args=(n,)) for n in range(2)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert not failed
        assert len({one.image_id for one in found}) == 1
        assert len(gateway.images.tasks) == 1

    def test_a_failed_task_is_not_found_again_by_its_token(self, gateway):
        path = gateway.ova()
        gateway.images.faults.breaks = (
            "ServerError: an internal error has occurred during conversion."
        )
        with pytest.raises(Conflict, match="internal error"):
            gateway.run(path, "import-image")
        gateway.images.faults.breaks = ""
        assert gateway.run(path, "import-image", reached=gateway.again()).image_id
        assert len(gateway.images.tasks) == 2


class TestWatching:
    """O6: every end that a task can have is known, and waiting has an end."""

    def test_stuck(self, gateway):
        gateway.images.faults.stuck_at = 30
        with pytest.raises(Unreachable, match="does not move"):
            gateway.run(gateway.ova(), "import-image", patience=Patience(0.0, 0.0, 0.3, 0.3, 0.2))

    def test_completed_without_an_image_and_found_by_its_name(self, gateway):
        gateway.images.faults.no_image_id = True
        made = gateway.run(gateway.ova(), "import-image")
        (image,) = gateway.images.images.values()
        assert made.image_id == image.id
        assert image.tags["ostiary:appliance-digest"] == made.digest

    def test_completed_without_an_image_that_anybody_knows(self):
        task = ImportTask("import-ami-1", "completed", "", 100, "", ())
        quick = Patience(0.0, 0.0, 5.0, 5.0, completing=0.05)
        with pytest.raises(Unreachable, match="without saying what it made"):
            watch(
                lambda: task,
                task.id,
                on_step=lambda _: None,
                stop=threading.Event(),
                patience=quick,
            )

    def test_not_shown_for_a_while(self, gateway):
        gateway.images.faults.silent_for = 0.3
        assert gateway.run(
            gateway.ova(), "import-image", patience=Patience(0.01, 0.01, 5, 5, 1)
        ).image_id

    def test_never_shown(self, gateway):
        gateway.images.faults.silent_for = 999
        with pytest.raises(NotFound, match="cannot see import task"):
            gateway.run(gateway.ova(), "import-image")
        gateway.images.faults.silent_for = 0.0
        assert gateway.run(gateway.ova(), "import-image", reached=gateway.again()).image_id
        assert len(gateway.images.tasks) == 1

    @pytest.mark.parametrize("status", ["deleting", "deleted", "cancelled", "error"])
    def test_every_bad_end_says_what_the_service_said(self, status):
        task = ImportTask("import-ami-1", status, "ClientError: Footers not identical", -1, "", ())
        with pytest.raises(Conflict) as failed:
            watch(lambda: task, task.id, on_step=lambda _: None, stop=threading.Event())
        assert "Footers not identical" in failed.value.why
        assert failed.value.fix == "consolidate snapshots and export again"

    def test_a_stop_leaves_the_task_going(self):
        stop = threading.Event()
        stop.set()
        with pytest.raises(Interrupted) as stopped:
            watch(lambda: None, "import-ami-1", on_step=lambda _: None, stop=stop)
        assert "gateway cancel import-ami-1" in stopped.value.fix


# VM Import/Export User Guide, "Troubleshooting VM Import/Export", every message of the page
DOCUMENTED = (
    "AWS Error Code: InvalidParameter, AWS Error Message: Message: Parameter disk-image-size=0 has an invalid format",
    "A client error (MalformedPolicyDocument) occurred when calling the CreateRole operation: Syntax errors in policy",
    "The service role vmimport does not exist or does not have sufficient permissions for the service to continue",
    "Client.Unsupported: No bootable partition found. (Service: AmazonEC2; Status Code: 400; Error Code: Unsupported)",
    "ClientError: Footers not identical",
    "ClientError: Uncompressed data has invalid length",
    "ERROR: Bucket ours is not in the eu-west-1 region, it's in us-east-1",
    "ERROR: File uses unsupported compression algorithm 0",
    "Invalid S3 source location",
    "The given S3 bucket is not local to the region",
    "Client.UnsupportedOperation: This instance has multiple volumes attached. Please remove additional volumes.",
    "Client.NotExportable: Only imported instances can be exported. (Service: AmazonEC2; Status Code: 400)",
    (
        "Error starting instances: Invalid value i-1 for instanceId. Instance does not have a volume attached at root"
        " (/dev/sda1)."
    ),
    (
        "ClientError: Booter Networking failure/instance not reachable. Please retry after installation of .Net framework"
        " 3.5 SP1 or greater."
    ),
    (
        "FirstBootFailure: This import request failed because the Windows instance failed to boot and establish network"
        " connectivity."
    ),
    "Windows activation fails",
    "No bootable partition found",
    "ClientError: Invalid configuration - Could not read fstab",
    "ClientError: Unsupported configuration - Logical volume group activation failed ",
    "ClientError: Unsupported configuration - Multiple directories found",
    "Linux is not supported on the requested instance",
)


@pytest.mark.parametrize("message", DOCUMENTED)
def test_every_documented_message_has_a_remedy(message):
    remedy = remedy_for(message)
    assert remedy in REMEDIES
    assert not remedy.seen, "the page has it"


def test_a_message_that_nobody_has_met_has_one_too():
    assert remedy_for("ClientError: something new").fix
    assert remedy_for("ClientError: something new") not in REMEDIES


class TestThrottledAndLost:
    @pytest.mark.parametrize("route", ROUTES)
    def test_a_world_that_throttles_and_loses_answers(self, gateway, route):
        gateway.world.switches.throttle_share = 0.2
        gateway.world.switches.lost_answer_share = 0.15
        path = gateway.ova(disks=TWO)
        made = None
        for _ in range(6):
            try:
                made = gateway.run(path, route, reached=gateway.again())
                break
            except (Unreachable, Conflict):
                continue
        assert made is not None
        gateway.world.switches.throttle_share = gateway.world.switches.lost_answer_share = 0.0
        assert len(gateway.images.images) == 1
        assert gateway.run(path, route, reached=gateway.again()).reused


class TestCancel:
    def test_everything_that_an_import_left_goes(self, gateway):
        path = gateway.ova()
        gateway.images.pace = 60
        with pytest.raises(Unreachable):
            gateway.run(path, "import-image", patience=Patience(0.0, 0.0, 0.2, 0.1, 0.2))
        (task,) = gateway.images.tasks.values()
        lines = cancel(gateway.again(), "oag.ova")
        assert f"task {task.id}" in lines
        assert any(line.startswith("object ") for line in lines)
        assert task.status in ("deleting", "deleted")
        gateway.images.pace = 0.2
        assert gateway.run(path, "import-image", reached=gateway.again()).image_id

    def test_nothing_to_cancel(self, gateway):
        with pytest.raises(NotFound):
            cancel(gateway.reached, "oag.ova")


class TestUpload:
    """O1, O2: more parts than one, and a process that ends between them."""

    BIG = (DiskSpec(), DiskSpec(40 * 1024 * 1024, noise=1_000_000, every=1))

    def interrupted(self, gateway, path, after, **settings):
        """Stops once ``after`` bytes are there."""
        stop = threading.Event()

        def on_step(step):
            if step.what == "uploading" and step.done >= after:
                stop.set()

        steps = gateway.steps
        gateway.steps = type("Steps", (list,), {"append": lambda _, step: on_step(step)})()
        with pytest.raises(Interrupted):
            gateway.run(path, "import-image", stop=stop, **settings)
        gateway.steps = steps

    def test_what_is_there_is_not_sent_again(self, gateway):
        path = gateway.ova(disks=self.BIG)
        size = path.stat().st_size
        assert size > 32 * 1024 * 1024
        self.interrupted(gateway, path, 8 * 1024 * 1024)
        before = gateway.calls("UploadPart")
        made = gateway.run(path, "import-image", reached=gateway.again())
        assert made.facts["bytes_again"] >= 8 * 1024 * 1024
        assert made.facts["bytes"] + made.facts["bytes_again"] == size
        parts = -(-size // (8 * 1024 * 1024))
        assert gateway.calls("UploadPart") == parts, before
        s3 = gateway.client("s3")
        assert "Uploads" not in s3.list_multipart_uploads(
            Bucket="ostiary-gateway-100000000001-us-east-1"
        )

    def test_the_object_is_the_file(self, gateway):
        path = gateway.ova(disks=self.BIG)
        gateway.run(path, "import-image", keep_upload=True)
        s3 = gateway.client("s3")
        bucket = "ostiary-gateway-100000000001-us-east-1"
        (one,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
        body = s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
        assert hashlib.sha256(body).digest() == hashlib.sha256(path.read_bytes()).digest()

    def test_a_file_that_changed_between_runs_is_not_mixed_with_the_old_one(self, gateway):
        path = gateway.ova(disks=self.BIG, manifest=None)
        self.interrupted(gateway, path, 8 * MIB, accept_unsigned=True)
        gateway.ova(disks=self.BIG, manifest=None, version=2)
        sent = gateway.calls("UploadPart")
        with pytest.raises(Conflict, match="changed between runs") as refused:
            gateway.run(path, "import-image", reached=gateway.again(), accept_unsigned=True)
        assert refused.value.code == "file-changed"
        assert gateway.calls("UploadPart") == sent
        assert "gateway cancel oag.ova" in refused.value.fix
        assert any(line.startswith("upload to ") for line in cancel(gateway.again(), "oag.ova"))
        made = gateway.run(path, "import-image", reached=gateway.again(), accept_unsigned=True)
        assert made.facts["bytes_again"] == 0, "it is another file, so another object"
        assert not gateway.world.aws.uploads.open

    def test_a_file_that_changes_under_the_upload_is_found_out_by_s3(self, gateway):
        path = gateway.ova(disks=self.BIG)

        def spoil(step):
            if step.what == "uploading" and step.done == 0:
                with path.open("r+b") as file:
                    file.seek(path.stat().st_size - 3_000_000)
                    file.write(b"spoilt")

        gateway.steps = type("Steps", (list,), {"append": lambda _, step: spoil(step)})()
        with pytest.raises(Conflict) as refused:
            gateway.run(path, "import-image")
        assert refused.value.code == "file-changed"
        s3 = gateway.client("s3")
        bucket = "ostiary-gateway-100000000001-us-east-1"
        assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
        assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


class TestBlocks:
    def test_a_stop_and_a_second_run_send_each_block_once(self, gateway):
        path = gateway.ova(disks=(DiskSpec(), DiskSpec(32 * 1024 * 1024, noise=500_000, every=1)))
        stop = threading.Event()

        def on_step(step):
            if (
                step.what == "sending"
                and step.done > 10_000_000
                and step.text.endswith("disk2.vmdk")
            ):
                stop.set()

        gateway.steps = type("Steps", (list,), {"append": lambda _, step: on_step(step)})()
        with pytest.raises(Interrupted):
            gateway.run(path, "ebs-direct", stop=stop)
        sent = gateway.calls("PutSnapshotBlock")
        gateway.steps = []
        made = gateway.run(path, "ebs-direct", reached=gateway.again())
        assert sent > 10
        total = made.facts["blocks"] + made.facts["blocks_again"]
        assert gateway.calls("PutSnapshotBlock") == total
        assert gateway.calls("StartSnapshot") == 4, "the same token gives the same snapshot"
        assert len(gateway.images.snapshots) == 2

    def test_a_disk_that_changed_between_runs_is_refused(self, gateway, tmp_path):
        path = gateway.ova(manifest=None)
        record = gateway.reached.store
        stop = threading.Event()

        def on_step(step):
            if step.what == "sending":
                stop.set()

        gateway.steps = type("Steps", (list,), {"append": lambda _, step: on_step(step)})()
        with pytest.raises(Interrupted):
            gateway.run(path, "ebs-direct", stop=stop, accept_unsigned=True)
        gateway.steps = []
        (log,) = [name for name in record.names("gateway/imports/") if name.endswith("-0")]
        snapshot = next(iter(gateway.images.snapshots))
        record.log(log).append(
            json.dumps({"snapshot": snapshot, "put": {"0": "AAAA", "2": "AAAA"}}).encode() + b"\n"
        )
        with pytest.raises(Conflict) as refused:
            gateway.run(path, "ebs-direct", reached=gateway.again(), accept_unsigned=True)
        assert refused.value.code == "file-changed"
