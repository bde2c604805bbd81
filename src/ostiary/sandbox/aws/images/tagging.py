"""Tags of images, snapshots and import tasks: the part of CreateTags, DeleteTags and DescribeTags that is not moto's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.images.import_tasks import own_task
from ostiary.sandbox.aws.images.kept_snapshots import owned_snapshot
from ostiary.sandbox.aws.images.registry import own_image
from ostiary.sandbox.aws.images.snapshots import images_of

PREFIXES = ("ami-", "snap-", "import-ami-", "import-snap-")


def is_ours(resource_id: str) -> bool:
    return resource_id.startswith(PREFIXES)


def tags_of(call: Call, resource_id: str) -> dict[str, str]:
    """The live tags of one resource. AWS's own error when it does not exist."""
    if resource_id.startswith("ami-"):
        return own_image(call, resource_id).tags
    if resource_id.startswith("snap-"):
        return owned_snapshot(call, resource_id).tags
    return own_task(call, resource_id).tags


def described(call: Call) -> Iterator[dict[str, Any]]:
    """Every tag of this account and region, as DescribeTags lists them."""
    images = images_of(call)
    kinds: tuple[tuple[str, Any], ...] = (
        ("image", images.images),
        ("snapshot", images.snapshots),
        ("import-image-task", images.tasks),
    )
    for kind, shelf in kinds:
        for one in shelf.values():
            if (one.account_id, one.region) == (call.account.id, call.region):
                for key, value in one.tags.items():
                    yield {"Key": key, "Value": value, "ResourceId": one.id, "ResourceType": kind}
