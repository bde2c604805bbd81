"""What can be wrong with an appliance, and what VM Import says of it: one row a code, one row a message of the service.

``refuse`` means that VM Import would refuse it, so ``--force`` may ask the service itself; where ``safety`` is set nothing
can pass. Source of the messages: VM Import/Export User Guide, "Troubleshooting VM Import/Export"; those marked ``seen``
are in no document and were collected from issues of packer, photon, remnux, sift, wazuh, image-builder and others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

REFUSE, WARN, INFO = "refuse", "warn", "info"


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. ``file`` is the member it is about, "" for the whole; ``predicts`` what VM Import would answer."""

    code: str
    severity: str
    message: str
    fix: str
    safety: bool = False
    file: str = ""
    predicts: str = ""

    def as_json(self) -> Mapping[str, object]:
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "fix": self.fix,
            "safety": self.safety,
            "file": self.file or None,
            "predicts": self.predicts or None,
        }


@dataclass(frozen=True, slots=True)
class Kind:
    """What all problems of one code have in common."""

    severity: str
    fix: str
    predicts: str = ""
    safety: bool = False


_AGAIN = "download the appliance again from the Okta Admin Console, Settings > Downloads"
_EXPORT = "export the machine again as an OVA of streamOptimized disks, as Okta ships it"
_SNAPSHOT = (
    "use the route that leaves the guest alone: ostiary gateway import FILE --route ebs-direct"
)
_UNSUPPORTED_OVA = "ClientError: Disk validation failed [Unsupported OVA format]"
_UNSUPPORTED_VMDK = "ClientError: Disk validation failed [Unsupported VMDK File Format]"
_CHUNKED = "ClientError: Disk validation failed [OVF file parsing error: OVA with chunked disk files is not supported]"
_SEVERAL = "ClientError: Unsupported configuration - Multiple directories found"
_INITRAMFS = (
    "ClientError: We were unable to read your import's initramfs/initrd to determine what drivers your import "
    "requires to run in EC2"
)
_NO_VOLUME = "ClientError: Unsupported configuration - Logical volume group activation failed"

KINDS: Mapping[str, Kind] = {
    "not-an-appliance": Kind(REFUSE, _AGAIN, "Parameter disk-image-size=0 has an invalid format"),
    "tar-name": Kind(REFUSE, _AGAIN, safety=True),
    "tar-kind": Kind(REFUSE, _AGAIN, safety=True),
    "tar-duplicate": Kind(REFUSE, _AGAIN, safety=True),
    "tar-members": Kind(REFUSE, _AGAIN, safety=True),
    "tar-header": Kind(REFUSE, _AGAIN, _UNSUPPORTED_OVA, safety=True),
    "tar-truncated": Kind(REFUSE, _AGAIN, "ClientError: Disk validation failed", safety=True),
    "tar-empty": Kind(REFUSE, _AGAIN, _UNSUPPORTED_OVA),
    "ovf-missing": Kind(REFUSE, _EXPORT, _UNSUPPORTED_OVA),
    "ovf-order": Kind(
        REFUSE,
        "put the .ovf first: tar --format=ustar -cf NEW.ova X.ovf X.mf X*.vmdk",
        _UNSUPPORTED_OVA,
    ),
    "ovf-several": Kind(REFUSE, _EXPORT, _UNSUPPORTED_OVA),
    "ovf-hostile": Kind(REFUSE, _AGAIN, _UNSUPPORTED_OVA, safety=True),
    "ovf-unreadable": Kind(REFUSE, _AGAIN, _UNSUPPORTED_OVA),
    "ovf-machines": Kind(REFUSE, "export one machine by itself", _UNSUPPORTED_OVA),
    "ovf-reference": Kind(REFUSE, _AGAIN, safety=True),
    "ovf-file-missing": Kind(REFUSE, _AGAIN, _UNSUPPORTED_OVA),
    "ovf-file-size": Kind(WARN, _AGAIN),
    "ovf-compressed": Kind(REFUSE, _EXPORT, _UNSUPPORTED_OVA),
    "ovf-chunked": Kind(REFUSE, _EXPORT, _CHUNKED),
    "ovf-parent": Kind(
        REFUSE, "consolidate snapshots before the export", "ClientError: Footers not identical"
    ),
    "disk-none": Kind(REFUSE, _EXPORT, "Parameter disk-image-size=0 has an invalid format"),
    "disk-empty": Kind(REFUSE, _EXPORT, "Parameter disk-image-size=0 has an invalid format"),
    "disk-count": Kind(REFUSE, "detach disks before the export: VM Import takes 21"),
    "disk-size": Kind(REFUSE, "shrink the disk below 16 TiB before the export"),
    "disk-format": Kind(REFUSE, _EXPORT, "Parameter disk-image-size=0 has an invalid format"),
    "disk-capacity": Kind(WARN, _EXPORT),
    "disk-described": Kind(WARN, _EXPORT, _UNSUPPORTED_VMDK),
    "disk-unread": Kind(INFO, "inspect the OVA instead, where the disks are"),
    "raw-truncated": Kind(REFUSE, _AGAIN, "ClientError: Disk validation failed"),
    "vmdk-header": Kind(REFUSE, _AGAIN, "ClientError: Disk validation failed"),
    "vmdk-capacity": Kind(REFUSE, _EXPORT, "Parameter disk-image-size=0 has an invalid format"),
    "vmdk-footer": Kind(REFUSE, _AGAIN, "ClientError: Disk validation failed"),
    "vmdk-truncated": Kind(REFUSE, _AGAIN, "ClientError: Disk validation failed"),
    "vmdk-grain": Kind(REFUSE, _AGAIN, "ClientError: Uncompressed data has an invalid length"),
    "vmdk-compression": Kind(REFUSE, _EXPORT, "File uses unsupported compression algorithm 0"),
    "vmdk-not-stream-optimized": Kind(REFUSE, _EXPORT, _UNSUPPORTED_VMDK),
    "manifest-none": Kind(
        WARN, "compare the whole file: --expect-digest with the value of Okta's download page"
    ),
    "manifest-several": Kind(REFUSE, _AGAIN, _UNSUPPORTED_OVA),
    "manifest-line": Kind(REFUSE, _AGAIN, safety=True),
    "manifest-mixed": Kind(REFUSE, _AGAIN, safety=True),
    "manifest-sha1": Kind(WARN, "compare the whole file as well: --expect-digest with a SHA-256"),
    "manifest-missing": Kind(REFUSE, _AGAIN, safety=True),
    "manifest-absent": Kind(REFUSE, _AGAIN, safety=True),
    "manifest-digest": Kind(REFUSE, _AGAIN, _UNSUPPORTED_OVA, safety=True),
    "certificate-form": Kind(REFUSE, _AGAIN, safety=True),
    "certificate-signature": Kind(REFUSE, _AGAIN, safety=True),
    "certificate-expired": Kind(REFUSE, _AGAIN, safety=True),
    "digest-mismatch": Kind(REFUSE, _AGAIN, safety=True),
    "guest-32-bit": Kind(
        REFUSE, "VM Import takes 64-bit Linux only", "ClientError: Unsupported architecture"
    ),
    "guest-nics": Kind(
        WARN, "the instance has one interface that asks DHCP; add others after the launch"
    ),
    "guest-network": Kind(
        WARN, "VM Import turns a static address into DHCP; the direct routes do not: use DHCP"
    ),
    "guest-kernel": Kind(REFUSE, _SNAPSHOT, "ClientError: Unable to determine kernel version"),
    "guest-initramfs": Kind(WARN, "build it again in the guest: dracut -f", _INITRAMFS),
    "guest-several": Kind(REFUSE, _SNAPSHOT, _SEVERAL),
    "guest-fstab": Kind(
        REFUSE, _SNAPSHOT, "ClientError: Invalid configuration - Could not read fstab"
    ),
    "guest-fstab-names": Kind(
        INFO, "VM Import rewrites device names in fstab; the direct routes do not"
    ),
    "guest-drivers": Kind(
        WARN, "Nitro instances need the ena and nvme drivers in the guest: use a Xen type"
    ),
    "guest-encrypted": Kind(
        REFUSE, "decrypt the disk before the export", "ClientError: Unknown OS / Missing OS files"
    ),
    "guest-lvm": Kind(WARN, _SNAPSHOT, _NO_VOLUME),
    "guest-raid": Kind(WARN, "use one disk without RAID: EBS volumes are replicated already"),
    "guest-windows": Kind(WARN, "the Access Gateway is Linux: is this the right file?"),
    "boot-none": Kind(REFUSE, _EXPORT, "ClientError: No bootable partition found"),
    "boot-no-table": Kind(REFUSE, _EXPORT, "ClientError: No valid partitions. Not a valid volume."),
    "boot-gpt-bios": Kind(
        WARN, "a BIOS that starts from GPT needs a BIOS boot partition; there is none"
    ),
    "boot-esp": Kind(
        REFUSE, "put a loader at EFI/BOOT/BOOTX64.EFI", "ClientError: No bootable partition found"
    ),
    "boot-table": Kind(REFUSE, _AGAIN, "ClientError: No bootable partition found"),
    "boot-firmware": Kind(
        WARN, "set the firmware of the machine to what its disk needs, then export again"
    ),
    "boot-mbr-damaged": Kind(WARN, "repair the table: sfdisk --verify"),
    "boot-gpt-damaged": Kind(WARN, "repair the backup table: sgdisk -e"),
    "filesystem-none": Kind(REFUSE, _SNAPSHOT, "ClientError: Unknown OS / Missing OS files"),
    "filesystem-btrfs": Kind(WARN, _SNAPSHOT, "ClientError: Unknown OS / Missing OS files"),
}


def problem(code: str, message: str, file: str = "") -> Problem:
    kind = KINDS[code]
    return Problem(code, kind.severity, message, kind.fix, kind.safety, file, kind.predicts)


@dataclass(frozen=True, slots=True)
class Remedy:
    """What a message of VM Import means and what to do; ``seen`` marks those that no AWS document has."""

    pattern: str
    cause: str
    fix: str
    seen: bool = False


_ROLE = "make the role as it must be, which every import does: ostiary gateway import FILE"
REMEDIES: tuple[Remedy, ...] = (
    Remedy(
        r"service role .* does not exist or does not have sufficient permissions",
        "the role vmimport is missing, does not trust vmie.amazonaws.com, or may not read the bucket or use its key",
        _ROLE,
    ),
    Remedy(
        r"disk-image-size=0 has an invalid format",
        "the disk has a format that VM Import does not know, or is empty",
        _EXPORT,
    ),
    Remedy(r"MalformedPolicyDocument|Syntax errors in policy", "a policy was no JSON", _ROLE),
    Remedy(
        r"No bootable partition found|No valid partition",
        "the root disk has no partition that VM Import can start from, or GPT where it wants MBR",
        _SNAPSHOT,
    ),
    Remedy(
        r"Footers not identical",
        "the disk is a differencing one, or was exported badly",
        "consolidate snapshots and export again",
    ),
    Remedy(r"Uncompressed data has (an )?invalid length", "the VMDK is damaged", _AGAIN),
    Remedy(
        r"unsupported compression algorithm",
        "the VMDK is not compressed as an OVA wants it",
        _EXPORT,
    ),
    Remedy(
        r"Bucket .* is not in the .* region|(bucket|object) is not local to the Region",
        "the bucket is in another region than the import",
        "let Ostiary make the bucket: leave --bucket out",
    ),
    Remedy(
        r"Invalid S3 source location|NoSuchKey|NoSuchBucket",
        "the uploaded file is not where the task looks for it",
        "run the same import again: it uploads what is missing",
    ),
    Remedy(
        r"Could not read fstab",
        "the guest has no /etc/fstab, or several systems on one disk",
        _SNAPSHOT,
    ),
    Remedy(
        r"Logical volume group activation failed",
        "a volume group is damaged or incomplete",
        _SNAPSHOT,
    ),
    Remedy(
        r"Multiple directories found", "the disk holds several systems or several /etc", _SNAPSHOT
    ),
    Remedy(
        r"Linux is not supported on the requested instance",
        "the instance type takes no imported Linux",
        "use a size of: ostiary gateway deploy --help",
    ),
    Remedy(
        r"multiple volumes attached",
        "an export, not an import, found several volumes",
        "detach all but the root volume",
    ),
    Remedy(
        r"Only imported instances can be exported|NotExportable|instance cannot be exported",
        "an export, not an import, met an instance that cannot be exported",
        "export an instance that was imported",
    ),
    Remedy(
        r"does not have a volume attached at root",
        "the instance was started before the import had ended",
        "wait for the import, then start it",
    ),
    Remedy(
        r"Booter Networking failure|instance not reachable",
        "the guest did not come up on the network (Windows wants .NET 3.5 SP1)",
        "turn on DHCP in the guest, then export again",
    ),
    Remedy(
        r"FirstBootFailure",
        "the guest did not start, or asked no DHCP server for an address",
        "turn on DHCP in the guest and remove host firewalls, then export again",
    ),
    Remedy(
        r"activation fails",
        "Windows could not be activated with a volume licence",
        "the Access Gateway is Linux: is this the right file?",
    ),
    Remedy(
        r"(not|insufficient).*(decrypt|kms)|KMS",
        "the object or the result is encrypted with a key that vmimport may not use",
        "allow kms:Decrypt, GenerateDataKey*, CreateGrant to the role vmimport on that key",
    ),
    Remedy(
        r"instance limit|volume limit|ResourceCountExceeded|LimitExceeded",
        "the account has too many imports or volumes under way",
        "wait for the others, or cancel one: ostiary gateway cancel TASK",
    ),
    Remedy(
        r"Unsupported kernel version|unable to detect default kernel",
        "VM Import does not know this kernel, or the boot loader's way of naming it",
        _SNAPSHOT,
    ),
    Remedy(
        r"Unable to determine kernel version",
        "VM Import does not know this kernel",
        _SNAPSHOT,
        seen=True,
    ),
    Remedy(
        r"Multiple different grub/menu\.lst files found",
        "the boot loader has several configurations, as when two systems share a disk",
        _SNAPSHOT,
    ),
    Remedy(
        r"unable to read your import's initramfs",
        "the initramfs is damaged, or compressed in a way that VM Import does not read",
        _SNAPSHOT,
    ),
    Remedy(r"Unknown OS|Missing OS files", "VM Import does not know the system", _SNAPSHOT),
    Remedy(
        r"chunked disk files",
        "a disk of the OVA is cut into several files",
        _EXPORT,
    ),
    Remedy(r"Unsupported VMDK File Format", "a VMDK is not streamOptimized", _EXPORT),
    Remedy(
        r"Unsupported OVA format",
        "the OVF is not first, or names several machines",
        _EXPORT,
        seen=True,
    ),
    Remedy(
        r"Disk validation failed",
        "a disk of the OVA is damaged or of another format",
        _AGAIN,
        seen=True,
    ),
    Remedy(
        r"ServerError|internal error",
        "the service failed by itself",
        "run the same import again; if it stays so: --route ebs-direct",
        seen=True,
    ),
)


def remedy_for(message: str) -> Remedy:
    """The remedy of a StatusMessage or error of VM Import; a general one for messages that nobody has met."""
    for one in REMEDIES:
        if re.search(one.pattern, message, re.IGNORECASE):
            return one
    return Remedy("", "no document names this message", _SNAPSHOT)
