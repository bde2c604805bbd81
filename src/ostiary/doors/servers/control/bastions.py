"""The bastion that a host names when it enrols: a server of its project, which may come later than what is behind it."""

from __future__ import annotations

import difflib

from sqlalchemy import Connection, select

from ostiary.doors.servers.control.tables import servers
from ostiary.doors.servers.wire.host import Enroll

MOST_NEAR = 3


def warning(connection: Connection, project_id: str, project: str, asked: Enroll) -> str:
    """What to say to who enrols a host behind a bastion that is not there (yet); "" for nothing.

    Not refused: a whole site comes up in any order.
    """
    if not asked.bastion:
        return ""
    active = (servers.c.project_id == project_id) & (servers.c.state == "active")
    names = connection.scalars(select(servers.c.name).where(active)).all()
    if asked.bastion in names:
        return ""
    others = [one for one in names if one != asked.name]
    near = difflib.get_close_matches(asked.bastion, others, n=MOST_NEAR, cutoff=0.6)
    meant = f"; near it: {', '.join(near)}" if near else ""
    return (
        f"no server of project {project} is named {asked.bastion}{meant}:"
        f" nobody reaches {asked.name} before a bastion of that name is enrolled"
    )
