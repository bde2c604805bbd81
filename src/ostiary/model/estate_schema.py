"""The keys of the estate, once: the parser knows them from here, and editors get them as JSON Schema."""

from __future__ import annotations

from typing import Any

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$"
ESTATE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,47}$"
ROLE_NAME = r"^[A-Za-z0-9_+=,.@-]{1,64}$"
PROVIDER_NAME = r"^[A-Za-z0-9_.-]{1,128}$"
DURATION = r"^([0-9]{1,2}h)?([0-9]{1,3}m)?$"
POLICY = r"^(aws|customer|file):.+$"
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

Shape = dict[str, dict[str, Any]]


def _text(description: str, pattern: str | None = None, **more: Any) -> dict[str, Any]:
    return (
        {"type": "string", "description": description}
        | ({"pattern": pattern} if pattern else {})
        | more
    )


def _texts(description: str, pattern: str | None = None) -> dict[str, Any]:
    item = _text(description, pattern)
    return {"anyOf": [item, {"type": "array", "items": item, "uniqueItems": True, "minItems": 1}]}


def _flag(description: str, *, default: bool) -> dict[str, Any]:
    return {"type": "boolean", "description": description, "default": default}


def _object(shape: str, **more: Any) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{shape}", **more}


def _named(shape: str, pattern: str, description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "propertyNames": {"pattern": pattern},
        "additionalProperties": _object(shape),
    }


_SELECTORS = {
    "description": "accounts: a union; one item with several keys is an intersection",
    "anyOf": [
        _object("selector"),
        {"type": "array", "items": _object("selector"), "minItems": 1},
    ],
}

SHAPES: dict[str, Shape] = {
    "runs": {
        "store": _text(
            "where journal, before-images and lease live: file:<folder> or s3://bucket/prefix"
        ),
        "kms_key": _text("KMS key that encrypts before-images in S3"),
    },
    "org": {
        "url": _text("https address of the Okta org"),
        "policy": _text("name of the authentication policy of every app made here"),
        "auth": _object("auth"),
        "rule_budget": {
            "type": "integer",
            "minimum": 1,
            "default": 2000,
            "description": "how many group rules the org may hold in all",
        },
    },
    "auth": {
        "client_id": _text("client id of the OAuth service app"),
        "private_key_file": _text("file of its private key, PEM or JWK"),
        "private_key": _text(
            "its private key, only as ${env:NAME}", r"^\$\{env:[A-Za-z_][A-Za-z0-9_]*\}$"
        ),
        "key_id": _text("kid of the key"),
        "scopes": _texts("OAuth scopes; by default those that the command needs"),
        "dpop": _flag("bind tokens to a key (DPoP)", default=False),
    },
    "organization": {
        "partition": {"enum": ["aws", "aws-us-gov", "aws-cn"], "default": "aws"},
        "reach": _object("reach"),
        "protect": _object("protect"),
        "owned_elsewhere": _texts(
            "role-name globs whose trust another tool owns; statements are proposed, not written"
        ),
    },
    "reach": {
        "profile": _text("profile of the AWS configuration that starts every way in"),
        "plan": _text("role that reads, assumed in each account", ROLE_NAME),
        "apply": _text("role that writes, assumed in each account", ROLE_NAME),
        "else": _texts("roles tried after those, in order", ROLE_NAME),
        "region": _text("region of API calls; by default the partition's home region"),
        "external_id": _text("ExternalId of every AssumeRole"),
        "accounts": {
            "type": "object",
            "description": "other roles for single accounts, by quoted 12-digit id",
            "propertyNames": {"pattern": "^[0-9]{12}$"},
            "additionalProperties": _object("account_reach"),
        },
    },
    "account_reach": {
        "plan": _text("role that reads", ROLE_NAME),
        "apply": _text("role that writes", ROLE_NAME),
        "else": _texts("roles tried after those", ROLE_NAME),
    },
    "protect": {"roles": _texts("role-name globs that are never changed")},
    "console": {
        "via": {"enum": ["role-groups"], "default": "role-groups"},
        "org": _text("name of the org; may be left out where there is one", NAME),
        "organization": _text("name of the organization; may be left out where there is one", NAME),
        "saml_provider": _text(
            "name of the IAM SAML provider, the same in every account",
            PROVIDER_NAME,
            default="Okta",
        ),
        "session": _text("console session, 15m to 12h", DURATION, default="1h"),
        "app": _text("label of the Okta app; by default AWS <estate> <console>", r"^[^/]{1,96}$"),
        "app_filter": _text("Okta's App Filter: where role groups come from", default="okta"),
        "group_name": _text("template of role-group names", default="aws#{alias}#{role}#{account}"),
        "group_filter": _text("Okta's Group Filter; derived from group_name by default"),
        "role_value_pattern": _text("Okta's Role Value Pattern; derived by default"),
        "membership": {"enum": ["rules", "direct"], "default": "rules"},
        "native_app": _flag(
            "make the OIDC app for the device flow of command-line tools", default=True
        ),
    },
    "role": {
        "description": _text("description of the role"),
        "policies": _texts("aws:Name, customer:Name or file:path.json", POLICY),
        "max_session": _text("1h to 12h; by default the longest console session", DURATION),
        "boundary": _text(
            "permissions boundary: aws:Name or customer:Name", r"^(aws|customer):.+$"
        ),
        "existing": _flag(
            "the role is made elsewhere: only our trust statement is added", default=False
        ),
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
        "by": {
            "type": "object",
            "description": "what differs in some accounts, by selector; the last one wins",
            "additionalProperties": _object("override"),
        },
    },
    "override": {
        "description": _text("description of the role there"),
        "policies": _texts("policies there, instead of the template's", POLICY),
        "max_session": _text("1h to 12h", DURATION),
        "boundary": _text("permissions boundary there", r"^(aws|customer):.+$"),
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "assignment": {
        "group": _text("exact name of an Okta group"),
        "user": _text("login of an Okta user; needs until and reason"),
        "may": _texts("names of roles", ROLE_NAME),
        "in": _SELECTORS,
        "not_in": _SELECTORS,
        "until": _text("last day on which it holds, YYYY-MM-DD in UTC", DATE),
        "reason": _text("why"),
        "console": _texts("names of consoles; by default every one", NAME),
    },
    "terms": {
        "ou": _text("/Path, everything below it; /Path/. only directly in it", "^/"),
        "tag": _text("key=value of an account tag", "^[^=]+=.*$"),
        "account": _text("12-digit id, name or name glob"),
    },
    "estate": {
        "estate": _text(
            "the estate's name; part of every ownership mark, never changed", ESTATE_NAME
        ),
        "version": {"const": 1},
        "runs": _object("runs"),
        "orgs": _named("org", NAME, "Okta orgs by name"),
        "org": _object("org", description="short form: one org named main"),
        "organizations": _named("organization", NAME, "AWS Organizations by name"),
        "organization": _object("organization", description="short form: one named main"),
        "consoles": _named("console", NAME, "ways in by name"),
        "console": _object("console", description="short form: one console named main"),
        "roles": _named("role", ROLE_NAME, "role templates by role name"),
        "assignments": {"type": "array", "items": _object("assignment")},
    },
}
REQUIRED = {
    "estate": ["estate", "version"],
    "org": ["url"],
    "auth": ["client_id"],
    "assignment": ["may", "in"],
}


def schema() -> dict[str, Any]:
    """The estate as JSON Schema (2020-12), for completion and checks in editors."""
    shapes = {name: _closed(name) for name in SHAPES if name != "estate"}
    selector = {
        "anyOf": [_text("all, ou:/Path, tag:key=value or account:id-or-glob"), _object("terms")]
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
    }
