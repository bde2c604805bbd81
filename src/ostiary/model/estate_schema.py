"""The keys of the estate, once: the parser knows them from here, and editors get them as JSON Schema."""

from __future__ import annotations

from typing import Any

from ostiary.model.estate_server_shapes import ASSIGNMENT, MAY, SERVER_REQUIRED, SERVER_SHAPES
from ostiary.model.estate_shapes import (
    DATE,
    DURATION,
    NAME,
    Shape,
    flag,
    named,
    shape_of,
    text,
    texts,
)

__all__ = ["DATE", "DURATION", "NAME", "REQUIRED", "SHAPES", "schema"]
ESTATE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,47}$"
ROLE_NAME = r"^[A-Za-z0-9_+=,.@-]{1,64}$"
PROVIDER_NAME = r"^[A-Za-z0-9_.-]{1,128}$"
POLICY = r"^(aws|customer|file):.+$"

_SELECTORS = {
    "description": "accounts: a union; one item with several keys is an intersection",
    "anyOf": [
        shape_of("selector"),
        {"type": "array", "items": shape_of("selector"), "minItems": 1},
    ],
}

SHAPES: dict[str, Shape] = {
    "runs": {
        "store": text(
            "where journal, before-images and lease live: file:<folder> or s3://bucket/prefix"
        ),
        "kms_key": text("KMS key that encrypts before-images in S3"),
    },
    "org": {
        "url": text("https address of the Okta org"),
        "policy": text("name of the authentication policy of every app made here"),
        "auth": shape_of("auth"),
        "rule_budget": {
            "type": "integer",
            "minimum": 1,
            "default": 2000,
            "description": "how many group rules the org may hold in all",
        },
    },
    "auth": {
        "client_id": text("client id of the OAuth service app"),
        "private_key_file": text("file of its private key, PEM or JWK"),
        "private_key": text(
            "its private key, only as ${env:NAME}", r"^\$\{env:[A-Za-z_][A-Za-z0-9_]*\}$"
        ),
        "key_id": text("kid of the key"),
        "scopes": texts("OAuth scopes; by default those that the command needs"),
        "dpop": flag("bind tokens to a key (DPoP)", default=False),
    },
    "organization": {
        "partition": {"enum": ["aws", "aws-us-gov", "aws-cn"], "default": "aws"},
        "reach": shape_of("reach"),
        "protect": shape_of("protect"),
        "owned_elsewhere": texts(
            "role-name globs whose trust another tool owns; statements are proposed, not written"
        ),
    },
    "reach": {
        "profile": text("profile of the AWS configuration that starts every way in"),
        "plan": text("role that reads, assumed in each account", ROLE_NAME),
        "apply": text("role that writes, assumed in each account", ROLE_NAME),
        "else": texts("roles tried after those, in order", ROLE_NAME),
        "region": text("region of API calls; by default the partition's home region"),
        "external_id": text("ExternalId of every AssumeRole"),
        "accounts": {
            "type": "object",
            "description": "other roles for single accounts, by quoted 12-digit id",
            "propertyNames": {"pattern": "^[0-9]{12}$"},
            "additionalProperties": shape_of("account_reach"),
        },
    },
    "account_reach": {
        "plan": text("role that reads", ROLE_NAME),
        "apply": text("role that writes", ROLE_NAME),
        "else": texts("roles tried after those", ROLE_NAME),
    },
    "protect": {"roles": texts("role-name globs that are never changed")},
    "console": {
        "via": {"enum": ["role-groups"], "default": "role-groups"},
        "org": text("name of the org; may be left out where there is one", NAME),
        "organization": text("name of the organization; may be left out where there is one", NAME),
        "saml_provider": text(
            "name of the IAM SAML provider, the same in every account",
            PROVIDER_NAME,
            default="Okta",
        ),
        "session": text("console session, 15m to 12h", DURATION, default="1h"),
        "app": text("label of the Okta app; by default AWS <estate> <console>", r"^[^/]{1,96}$"),
        "app_filter": text("Okta's App Filter: where role groups come from", default="okta"),
        "group_name": text("template of role-group names", default="aws#{alias}#{role}#{account}"),
        "group_filter": text("Okta's Group Filter; derived from group_name by default"),
        "role_value_pattern": text("Okta's Role Value Pattern; derived by default"),
        "membership": {"enum": ["rules", "direct"], "default": "rules"},
        "native_app": flag(
            "make the OIDC app for the device flow of command-line tools", default=True
        ),
    },
    "role": {
        "description": text("description of the role"),
        "policies": texts("aws:Name, customer:Name or file:path.json", POLICY),
        "max_session": text("1h to 12h; by default the longest console session", DURATION),
        "boundary": text("permissions boundary: aws:Name or customer:Name", r"^(aws|customer):.+$"),
        "existing": flag(
            "the role is made elsewhere: only our trust statement is added", default=False
        ),
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
        "by": {
            "type": "object",
            "description": "what differs in some accounts, by selector; the last one wins",
            "additionalProperties": shape_of("override"),
        },
    },
    "override": {
        "description": text("description of the role there"),
        "policies": texts("policies there, instead of the template's", POLICY),
        "max_session": text("1h to 12h", DURATION),
        "boundary": text("permissions boundary there", r"^(aws|customer):.+$"),
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "assignment": {
        "group": text("exact name of an Okta group"),
        "user": text("login of an Okta user; needs until and reason"),
        "machine": text("name of servers.machines; only on servers"),
        "may": {"anyOf": [texts("names of roles", ROLE_NAME), MAY]},
        "in": _SELECTORS,
        "not_in": _SELECTORS,
        "until": text("last day on which it holds, YYYY-MM-DD in UTC", DATE),
        "reason": text("why"),
        "console": texts("names of consoles; by default every one", NAME),
    },
    "terms": {
        "ou": text("/Path, everything below it; /Path/. only directly in it", "^/"),
        "tag": text("key=value of an account tag", "^[^=]+=.*$"),
        "account": text("12-digit id, name or name glob"),
    },
    "estate": {
        "estate": text(
            "the estate's name; part of every ownership mark, never changed", ESTATE_NAME
        ),
        "version": {"const": 1},
        "runs": shape_of("runs"),
        "orgs": named("org", NAME, "Okta orgs by name"),
        "org": shape_of("org", description="short form: one org named main"),
        "organizations": named("organization", NAME, "AWS Organizations by name"),
        "organization": shape_of("organization", description="short form: one named main"),
        "consoles": named("console", NAME, "ways in by name"),
        "console": shape_of("console", description="short form: one console named main"),
        "roles": named("role", ROLE_NAME, "role templates by role name"),
        "servers": shape_of("servers", description="what is entered by ssh, and its control plane"),
        "assignments": {"type": "array", "items": shape_of("assignment")},
    },
    **SERVER_SHAPES,
}
REQUIRED = {
    "estate": ["estate", "version"],
    "org": ["url"],
    "auth": ["client_id"],
    "assignment": ["may"],
    **SERVER_REQUIRED,
}


def schema() -> dict[str, Any]:
    """The estate as JSON Schema (2020-12), for completion and checks in editors."""
    shapes = {name: _closed(name) for name in SHAPES if name != "estate"}
    selector = {
        "anyOf": [text("all, ou:/Path, tag:key=value or account:id-or-glob"), shape_of("terms")]
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Ostiary estate",
        **_closed("estate"),
        "$defs": shapes | {"selector": selector},
    }


def _closed(name: str) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": SHAPES[name],
        "required": REQUIRED.get(name, []),
        **(ASSIGNMENT if name == "assignment" else {}),
    }
