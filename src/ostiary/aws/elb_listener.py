"""The kind ``elb-listener``: a port of a load balancer, which forwards to a target group or redirects to HTTPS.

Source: Elastic Load Balancing API Reference (2015-12-01), CreateListener; "Security policies for your Application Load
Balancer" for the policy that takes TLS 1.2 and 1.3 only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ostiary.aws.elb_targets import tags_by_arn
from ostiary.aws.ownership import TAG
from ostiary.aws.tagged import TaggedKind, short
from ostiary.plan.resource import Found, Json, Key

TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"


class ListenerKind(TaggedKind):
    name = "elb-listener"
    immutable = frozenset({"load_balancer"})

    def _listed(self) -> Iterator[Found]:
        balancers = [
            one["LoadBalancerArn"]
            for one in self._pages("elbv2", "describe_load_balancers", "LoadBalancers")
        ]
        tagged = tags_by_arn(self._aws, self._region, balancers)
        ours = [arn for arn, tags in tagged if tags.get(TAG) == self._estate]
        for balancer in ours:
            listeners = {
                one["ListenerArn"]: one
                for one in self._pages(
                    "elbv2", "describe_listeners", "Listeners", LoadBalancerArn=balancer
                )
            }
            for arn, tags in tags_by_arn(self._aws, self._region, list(listeners)):
                found = self._found(tags, _attributes(listeners[arn]), {"id": arn})
                if found is not None:
                    yield found

    def _make(self, key: Key, wanted: Mapping[str, Json]) -> None:
        self._began(
            key,
            "elbv2",
            "create_listener",
            LoadBalancerArn=wanted["load_balancer"],
            Tags=self._tags(key, short(key)),
            **_params(wanted),
        )

    def _change(self, found: Found, wanted: Mapping[str, Json]) -> None:
        self._call("elbv2", "modify_listener", ListenerArn=found.ids["id"], **_params(wanted))

    def _remove(self, found: Found) -> None:
        self._call("elbv2", "delete_listener", ListenerArn=found.ids["id"])

    def _untag(self, found: Found) -> None:
        self._call("elbv2", "remove_tags", ResourceArns=[found.ids["id"]], TagKeys=[TAG])


def _attributes(one: Mapping[str, Any]) -> dict[str, Json]:
    certificates = one.get("Certificates") or ()
    actions = one.get("DefaultActions") or [{}]
    return {
        "load_balancer": one["LoadBalancerArn"],
        "port": one["Port"],
        "protocol": one["Protocol"],
        "certificate": certificates[0]["CertificateArn"] if certificates else "",
        "policy": one.get("SslPolicy", "") if one["Protocol"] == "HTTPS" else "",
        "target_group": actions[0].get("TargetGroupArn", ""),
        "redirect": actions[0].get("Type") == "redirect",
    }


def _params(wanted: Mapping[str, Json]) -> dict[str, Any]:
    params: dict[str, Any] = {"Port": wanted["port"], "Protocol": wanted["protocol"]}
    if wanted["protocol"] == "HTTPS":
        params |= {
            "SslPolicy": wanted["policy"],
            "Certificates": [{"CertificateArn": wanted["certificate"]}],
        }
    if wanted["redirect"]:
        to_https = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
        params["DefaultActions"] = [{"Type": "redirect", "RedirectConfig": to_https}]
    else:
        target = wanted["target_group"]
        params["DefaultActions"] = [{"Type": "forward", "TargetGroupArn": target}]
    return params
