"""What events of the System Log mean for people whom we know: whom to look at, and what is told of them already."""

from __future__ import annotations

from dataclasses import dataclass, field

from ostiary.okta.system_log import (
    ADDED,
    LEAVING,
    LIFECYCLE,
    LOGGED_OUT,
    REMOVED,
    UNASSIGNED,
    LogEvent,
)


@dataclass(slots=True)
class Meant:
    """Whom the log names, and what it says last of each. ``leaving`` are looked at first."""

    leaving: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    logged_out: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    without_app: set[str] = field(default_factory=set)  # groups that lost the app of the sign-in
    out: dict[str, bool] = field(default_factory=dict)  # by the last thing told of each person
    left: dict[tuple[str, str], bool] = field(default_factory=dict)  # and of each in each group

    def add(self, event: LogEvent, app: str) -> None:
        for person in event.people if event.done else ():
            if event.type.startswith(LIFECYCLE):
                self.out[person] = event.type in LEAVING
            elif event.type in (ADDED, REMOVED):
                for group in event.groups:
                    self.left[person, group] = event.type == REMOVED
        if event.type in UNASSIGNED:
            if app in event.apps:
                self.logged_out.update(event.people)
                self.without_app.update(event.groups)
        elif event.type in LOGGED_OUT:
            self.logged_out.update(event.people)
        elif event.type in LEAVING:
            self.leaving.update(event.people)
        elif event.people:
            self.changed.update(event.people)
        else:
            self.groups.update(event.groups)

    def lost(self) -> dict[str, set[str]]:
        """The groups that each person has left, and has not joined again since."""
        found: dict[str, set[str]] = {}
        for (person, group), left in self.left.items():
            if left:
                found.setdefault(person, set()).add(group)
        return found
