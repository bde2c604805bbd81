"""The keys of the ``servers`` of the estate, and of what an assignment may give there."""

from __future__ import annotations

from typing import Any

from ostiary.model.estate_shapes import (
    DATE,
    DURATION,
    Shape,
    flag,
    named,
    number,
    shape_of,
    text,
    texts,
    texts_by_name,
)
from ostiary.model.preauthorization import MODES, NONE

PROJECT_NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"
RULE_NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
MACHINE_NAME = r"^[a-z0-9][a-z0-9-]{0,54}$"
LABEL = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$"
ENROLLING_ACCOUNT = r"^[0-9]{12}(/[a-z]{2}(-[a-z]+)+-[0-9])?$"
KMS_KEY = r"^(alias/[A-Za-z0-9/_-]{1,250}|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/[A-Za-z0-9/_-]+)$"
MACHINE_KINDS = ("private-key-jwt", "oidc", "aws")
LOWEST_NUMBER, HIGHEST_NUMBER = 1000, 999_999_999

SERVER_SHAPES: dict[str, Shape] = {
    "servers": {
        "control": text("https address of the control plane (ostiary serve)"),
        "ca_file": text("file of the authorities that its certificate is checked by"),
        "projects": named("project", PROJECT_NAME, "projects by name"),
        "sudo": named("sudo_rule", RULE_NAME, "what sudo may run, by the name that may: uses"),
        "machines": named("machine", MACHINE_NAME, "principals that are no people, by name"),
    },
    "project": {
        "uid_start": number(
            "first UID; never changed afterwards", LOWEST_NUMBER, HIGHEST_NUMBER, 60001
        ),
        "gid_start": number(
            "first GID; never changed afterwards", LOWEST_NUMBER, HIGHEST_NUMBER, 63001
        ),
        "kms": text(
            "KMS key that signs: ARN or alias; by default the control plane's own", KMS_KEY
        ),
        "acr_values": texts("how strong a sign-in must be, as Okta's acr_values", r"^\S+$"),
        "max_age": text("how old a sign-in may be, 1m to 99h", DURATION),
        "other_ways": {
            "enum": ["report", "close"],
            "default": "report",
            "description": "what the agent does about other ways into its host",
        },
        "accounts": texts(
            "AWS accounts whose instances may enrol by identity: 12 digits, or 12 digits/region",
            ENROLLING_ACCOUNT,
        ),
        "owners": texts("Okta groups that may administer the project"),
        "preauthorization": {
            "enum": list(MODES),
            "default": NONE,
            "description": "required: people get in only while an owner has preauthorized them",
        },
    },
    "sudo_rule": {
        "commands": texts("absolute paths with fixed arguments, or ALL alone"),
        "run_as": text("whom they run as", default="root"),
        "nopasswd": flag("without a password; people of Ostiary have none to type", default=True),
        "noexec": flag("the command may start no other", default=False),
    },
    "machine": {
        "project": text("the project whose servers it enters", PROJECT_NAME),
        "kind": {"enum": list(MACHINE_KINDS), "description": "what it proves itself by"},
        "owner": text("login of the person who answers for it"),
        "until": text("last day on which it holds, YYYY-MM-DD in UTC", DATE),
        "issuer": text("https address of its issuer (oidc)", r"^https://\S+$"),
        "audience": text("audience that its token must have (oidc)"),
        "claims": texts_by_name("claims that its token must have, exactly, sub among them (oidc)"),
        "public_keys_file": text("file with its JWK set (private-key-jwt)"),
        "arn": text("IAM role that it has (aws)", r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/\S+$"),
        "rate": number("certificates an hour at most", 1, 100_000, 1000),
    },
    "server_rights": {
        "login": texts("projects whose servers may be entered", PROJECT_NAME),
        "admin": flag("as administrator: sudo of everything", default=False),
        "sudo": texts("names of servers.sudo", RULE_NAME),
        "forward": texts("HOST:PORT that a connection may be forwarded to"),
        "sftp_only": flag("files only, no shell", default=False),
        "agent_forwarding": flag("forward the person's SSH agent", default=False),
        "x11": flag("forward X11", default=False),
        "max_session": text("longest session, 1m to 99h", DURATION),
        "servers": texts_by_name("labels that a server must bear; by default every server"),
        "source_address": texts("networks that its certificates are good from"),
        "force_command": text("the one command that its certificates run"),
    },
}
SERVER_REQUIRED = {
    "servers": ["control"],
    "sudo_rule": ["commands"],
    "machine": ["project", "kind", "owner", "until"],
    "server_rights": ["login"],
}
# An assignment of roles says where; one of servers says it in ``may``.
ASSIGNMENT: dict[str, Any] = {
    "if": {"properties": {"may": {"type": "object"}}},
    "then": {"not": {"anyOf": [{"required": [key]} for key in ("in", "not_in", "console")]}},
    "else": {"required": ["in"], "not": {"required": ["machine"]}},
}
MAY = shape_of("server_rights", description="what may be done on servers")
