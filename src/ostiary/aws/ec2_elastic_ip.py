"""The kind ``ec2-elastic-ip``: an address that stays when its instance is replaced."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from ostiary.aws.tagged import TaggedKind, tags_of
from ostiary.errors import NotFound
from ostiary.plan.resource import Found, Json, Key


class ElasticIpKind(TaggedKind):
    name = "ec2-elastic-ip"

    def _listed(self) -> Iterator[Found]:
        for one in self._call("ec2", "describe_addresses", Filters=self._ours())["Addresses"]:
            found = self._found(
                tags_of(one),
                {"instance": one.get("InstanceId") or ""},
                {
                    "id": one["AllocationId"],
                    "address": one["PublicIp"],
                    "association": one.get("AssociationId") or "",
                },
            )
            if found is not None:
                yield found

    def _make(self, key: Key, wanted: Mapping[str, Json]) -> None:
        tags = self._specified("elastic-ip", key)
        made = self._began(key, "ec2", "allocate_address", Domain="vpc", TagSpecifications=tags)
        self._change(made, wanted)

    def _change(self, found: Found, wanted: Mapping[str, Json]) -> None:
        self._call(
            "ec2",
            "associate_address",
            AllocationId=found.ids["id"],
            InstanceId=wanted["instance"],
            AllowReassociation=True,
        )

    def _remove(self, found: Found) -> None:
        if found.ids["association"]:
            with contextlib.suppress(NotFound):
                self._call("ec2", "disassociate_address", AssociationId=found.ids["association"])
        self._call("ec2", "release_address", AllocationId=found.ids["id"])
