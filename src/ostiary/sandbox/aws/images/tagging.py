"""Tags of images, snapshots and import tasks: the part of CreateTags and DeleteTags that is not moto's.

Source: Amazon EC2 API Reference, CreateTags, DeleteTags.
"""

from __future__ import annotations

from collections.abc import Iterator

from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.images.described import checked_tags
from ostiary.sandbox.aws.images.import_tasks import own_task
from ostiary.sandbox.aws.images.kept_snapshots import owned_snapshot
from ostiary.sandbox.aws.images.registry import own_image

PREFIXES = ("ami-", "snap-", "import-ami-", "import-snap-")


def is_ours(resource_id: str) -> bool:
    return resource_id.startswith(PREFIXES)


def change(call: Call, resource_ids: list[str]) -> None:
    """Put the call's tags on every resource, or take them off; all or, with AWS's own error, none."""
    given = call.params.get("Tags") or []
    changed = []
    for resource_id in resource_ids:
        tags = tags_of(call, resource_id)
        if call.operation == "CreateTags":
            new = {one["Key"]: one.get("Value", "") for one in given}
            changed.append((tags, checked_tags(tags | new)))
        elif not given:
            changed.append((tags, {}))
        else:
            gone = {key for key in tags if any(_meant(key, tags[key], one) for one in given)}
            changed.append((tags, {key: tags[key] for key in tags if key not in gone}))
    for tags, after in changed:
        tags.clear()
        tags.update(after)


def _meant(key: str, value: str, one: dict[str, str]) -> bool:
    """DeleteTags with a value, be it empty, takes only a tag that has it."""
    return one["Key"] == key and one.get("Value", value) == value


def tags_of(call: Call, resource_id: str) -> dict[str, str]:
    """The live tags of one resource. AWS's own error when it does not exist."""
    if resource_id.startswith("ami-"):
        return own_image(call, resource_id).tags
    if resource_id.startswith("snap-"):
        return owned_snapshot(call, resource_id).tags
    return own_task(call, resource_id).tags


def tagged(call: Call) -> Iterator[tuple[str, str, dict[str, str]]]:
    """(id, type as DescribeTags names it, tags) of everything of the caller's account in the region."""
    images = call.cloud.images
    place = (call.account.id, call.region)
    for image in images.images.values():
        if (image.account_id, image.region) == place:
            yield image.id, "image", image.tags
    for snapshot in images.snapshots.values():
        if (snapshot.account_id, snapshot.region) == place:
            yield snapshot.id, "snapshot", snapshot.tags
    for task in images.tasks.values():
        if (task.account_id, task.region) == place:
            yield task.id, f"import-{task.kind}-task", task.tags
