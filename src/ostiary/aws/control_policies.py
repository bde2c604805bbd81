"""Service control policies in force over an account, root first; what accounts share is asked once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import TypeVar

from ostiary.aws.session import Aws
from ostiary.errors import Conflict, Denied
from ostiary.model.iam import Document

T = TypeVar("T")
Levels = tuple[tuple[Document, ...], ...]


class ControlPolicies:
    """Of one organization. Threads may share it.

    Organizations allows few calls a second, so parents, and what hangs on a root or OU, are kept.
    """

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], object] = {}

    def over(self, account_id: str) -> Levels | None:
        """One tuple of documents for each level; () when none can limit it, None when that cannot be read."""
        organization = self._aws.organization()
        if organization is None:
            return None
        if not organization or organization["MasterAccountId"] == account_id:
            return ()  # service control policies never limit the management account
        try:
            lineage = [account_id]
            while not lineage[0].startswith("r-"):
                lineage.insert(0, self._parent(lineage[0]))
            return tuple(self._attached(target) for target in lineage)
        except Denied:
            return None
        except Conflict as error:
            if error.code == "PolicyTypeNotEnabledException":
                return ()
            raise

    def _parent(self, child: str) -> str:
        def ask() -> str:
            parents = self._aws.pages("organizations", "list_parents", "Parents", ChildId=child)
            return str(next(parents)["Id"])

        return self._aws.parents.get(child) or self._once("parent", child, ask)

    def _attached(self, target: str) -> tuple[Document, ...]:
        def ask() -> tuple[Document, ...]:
            listed = self._aws.pages(
                "organizations",
                "list_policies_for_target",
                "Policies",
                TargetId=target,
                Filter="SERVICE_CONTROL_POLICY",
            )
            return tuple(self._document(one["Id"]) for one in listed)

        return self._once("attached", target, ask)

    def _document(self, policy_id: str) -> Document:
        def ask() -> Document:
            answer = self._aws.call("organizations", "describe_policy", PolicyId=policy_id)
            document: Document = json.loads(answer["Policy"]["Content"])
            return document

        return self._once("document", policy_id, ask)

    def _once(self, what: str, name: str, ask: Callable[[], T]) -> T:
        """Two threads may both ask; that costs a call and changes nothing."""
        with self._lock:
            kept = self._kept.get((what, name))
        if kept is None:
            kept = ask()
            with self._lock:
                self._kept[what, name] = kept
        return kept  # type: ignore[return-value] # it is what ask of this name gave
