"""Who is assigned to an app, as ids. Read only. Source: Okta API, "Application groups" and "Application users"."""

from __future__ import annotations

from dataclasses import dataclass

from ostiary.okta.client import OktaClient, segment

GROUPS_PAGE, USERS_PAGE = 200, 500


@dataclass(frozen=True, slots=True)
class Assigned:
    """Group ids, and the ids of users who are assigned by themselves (scope USER)."""

    groups: frozenset[str]
    users: frozenset[str]


def assigned_to(client: OktaClient, app_id: str, label: str) -> Assigned:
    """Both lists whole, or an error."""
    path = f"/apps/{segment(app_id)}"
    groups = client.paginate(
        f"{path}/groups", {"limit": GROUPS_PAGE}, what=f"cannot list the groups of app {label}"
    )
    users = client.paginate(
        f"{path}/users", {"limit": USERS_PAGE}, what=f"cannot list the users of app {label}"
    )
    return Assigned(
        frozenset(group["id"] for group in groups),
        frozenset(user["id"] for user in users if user.get("scope") == "USER"),
    )
