"""The kind ``elb-load-balancer``: an application load balancer over at least two availability zones.

Source: Elastic Load Balancing API Reference (2015-12-01); Elastic Load Balancing User Guide, "Load balancer attributes".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from ostiary.aws.elb_target_group import elb_name
from ostiary.aws.elb_targets import tags_by_arn
from ostiary.aws.ownership import TAG
from ostiary.aws.tagged import TaggedKind, short
from ostiary.plan.resource import Found, Json, Key

_ATTRIBUTE = "routing.http.drop_invalid_header_fields.enabled"
_PROTECTION = "deletion_protection.enabled"


class LoadBalancerKind(TaggedKind):
    name = "elb-load-balancer"
    immutable = frozenset({"scheme", "subnets"})

    def _listed(self) -> Iterator[Found]:
        balancers = {
            one["LoadBalancerArn"]: one
            for one in self._pages("elbv2", "describe_load_balancers", "LoadBalancers")
            if one["Type"] == "application"
        }
        for arn, tags in tags_by_arn(self._aws, self._region, list(balancers)):
            if tags.get(TAG) != self._estate:
                continue
            one = balancers[arn]
            zones = one.get("AvailabilityZones") or ()
            found = self._found(
                tags,
                {
                    "scheme": one.get("Scheme", ""),
                    "subnets": cast("Json", sorted(zone["SubnetId"] for zone in zones)),
                    "security_groups": cast("Json", sorted(one.get("SecurityGroups") or ())),
                    "drop_invalid": self._drops(arn),
                },
                {"id": arn, "dns": one["DNSName"], "zone": one.get("CanonicalHostedZoneId", "")},
            )
            if found is not None:
                yield found

    def _drops(self, arn: str) -> bool:
        answer = self._call("elbv2", "describe_load_balancer_attributes", LoadBalancerArn=arn)
        have = {one["Key"]: one["Value"] for one in answer["Attributes"]}
        return have.get(_ATTRIBUTE) == "true"

    def differences(self, found: Found, wanted: Mapping[str, Json]) -> tuple[str, ...]:
        in_order = {
            name: cast("Json", sorted(cast("list[str]", value)))
            if name in ("subnets", "security_groups")
            else value
            for name, value in wanted.items()
        }
        return super().differences(found, in_order)

    def _make(self, key: Key, wanted: Mapping[str, Json]) -> None:
        made = self._began(
            key,
            "elbv2",
            "create_load_balancer",
            Name=elb_name(key),
            Type="application",
            Scheme=wanted["scheme"],
            Subnets=wanted["subnets"],
            SecurityGroups=wanted["security_groups"],
            Tags=self._tags(key, short(key)),
        )
        self._change(made, wanted)

    def _change(self, found: Found, wanted: Mapping[str, Json]) -> None:
        arn = found.ids["id"]
        if found.attributes["drop_invalid"] != wanted["drop_invalid"]:
            value = "true" if wanted["drop_invalid"] else "false"
            self._call(
                "elbv2",
                "modify_load_balancer_attributes",
                LoadBalancerArn=arn,
                Attributes=[{"Key": _ATTRIBUTE, "Value": value}],
            )
        if found.attributes["security_groups"] != sorted(
            cast("list[str]", wanted["security_groups"])
        ):
            self._call(
                "elbv2",
                "set_security_groups",
                LoadBalancerArn=arn,
                SecurityGroups=wanted["security_groups"],
            )

    def _remove(self, found: Found) -> None:
        arn = found.ids["id"]
        off = [{"Key": _PROTECTION, "Value": "false"}]
        self._call("elbv2", "modify_load_balancer_attributes", LoadBalancerArn=arn, Attributes=off)
        self._call("elbv2", "delete_load_balancer", LoadBalancerArn=arn)

    def _untag(self, found: Found) -> None:
        self._call("elbv2", "remove_tags", ResourceArns=[found.ids["id"]], TagKeys=[TAG])
