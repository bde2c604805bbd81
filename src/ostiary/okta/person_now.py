"""One person as the org has them now: login, whether they may be let in, and the names of their groups."""

from __future__ import annotations

from dataclasses import dataclass

from ostiary.errors import NotFound, Unreachable
from ostiary.okta.client import OktaClient, segment
from ostiary.okta.group import name_of
from ostiary.okta.people import GROUPS_OF_PAGE, person_of

GONE = "E0000007"  # Resource not found, said by Okta itself and not by something on the way
# Whoever is not yet or no longer let in. A person who is LOCKED_OUT, or whose password has expired, is still that person:
# Okta refuses the next sign-in, and a stranger who types wrong passwords cannot take their accounts away.
OUT = frozenset({"STAGED", "PROVISIONED", "SUSPENDED", "DEPROVISIONED"})


@dataclass(frozen=True, slots=True)
class PersonNow:
    """``login`` is "" for somebody whom the org no longer has."""

    id: str
    login: str
    active: bool
    groups: tuple[str, ...]


def read_person(client: OktaClient, user_id: str) -> PersonNow:
    """Ask the org. A list of groups that cannot be whole is Unreachable: it takes nobody out of a group.

    Everybody who is let in is in the built-in group Everyone, so a list without it was cut, or our role does not see
    every group. Source: Okta API, "Groups" (type BUILT_IN).
    """
    try:
        user = client.get(f"/users/{segment(user_id)}", what=f"cannot read user {user_id}")
    except NotFound as error:
        if error.code != GONE:
            raise
        return PersonNow(user_id, "", active=False, groups=())
    person = person_of(user)
    if person.id != user_id:
        raise Unreachable(f"cannot read user {user_id}", why=f"Okta answered with {person.id}")
    if person.status in OUT:
        return PersonNow(user_id, person.login, active=False, groups=())
    what = f"cannot list the groups of user {user_id}"
    path = f"/users/{segment(user_id)}/groups"
    listed = list(client.paginate(path, {"limit": GROUPS_OF_PAGE}, what=what))
    if not any(group.get("type") == "BUILT_IN" for group in listed):
        raise Unreachable(
            what,
            why="incomplete list: the group Everyone is missing",
            fix="give the service app an admin role that sees every user and group",
        )
    return PersonNow(user_id, person.login, active=True, groups=tuple(map(name_of, listed)))
