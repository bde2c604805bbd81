"""VM Import: what it refuses at once, the states of a task, and disks whose bytes are those that qemu-img gives."""

from __future__ import annotations

import copy
import json
import subprocess
import tarfile

import pytest

from ostiary.sandbox.appliance.make import DiskSpec

BLOCK = 524_288
MIB = 1024 * 1024
SUFFICIENT = (
    "The service role vmimport provided does not exist or does not have sufficient permissions"
)


@pytest.fixture
def task(ec2, world):
    """Describes an image task after so many seconds."""

    def task(task_id: str, after: float = 0.0):
        world.clock.advance(after)
        return ec2.describe_import_image_tasks(ImportTaskIds=[task_id])["ImportImageTasks"][0]

    return task


@pytest.fixture
def start(ec2, upload, role):
    """Uploads an appliance and begins to import it; the role is as it should be."""

    def start(path, form="ova", **other):
        role()
        return ec2.import_image(DiskContainers=[upload(path, form)], **other)["ImportTaskId"]

    return start


@pytest.fixture
def raw_of(tmp_path):
    """The disks of an OVA as ``qemu-img convert -O raw`` gives them."""

    def raw_of(ova):
        with tarfile.open(ova) as archive:
            archive.extractall(tmp_path)
        found = []
        for disk in sorted(tmp_path.glob("*.vmdk")):
            raw = disk.with_suffix(".raw")
            subprocess.run(["qemu-img", "convert", "-O", "raw", disk, raw], check=True)
            found.append(raw.read_bytes())
        return found

    return raw_of


def whole(blocks, size: int) -> bytes:
    disk = bytearray(size)
    for index, data in blocks.items():
        disk[index * BLOCK : (index + 1) * BLOCK] = data
    return bytes(disk[:size])


def test_a_task_goes_through_every_state_and_ends_in_an_image(ec2, ova, start, task):
    task_id = start(ova(), Description="oag")
    seen = [task(task_id)] + [task(task_id, 0.4) for _ in range(20)]
    words = list(dict.fromkeys(one.get("StatusMessage", one["Status"]) for one in seen))
    assert words == [
        "pending",
        "validating",
        "validated",
        "converting",
        "updating",
        "booting",
        "preparing ami",
        "completed",
    ]
    shares = [int(one["Progress"]) for one in seen if one["Status"] == "active"]
    assert shares == sorted(shares)
    last = seen[-1]
    image = ec2.describe_images(ImageIds=[last["ImageId"]])["Images"][0]
    assert (image["Name"], image["BootMode"], last["LicenseType"]) == (
        task_id,
        "legacy-bios",
        "BYOL",
    )
    assert last["SnapshotDetails"][0]["Format"] == "VMDK"
    assert last["SnapshotDetails"][0]["DiskImageSize"] < ova().stat().st_size


@pytest.mark.parametrize(
    ("wanted", "boot_mode"),
    [
        ({}, "legacy-bios"),
        ({"variant": "header", "table": "gpt"}, "legacy-bios"),
        ({"firmware": "uefi", "table": "gpt"}, "uefi"),
        ({"disks": (DiskSpec(), DiskSpec(48 * MIB))}, "legacy-bios"),
    ],
)
def test_the_snapshots_hold_what_qemu_img_gives(
    *, ec2, ova, start, task, bytes_of, raw_of, wanted, boot_mode
):
    path = ova(**wanted)
    done = task(start(path), 20)
    assert (done["Status"], done["BootMode"]) == ("completed", boot_mode)
    expected = raw_of(path)
    ids = [one["SnapshotId"] for one in done["SnapshotDetails"]]
    assert [whole(bytes_of(one), len(raw)) for one, raw in zip(ids, expected, strict=True)] == (
        expected
    )
    mapped = ec2.describe_images(ImageIds=[done["ImageId"]])["Images"][0]["BlockDeviceMappings"]
    assert [one["Ebs"]["SnapshotId"] for one in mapped] == ids
    assert [one["DeviceName"] for one in mapped] == ["/dev/sda1", "/dev/sdf"][: len(ids)]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("ovf-last", "ClientError: Disk validation failed [Unsupported OVA format]"),
        ("bad-manifest", "ClientError: Disk validation failed [Unsupported OVA format]"),
        ("truncated", "ClientError: Disk validation failed [Unsupported OVA format]"),
        ("compression-0", "ClientError: File uses unsupported compression algorithm 0"),
        ("no-partitions", "ClientError: No valid partitions. Not a valid volume."),
        ("no-boot-flag", "ClientError: No bootable partition found"),
        ("no-fstab", "ClientError: Invalid configuration - Could not read fstab"),
        ("no-kernel", "ClientError: Unable to determine kernel version."),
    ],
)
def test_what_is_wrong_with_the_file_ends_the_task(*, ec2, ova, start, task, fault, message):
    task_id = start(ova(faults=frozenset({fault})))
    assert task(task_id, 0.5)["StatusMessage"] == "pending"
    failed = task(task_id, 1)
    assert (failed["Status"], failed["StatusMessage"]) == ("deleting", message)
    gone = task(task_id, 3)
    assert (gone["Status"], gone["StatusMessage"]) == ("deleted", message)
    assert "ImageId" not in gone
    assert ec2.describe_images(Owners=["self"])["Images"] == []
    assert ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []


def test_a_disk_without_a_system_is_none(start, task, tmp_path, tools):
    disk = tmp_path / "empty.raw"
    disk.write_bytes(bytes(8 * MIB))
    subprocess.run(
        ["sfdisk", "-q", "--no-tell-kernel", disk], input="2048,,83,*\n", text=True, check=True
    )
    failed = task(start(disk, "raw"), 2)
    assert failed["StatusMessage"] == "ClientError: Unknown OS / Missing OS files."


def test_uefi_needs_the_fallback_loader(*, start, task, tmp_path, ova):
    with tarfile.open(ova(firmware="uefi", table="gpt")) as archive:
        archive.extract("oag-disk1.vmdk", tmp_path)
    raw, packed = tmp_path / "disk.raw", tmp_path / "packed.vmdk"
    subprocess.run(
        ["qemu-img", "convert", "-O", "raw", tmp_path / "oag-disk1.vmdk", raw], check=True
    )
    disk = raw.read_bytes()
    assert disk.count(b"BOOTX64 EFI") == 1
    raw.write_bytes(disk.replace(b"BOOTX64 EFI", b"OTHER   EFI"))
    pack = ["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized"]
    subprocess.run([*pack, raw, packed], check=True)
    failed = task(start(packed, "vmdk"), 2)
    assert failed["StatusMessage"] == "ClientError: No bootable partition found"


@pytest.mark.parametrize("kind", ["monolithicSparse", "monolithicFlat"])
def test_a_disk_of_another_kind_is_refused(start, task, tmp_path, tools, kind):
    disk = tmp_path / "one.vmdk"
    create = ["qemu-img", "create", "-q", "-f", "vmdk", "-o", f"subformat={kind}", disk, "8M"]
    subprocess.run(create, check=True)
    failed = task(start(disk, "vmdk"), 2)
    assert failed["Status"] == "deleting"
    assert failed["StatusMessage"].startswith("ClientError: ")


def test_a_disk_that_names_a_parent_reads_no_file_of_this_machine(start, task, tmp_path, ova):
    with tarfile.open(ova()) as archive:
        archive.extract("oag-disk1.vmdk", tmp_path)
    disk = bytearray((tmp_path / "oag-disk1.vmdk").read_bytes())
    secret = tmp_path / "secret.vmdk"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", secret, "8M"], check=True)
    at = disk.index(b"parentCID=ffffffff")
    end = disk.index(b"\0", at)
    text = bytes(disk[at:end]).replace(b"parentCID=ffffffff", b"parentCID=00000001")
    text += b'parentFileNameHint="%s"\n' % str(secret).encode()
    disk[at : at + len(text)] = text
    failed = task(start(bytes(disk), "vmdk"), 2)
    assert failed["StatusMessage"] == "ClientError: Disk validation failed [Unsupported VMDK File]"


@pytest.mark.parametrize(("form", "driver"), [("raw", "raw"), ("vhd", "vpc"), ("VHDX", "vhdx")])
def test_import_snapshot_takes_disks_without_looking_into_them(
    *, ec2, world, upload, role, tmp_path, bytes_of, tools, form, driver
):
    role()
    raw, disk = tmp_path / "disk.raw", tmp_path / "disk.img"
    raw.write_bytes((b"\1" * BLOCK + bytes(7 * BLOCK)) * 4)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", driver, raw, disk], check=True)
    task_id = ec2.import_snapshot(DiskContainer=upload(disk, form))["ImportTaskId"]
    words = []
    for _ in range(20):
        seen = ec2.describe_import_snapshot_tasks(ImportTaskIds=[task_id])
        detail = seen["ImportSnapshotTasks"][0]["SnapshotTaskDetail"]
        words.append(detail.get("StatusMessage", detail["Status"]))
        world.clock.advance(0.5)
    found = list(dict.fromkeys(words))
    assert found == ["pending", "validating", "validated", "converting", "completed"]
    assert (detail["Format"], detail["DiskImageSize"]) == (form.upper(), disk.stat().st_size)
    size = raw.stat().st_size
    assert whole(bytes_of(detail["SnapshotId"]), size) == raw.read_bytes()


def without(policy, action):
    changed = copy.deepcopy(policy)
    for statement in changed["Statement"]:
        statement["Action"] = [one for one in statement["Action"] if one != action]
    return changed


@pytest.mark.parametrize(
    "action",
    [
        "s3:GetBucketLocation",
        "s3:GetObject",
        "s3:ListBucket",
        "ec2:ModifySnapshotAttribute",
        "ec2:CopySnapshot",
        "ec2:RegisterImage",
        "ec2:Describe*",
    ],
)
def test_a_role_that_lacks_one_action_is_not_sufficient(
    *, ec2, ova, upload, role, refusal, values, action
):
    role(policy=without(values["policy"], action))
    found = refusal(ec2.import_image, DiskContainers=[upload(ova())])
    assert found == ("InvalidParameter", SUFFICIENT)


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        ("vmie.amazonaws.com", "ec2.amazonaws.com"),
        ('"sts:Externalid": "vmimport"', '"sts:Externalid": "other"'),
        ('"aws:SourceAccount": "111111111111"', '"aws:SourceAccount": "222222222222"'),
        ("arn:aws:vmie:*:111111111111:*", "arn:aws:vmie:us-east-1:111111111111:*"),
        ('"Allow"', '"Deny"'),
    ],
)
def test_a_role_that_does_not_trust_the_service_is_none(
    *, ec2, ova, upload, role, refusal, values, there, instead
):
    text = json.dumps(values["trust"])
    assert there in text
    role(trust=json.loads(text.replace(there, instead)))
    found = refusal(ec2.import_image, DiskContainers=[upload(ova())])
    assert found == ("InvalidParameter", SUFFICIENT)


def test_no_role_is_not_sufficient_either_and_a_boundary_counts(*, ec2, ova, upload, role, refusal):
    container = upload(ova())
    assert refusal(ec2.import_image, DiskContainers=[container])[1] == SUFFICIENT
    role(boundary="arn:aws:iam::aws:policy/ReadOnlyAccess")
    assert refusal(ec2.import_image, DiskContainers=[container])[1] == SUFFICIENT


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ({"LicenseType": "BYOL", "UsageOperation": "RunInstances"}, "InvalidParameterCombination"),
        ({"LicenseType": "GPL"}, "InvalidParameter"),
        ({"BootMode": "uefi-preferred"}, "InvalidParameter"),
        ({"Architecture": "arm64"}, "InvalidParameter"),
        ({"DiskContainers": []}, "MissingParameter"),
        ({"KmsKeyId": "alias/none"}, "InvalidParameterCombination"),
        ({"KmsKeyId": "alias/none", "Encrypted": True}, "InvalidParameter"),
        ({"DryRun": True}, "DryRunOperation"),
    ],
)
def test_parameters_that_do_not_go_are_refused(*, ec2, ova, upload, role, refusal, other, code):
    role()
    asked = {"DiskContainers": [upload(ova())]} | other
    assert refusal(ec2.import_image, **asked)[0] == code
    assert ec2.describe_import_image_tasks()["ImportImageTasks"] == []


def test_the_object_must_be_there_in_the_region_and_readable(
    *, ec2, ova, upload, role, refusal, connect, values
):
    role()
    container = upload(ova())
    lost = {"Format": "ova", "UserBucket": {"S3Bucket": values["bucket"], "S3Key": "other.ova"}}
    found = refusal(ec2.import_image, DiskContainers=[lost])
    assert found == ("InvalidParameter", "Invalid S3 source location")
    elsewhere = connect("ec2", region="us-east-1")
    code, message = refusal(elsewhere.import_image, DiskContainers=[container])
    assert (code, "not local to the region" in message) == ("InvalidParameter", True)
    importer = {"Effect": "Allow", "Action": "ec2:ImportImage", "Resource": "*"}
    one = connect("ec2", [{"Version": "2012-10-17", "Statement": [importer]}])
    code, message = refusal(one.import_image, DiskContainers=[container])
    assert (code, "does not have access to the S3 object" in message) == ("InvalidParameter", True)


def test_an_encrypted_import_needs_a_role_that_may_use_the_key(
    *, ec2, ova, upload, role, refusal, connect, values, task
):
    key = connect("kms").create_key()["KeyMetadata"]["Arn"]
    role()
    asked = {"DiskContainers": [upload(ova())], "Encrypted": True, "KmsKeyId": key}
    assert refusal(ec2.import_image, **asked) == ("InvalidParameter", SUFFICIENT)
    actions = ["CreateGrant", "Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey*", "ReEncrypt*"]
    use = {"Effect": "Allow", "Action": [f"kms:{one}" for one in actions], "Resource": key}
    policy = copy.deepcopy(values["policy"])
    policy["Statement"].append(use)
    role(policy=policy)
    done = task(ec2.import_image(**asked)["ImportTaskId"], 20)
    shown = ec2.describe_snapshots(SnapshotIds=[done["SnapshotDetails"][0]["SnapshotId"]])
    assert (shown["Snapshots"][0]["Encrypted"], shown["Snapshots"][0]["KmsKeyId"]) == (True, key)


def test_a_token_that_repeats_gives_the_same_task(ec2, ova, upload, role, refusal):
    role()
    asked = {"DiskContainers": [upload(ova())], "ClientToken": "one"}
    first = ec2.import_image(**asked)["ImportTaskId"]
    assert ec2.import_image(**asked)["ImportTaskId"] == first
    code, _ = refusal(ec2.import_image, **asked, Description="another")
    assert code == "IdempotentParameterMismatch"


def test_twenty_tasks_may_run_at_once(ec2, ova, upload, role, refusal):
    role()
    asked = {"DiskContainers": [upload(ova())]}
    tasks = [ec2.import_image(**asked)["ImportTaskId"] for _ in range(20)]
    assert refusal(ec2.import_image, **asked)[0] == "ResourceCountExceeded"
    ec2.cancel_import_task(ImportTaskId=tasks[0])
    ec2.import_image(**asked)
    active = [{"Name": "task-state", "Values": ["active"]}]
    assert len(ec2.describe_import_image_tasks(Filters=active)["ImportImageTasks"]) == 20


def test_a_task_is_cancelled_while_it_runs_and_not_after(ec2, ova, start, task, refusal):
    task_id = start(ova())
    answer = ec2.cancel_import_task(ImportTaskId=task_id, CancelReason="no more")
    assert (answer["PreviousState"], answer["State"]) == ("active", "deleting")
    assert task(task_id, 4)["Status"] == "deleted"
    assert task(task_id)["StatusMessage"] == "no more"
    code, _ = refusal(ec2.cancel_import_task, ImportTaskId=task_id)
    assert code == "InvalidConversionTaskId.State"
    strange = refusal(ec2.cancel_import_task, ImportTaskId="import-ami-0")
    assert strange[0] == "InvalidConversionTaskId.Malformed"


def test_the_faults_of_the_service_happen_when_they_are_asked_for(ec2, world, ova, start, task):
    faults = world.aws.images.faults
    faults.silent_for, faults.stuck_at = 60, 28
    task_id = start(ova())
    assert ec2.describe_import_image_tasks(ImportTaskIds=[task_id])["ImportImageTasks"] == []
    stuck = task(task_id, 60)
    assert (stuck["Status"], stuck["StatusMessage"], stuck["Progress"]) == (
        "active",
        "converting",
        "28",
    )
    assert task(task_id, 600)["Progress"] == "28"
    faults.stuck_at, faults.no_image_id = 0, True
    done = task(task_id)
    assert (done["Status"], "ImageId" in done) == ("completed", False)
    faults.silent_for = 0
    faults.breaks = "ServerError: an internal error has occurred during conversion."
    broken = task(ec2.import_image(DiskContainers=[_container()])["ImportTaskId"], 2)
    assert (broken["Status"], broken["StatusMessage"]) == ("deleting", faults.breaks)


def _container():
    return {"Format": "ova", "UserBucket": {"S3Bucket": "acme-import", "S3Key": "oag.ova"}}


def test_a_machine_without_the_tools_is_told_which_package_has_them(
    *, ec2, ova, upload, role, refusal, monkeypatch, tmp_path
):
    role()
    container = upload(ova())
    monkeypatch.setattr("ostiary.sandbox.aws.images.judge._PATHS", str(tmp_path))
    code, message = refusal(ec2.import_image, DiskContainers=[container])
    assert (code, "apt-get install qemu-utils" in message) == ("NotImplemented", True)
