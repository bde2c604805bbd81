"""The machines of the estate: principals that are no people, and what each kind of them proves itself by."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date

from ostiary.model.estate_fields import Fields, suggest
from ostiary.model.estate_server_shapes import MACHINE_KINDS, PROJECT_NAME
from ostiary.model.servers import MachineSettings

ReadFile = Callable[[str], str]
_OF_KIND = {
    "oidc": ("issuer", "audience", "claims"),
    "private-key-jwt": ("public_keys_file",),
    "aws": ("arn",),
}


def parse_machine(
    name: str, fields: Fields, projects: Mapping[str, object], read_file: ReadFile | None
) -> MachineSettings:
    project = fields.text("project", PROJECT_NAME) or ""
    if project and project not in projects:
        hint = suggest(project, tuple(projects))
        fields.wrong("project", f"names project {project!r}, which is not defined{hint}")
    kind = fields.choice("kind", "", MACHINE_KINDS)
    for other, keys in _OF_KIND.items() if kind else ():
        for key in keys:
            if other == kind and key not in fields:
                message = f"{fields.where} is of kind {kind} and lacks {key!r}"
                fields.problems.add(fields.line, message)
            if other != kind and key in fields:
                fields.wrong(key, f"is of kind {other}, and the machine is of kind {kind}")
    claims = fields.texts_by_name("claims", r"^\S{1,128}$")
    if "claims" in fields and "sub" not in claims:
        fields.wrong("claims", "must name sub: without it every job of the issuer would get in")
    if any({"*", "?"} & set(value) for value in claims.values()):
        fields.wrong("claims", "has a wildcard, and claims are compared exactly")
    return MachineSettings(
        name=name,
        project=project,
        kind=kind,
        owner=fields.text("owner", r"^[^@\s]+@\S+$") or "",
        until=fields.day("until") or date.max,
        issuer=fields.text("issuer", r"^https://\S+$") or "",
        audience=fields.text("audience") or "",
        claims=claims,
        public_keys=_public_keys(fields, read_file),
        arn=fields.text("arn", r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/\S+$") or "",
        rate=fields.integer("rate", 1000, 1, 100_000),
        place=fields.place,
    )


def _public_keys(fields: Fields, read_file: ReadFile | None) -> str:
    """The JWK set of a file on one line; only public keys are taken."""
    path = fields.text("public_keys_file")
    if path is None:
        return ""
    if read_file is None:
        fields.wrong("public_keys_file", "names a file, and files cannot be read here")
        return ""
    try:
        keys = json.loads(read_file(path))["keys"]
        private = any({"d", "k"} & key.keys() for key in keys)  # RFC 7517, RFC 7518 6
        kids = {str(key["kid"]) for key in keys}
    except OSError as error:
        fields.wrong("public_keys_file", f"cannot be read: {error.strerror or error}")
        return ""
    except (ValueError, KeyError, TypeError, AttributeError):
        fields.wrong("public_keys_file", 'is no set of keys with a kid each: {"keys": […]}')
        return ""
    if len(kids) != len(keys):
        fields.wrong("public_keys_file", "has two keys of one kid")
    if private or not keys:
        fields.wrong(
            "public_keys_file", "holds no key, or a private one: only public keys belong there"
        )
    return json.dumps({"keys": keys}, sort_keys=True, separators=(",", ":"))
