"""The sections of the estate that say where: orgs, organizations and how to reach them, consoles."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, cast

from ostiary.model.estate import (
    AccountReach,
    Console,
    EnvRef,
    OrganizationSettings,
    OrgAuth,
    OrgSettings,
)
from ostiary.model.estate_fields import Fields, named_entries, suggest
from ostiary.model.estate_groups import filter_defects, pattern_defects, template_problems
from ostiary.model.estate_schema import NAME, PROVIDER_NAME, ROLE_NAME
from ostiary.model.partition import PARTITIONS

MIN_SESSION, MAX_SESSION = 900, 43_200  # STS DurationSeconds


def parse_org(name: str, fields: Fields) -> OrgSettings:
    url = fields.reference("url")
    if isinstance(url, str) and not re.fullmatch(r"https://[A-Za-z0-9.-]+(:[0-9]+)?/?", url):
        fields.wrong("url", f"is {url!r}; it must be the https address of an org, without a path")
    return OrgSettings(
        name=name,
        url=url or "",
        policy=fields.text("policy"),
        auth=_auth(fields),
        rule_budget=fields.integer("rule_budget", 2000, 1, 100_000),
        place=fields.place,
    )


def _auth(fields: Fields) -> OrgAuth | None:
    node = fields.entries.get("auth")
    if node is None:
        return None
    auth = Fields(node, "auth", f"auth of {fields.where}", fields.problems)
    key = auth.reference("private_key")
    if isinstance(key, str):
        auth.wrong("private_key", "must not be written here: use ${env:NAME} or private_key_file")
    if ("private_key" in auth) == ("private_key_file" in auth):
        auth.problems.add(auth.line, f"{auth.where} needs one of private_key_file and private_key")
    return OrgAuth(
        client_id=auth.reference("client_id") or "",
        private_key_file=auth.reference("private_key_file"),
        private_key=key if isinstance(key, EnvRef) else None,
        key_id=auth.reference("key_id"),
        scopes=auth.texts("scopes", r"^[a-z0-9_.]+$"),
        dpop=auth.flag("dpop", default=False),
    )


def parse_organization(name: str, fields: Fields) -> OrganizationSettings:
    empty = fields.entries.get("reach")
    reach = Fields(empty, "reach", f"reach of {fields.where}", fields.problems) if empty else None
    node = fields.entries.get("protect")
    protect = (
        Fields(node, "protect", f"protect of {fields.where}", fields.problems) if node else None
    )
    return OrganizationSettings(
        name=name,
        partition=fields.choice("partition", "aws", tuple(PARTITIONS)),
        profile=reach.text("profile") if reach else None,
        plan=reach.text("plan", ROLE_NAME) if reach else None,
        apply=reach.text("apply", ROLE_NAME) if reach else None,
        fallbacks=reach.texts("else", ROLE_NAME) if reach else (),
        region=reach.text("region", r"^[a-z]{2}(-[a-z]+)+-[0-9]$") if reach else None,
        external_id=reach.reference("external_id") if reach else None,
        protect_roles=protect.texts("roles") if protect else (),
        owned_elsewhere=fields.texts("owned_elsewhere"),
        reach_overrides=_overrides(reach) if reach else {},
        place=fields.place,
    )


def _overrides(reach: Fields) -> dict[str, AccountReach]:
    found = {}
    node = reach.entries.get("accounts")
    for account, value, line in named_entries(node, "account", r"^[0-9]{12}$", reach.problems):
        where = f"account {account} in {reach.where}"
        fields = Fields(value, "account_reach", where, reach.problems, line)
        found[account] = AccountReach(
            fields.text("plan", ROLE_NAME),
            fields.text("apply", ROLE_NAME),
            fields.texts("else", ROLE_NAME) if "else" in fields else None,
        )
    return found


def parse_console(
    name: str,
    fields: Fields,
    label: str,
    orgs: Mapping[str, OrgSettings],
    organizations: Mapping[str, OrganizationSettings],
) -> Console:
    org = _one_of(fields, "org", orgs)
    organization = _one_of(fields, "organization", organizations)
    partition = PARTITIONS[
        organizations[organization].partition if organization in organizations else "aws"
    ]
    provider = fields.text("saml_provider", PROVIDER_NAME) or "Okta"
    # Roles of another partition must not be offered by this app: the prefix keeps their groups apart.
    template = fields.text("group_name") or f"{partition.name}#{{alias}}#{{role}}#{{account}}"
    fields.check("group_name", lambda: template_problems(template))
    group_filter, pattern = fields.text("group_filter"), fields.text("role_value_pattern")
    if group_filter is not None:
        fields.check("group_filter", lambda: filter_defects(group_filter))
    if pattern is not None:
        fields.check("role_value_pattern", lambda: pattern_defects(pattern, provider, partition))
    return Console(
        name=name,
        org=org,
        organization=organization,
        via=cast('Literal["role-groups"]', fields.choice("via", "role-groups", ("role-groups",))),
        saml_provider=provider,
        session_seconds=fields.duration("session", MIN_SESSION, MAX_SESSION) or 3600,
        app_label=fields.text("app", r"^[^/]{1,96}$") or label,
        app_filter=fields.text("app_filter", r"^[a-z0-9_]+(, ?[a-z0-9_]+)*$") or "okta",
        group_name=template,
        group_filter=group_filter,
        role_value_pattern=pattern,
        membership=cast(
            'Literal["rules", "direct"]', fields.choice("membership", "rules", ("rules", "direct"))
        ),
        native_app=fields.flag("native_app", default=True),
        place=fields.place,
    )


def _one_of(fields: Fields, key: str, known: Mapping[str, object]) -> str:
    """The named org or organization; it may be left out where there is exactly one."""
    value = fields.text(key, NAME)
    if value is None:
        if key not in fields and len(known) != 1:
            names = ", ".join(known) or "none"
            fields.problems.add(fields.line, f"{fields.where} must name its {key} (known: {names})")
        return next(iter(known), "")
    if value not in known:
        fields.wrong(key, f"is {value!r}, which is not defined{suggest(value, tuple(known))}")
    return value
