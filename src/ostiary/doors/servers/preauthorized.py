"""All preauthorizations of a project, as the control plane gives them: some in each answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from ostiary.doors.servers.wire.admin import Preauthorization, Preauthorizations
from ostiary.doors.servers.wire.paths import project_path

if TYPE_CHECKING:
    from ostiary.doors.servers.project_kind import Calls


def listed(control: Calls, project: str, *, good: bool = False) -> tuple[Preauthorization, ...]:
    """Of the project with this name, the newest last; with ``good`` only those that are good now."""
    found = (one for some in _pages(control, project, good) for one in some.preauthorizations)
    return tuple(sorted(found, key=lambda one: (one.created, one.id)))


def _pages(control: Calls, project: str, good: bool) -> Iterator[Preauthorizations]:
    path = f"{project_path(project)}/preauthorizations"
    after = ""
    while True:
        asked = {**({"after": after} if after else {}), **({"good": "1"} if good else {})}
        whole = f"{path}?{urlencode(asked)}" if asked else path
        some: Preauthorizations = control.call("GET", whole, kind=Preauthorizations)
        yield some
        if not some.more:
            return
        after = some.more
