"""The ownership marks of an estate on Okta's objects.

Groups carry it at the start of their description, apps in a line of their admin note
(``settings.notes.admin``), rules at the start of their name, where only 50 characters fit.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from ostiary.plan.resource import Owner

_ESTATE = re.compile(r"^ostiary estate=(\S+)", re.MULTILINE)
_RULE = re.compile(r"ostiary ([0-9a-f]{8}) ")
_IDS = re.compile(r" (groups|users)=(\S+)")


@dataclass(frozen=True, slots=True)
class Mark:
    """One estate's marks."""

    estate: str

    @property
    def text(self) -> str:
        return f"ostiary estate={self.estate}"

    @property
    def rule_prefix(self) -> str:
        return f"ostiary {hashlib.sha256(self.estate.encode()).hexdigest()[:8]} "

    def owner(self, text: str | None) -> tuple[Owner, str]:
        """Whose an object with this description or note is, and the other estate's name."""
        return self._owner(_ESTATE.search(text or ""), self.estate)

    def rule_owner(self, name: str) -> tuple[Owner, str]:
        return self._owner(_RULE.match(name), self.rule_prefix.split()[1])

    @staticmethod
    def _owner(found: re.Match[str] | None, ours: str) -> tuple[Owner, str]:
        if found is None:
            return Owner.FOREIGN, ""
        return (Owner.OURS, "") if found[1] == ours else (Owner.OTHER_ESTATE, f"estate {found[1]}")

    def added_to(self, note: str | None) -> str:
        """The note with our line in it, once."""
        if self.owner(note)[0] is Owner.OURS:
            return note or ""
        return f"{note}\n{self.text}" if note else self.text

    def taken_from(self, text: str | None) -> str:
        """The note or description without our mark; whatever else it says stays."""
        kept = [
            line.removeprefix(self.text).strip() if self.owner(line)[0] is Owner.OURS else line
            for line in (text or "").split("\n")
        ]
        return "\n".join(line for line in kept if line)


def direct_sources(description: str | None) -> tuple[frozenset[str], frozenset[str]]:
    """The ids in ``groups=`` and ``users=`` of a role group: where its direct members come from."""
    ids = {name: frozenset(value.split(",")) for name, value in _IDS.findall(description or "")}
    return ids.get("groups", frozenset()), ids.get("users", frozenset())
