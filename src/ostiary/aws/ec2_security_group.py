"""The kind ``ec2-security-group``: a group with exactly the rules that are wanted; any other rule in it is drift.

A rule is ``{protocol, from, to, source, description}``: ports inclusive (-1 for all), source a CIDR, a group's or a prefix
list's id. For EC2 the description is no part of a rule: to revoke a rule by its old words would take it away whatever it
says now, so words are changed by their own operation. Source: Amazon EC2 API Reference, RevokeSecurityGroupIngress,
UpdateSecurityGroupRuleDescriptionsIngress.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from ostiary.aws.tagged import TaggedKind, short, tags_of
from ostiary.errors import Conflict, NotFound
from ostiary.plan.resource import Found, Json, Key

_PATIENCE = (
    0.5,
    1,
    2,
    4,
    8,
    15,
    30,
)  # seconds: interfaces of what was just deleted still hold the group


class SecurityGroupKind(TaggedKind):
    name = "ec2-security-group"
    immutable = frozenset({"vpc", "description"})

    def _listed(self) -> Iterator[Found]:
        for one in self._pages(
            "ec2", "describe_security_groups", "SecurityGroups", Filters=self._ours()
        ):
            found = self._found(
                tags_of(one),
                {
                    "vpc": one["VpcId"],
                    "description": one["Description"],
                    "ingress": cast("Json", _rules(one["IpPermissions"])),
                    "egress": cast("Json", _rules(one["IpPermissionsEgress"])),
                },
                {"id": one["GroupId"]},
            )
            if found is not None:
                yield found

    def differences(self, found: Found, wanted: Mapping[str, Json]) -> tuple[str, ...]:
        in_order = {
            name: cast("Json", sorted(_list(value), key=_order))
            if name in ("ingress", "egress")
            else value
            for name, value in wanted.items()
        }
        return super().differences(found, in_order)

    def _make(self, key: Key, wanted: Mapping[str, Json]) -> None:
        made = self._began(
            key,
            "ec2",
            "create_security_group",
            GroupName=short(key),
            Description=wanted["description"],
            VpcId=wanted["vpc"],
            TagSpecifications=self._specified("security-group", key),
        )
        self._change(made, wanted)

    def _change(self, found: Found, wanted: Mapping[str, Json]) -> None:
        """New rules come before old ones go, so that no connection that stays allowed is cut."""
        for direction in ("ingress", "egress"):
            have = {_allows(one): one for one in _list(found.attributes[direction])}
            want = {_allows(one): one for one in _list(wanted[direction])}
            said = [rule for what, rule in want.items() if what in have and have[what] != rule]
            steps = (
                ("authorize_security_group", [want[one] for one in want if one not in have]),
                ("update_security_group_rule_descriptions", said),
                ("revoke_security_group", [have[one] for one in have if one not in want]),
            )
            for verb, rules in steps:
                if rules:
                    permissions = [_permission(one) for one in rules]
                    self._attempt(f"{verb}_{direction}", found, permissions)

    def _attempt(self, operation: str, found: Found, permissions: list[dict[str, Any]]) -> None:
        try:
            self._call("ec2", operation, GroupId=found.ids["id"], IpPermissions=permissions)
        except (Conflict, NotFound) as done:
            if done.code not in ("InvalidPermission.Duplicate", "InvalidPermission.NotFound"):
                raise

    def _remove(self, found: Found) -> None:
        for wait in _PATIENCE:
            try:
                self._call("ec2", "delete_security_group", GroupId=found.ids["id"])
            except Conflict as used:
                if used.code != "DependencyViolation":
                    raise
                last = used
            else:
                return
            self._aws.pause(wait)
        raise last


def _list(value: object) -> list[dict[str, Any]]:
    return list(value) if isinstance(value, list) else []


def _rules(permissions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for one in permissions:
        sources = [(r["CidrIp"], r) for r in one.get("IpRanges") or ()]
        sources += [(r["CidrIpv6"], r) for r in one.get("Ipv6Ranges") or ()]
        sources += [(r["GroupId"], r) for r in one.get("UserIdGroupPairs") or ()]
        sources += [(r["PrefixListId"], r) for r in one.get("PrefixListIds") or ()]
        found += [
            {
                "protocol": one["IpProtocol"],
                "from": one.get("FromPort", -1),
                "to": one.get("ToPort", -1),
                "source": source,
                "description": row.get("Description", ""),
            }
            for source, row in sources
        ]
    return sorted(found, key=_order)


def _order(rule: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(rule[name]) for name in ("protocol", "from", "to", "source", "description"))


def _allows(rule: Mapping[str, Any]) -> tuple[str, ...]:
    """What makes it that rule and no other."""
    return tuple(str(rule[name]) for name in ("protocol", "from", "to", "source"))


def _permission(rule: Mapping[str, Any]) -> dict[str, Any]:
    said = {"Description": rule["description"]} if rule["description"] else {}
    permission: dict[str, Any] = {"IpProtocol": rule["protocol"]}
    if rule["protocol"] != "-1":
        permission |= {"FromPort": rule["from"], "ToPort": rule["to"]}
    source = rule["source"]
    if source.startswith("sg-"):
        permission["UserIdGroupPairs"] = [{"GroupId": source, **said}]
    elif source.startswith("pl-"):
        permission["PrefixListIds"] = [{"PrefixListId": source, **said}]
    elif ":" in source:
        permission["Ipv6Ranges"] = [{"CidrIpv6": source, **said}]
    else:
        permission["IpRanges"] = [{"CidrIp": source, **said}]
    return permission
