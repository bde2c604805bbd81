"""The ``roles`` of the estate."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

from ostiary.model.estate import PolicyRef, RoleOverride, RoleTemplate
from ostiary.model.estate_accounts import parse_selector
from ostiary.model.estate_fields import Fields, Problems, named_entries
from ostiary.model.estate_schema import POLICY
from ostiary.model.estate_yaml import Node, Type

MIN_SESSION, MAX_SESSION = 3600, 43_200  # IAM MaxSessionDuration
POLICY_NAME = re.compile(r"([!-~]+/)?[A-Za-z0-9_+=,.@-]{1,128}\Z")
DESCRIPTION = r"^[\x20-\x7e\xa1-\xff]{1,1000}$"  # what IAM takes
RESERVED_TAGS = ("aws:", "ostiary:")


class RoleReader:
    """Reads roles; ``longest_session`` (seconds) is what every role must allow at least."""

    def __init__(
        self,
        problems: Problems,
        read_file: Callable[[str], str] | None,
        *,
        longest_session: int,
    ) -> None:
        self.problems = problems
        self.read_file = read_file
        self.longest_session = longest_session
        self._documents: dict[str, Mapping[str, Any] | str] = {}

    def role(self, name: str, fields: Fields) -> RoleTemplate:
        existing = fields.flag("existing", default=False)
        policies = self._policies(fields)
        if existing:
            for key in ("policies", "max_session", "boundary", "description", "tags", "by"):
                if key in fields:
                    fields.wrong(key, "has no effect: the role is existing, made elsewhere")
        elif not policies and "policies" not in fields:
            fields.problems.add(fields.line, f"{fields.where} needs policies, or existing: true")
        return RoleTemplate(
            name=name,
            description=fields.text("description", DESCRIPTION) or "",
            policies=policies or (),
            max_session=self._max_session(fields) or max(MIN_SESSION, self.longest_session),
            boundary=self._boundary(fields),
            existing=existing,
            by=self._overrides(fields),
            tags=self._tags(fields) or {},
            place=fields.place,
        )

    def _overrides(self, fields: Fields) -> tuple[RoleOverride, ...]:
        node = fields.entries.get("by")
        found = []
        for text, value, line in named_entries(node, "selector", "", self.problems):
            key = Node(line, Type.TEXT, text)
            selector = parse_selector(key, f"by of {fields.where}", self.problems)
            where = f"{text!r} in by of {fields.where}"
            other = Fields(value, "override", where, self.problems, line)
            override = (
                self._policies(other),
                self._max_session(other),
                self._boundary(other),
                other.text("description", DESCRIPTION),
                self._tags(other),
            )
            if selector is not None:
                found.append(RoleOverride(selector, *override, place=other.place))
        return tuple(found)

    def _max_session(self, fields: Fields) -> int | None:
        seconds = fields.duration("max_session", MIN_SESSION, MAX_SESSION)
        if seconds is not None and seconds < self.longest_session:
            fields.wrong(
                "max_session",
                f"is shorter than a console session of {self.longest_session} s: AWS would refuse the sign-in",
            )
        return seconds

    def _boundary(self, fields: Fields) -> PolicyRef | None:
        text = fields.text("boundary", r"^(aws|customer):.+$")
        return None if text is None else self._policy(fields, "boundary", text)

    def _policies(self, fields: Fields) -> tuple[PolicyRef, ...] | None:
        if "policies" not in fields:
            return None
        texts = fields.texts("policies", POLICY)
        refs = tuple(ref for text in texts if (ref := self._policy(fields, "policies", text)))
        names = [ref.inline_name for ref in refs if ref.kind == "file"]
        for name in sorted({name for name in names if names.count(name) > 1}):
            fields.wrong("policies", f"has two files that become the inline policy {name!r}")
        return refs

    def _policy(self, fields: Fields, key: str, text: str) -> PolicyRef | None:
        kind, _, name = text.partition(":")
        if kind != "file":
            if not POLICY_NAME.match(name) or name.startswith("arn"):
                fields.wrong(key, f"has {text!r}; write aws:Name or customer:Name, not an ARN")
            return PolicyRef(cast('Literal["aws", "customer"]', kind), name)
        document = self._document(name)
        if isinstance(document, str):
            fields.wrong(key, f"has {text!r}: {document}")
            return None
        return PolicyRef("file", name, document)

    def _document(self, path: str) -> Mapping[str, Any] | str:
        """The policy document of a file, or what is wrong with it."""
        if path not in self._documents:
            self._documents[path] = self._read(path)
        return self._documents[path]

    def _read(self, path: str) -> Mapping[str, Any] | str:
        if self.read_file is None:
            return "files cannot be read here"
        try:
            document = json.loads(self.read_file(path))
        except OSError as error:
            return f"cannot read it: {error.strerror or error}"
        except ValueError as error:
            return f"not JSON: {error}"
        if not isinstance(document, dict) or not document.get("Statement"):
            return "not a policy document: it has no Statement"
        if not POLICY_NAME.match(PolicyRef("file", path).inline_name):
            return "its file name, without .json, is no name for an inline policy"
        return document

    def _tags(self, fields: Fields) -> dict[str, str] | None:
        node = fields.entries.get("tags")
        if node is None:
            return None
        tags = {}
        for key, value, line in named_entries(node, "tag", r"^[\w .:/=+@-]{1,128}$", self.problems):
            if key.lower().startswith(RESERVED_TAGS):
                self.problems.add(
                    line, f"tag {key!r} of {fields.where}: {key.split(':')[0]}: is reserved"
                )
            if value.type is not Type.TEXT:
                self.problems.add(line, f'tag {key!r} of {fields.where} must be text, in "quotes"')
            tags[key] = value.text
        return tags
