"""One call on its way through the org, and the table row that says who may make it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from ostiary.sandbox.http import Request, Response
from ostiary.sandbox.okta.errors import malformed
from ostiary.sandbox.okta.objects import User

if TYPE_CHECKING:
    from ostiary.sandbox.okta.state import OktaOrg
    from ostiary.sandbox.world import World

PUBLIC = ""  # anybody: the operation does its own checking
SELF = "self"  # the signed-in person, by session cookie or by a token of their own


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: an SSWS token, an OAuth client or a person. ``scopes`` is None where scopes do not apply."""

    kind: str
    id: str
    roles: frozenset[str] = frozenset()  # admin roles: what they allow adds up
    scopes: frozenset[str] | None = None
    user: User | None = None
    client_id: str | None = None


@dataclass(slots=True)
class Call:
    """A request with the world it meets. ``params`` are the values of the route's ``{names}``."""

    world: World
    request: Request
    params: Mapping[str, str] = field(default_factory=dict)
    principal: Principal = Principal("anonymous", "")

    @property
    def org(self) -> OktaOrg:
        return self.world.okta

    @property
    def now(self) -> float:
        return self.world.clock.now()

    @property
    def origin(self) -> str:
        return self.request.origin or self.org.url

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object of the body; anything else is E0000003."""
        try:
            value = self.request.json
        except (ValueError, RecursionError) as error:
            raise malformed() from error
        if not isinstance(value, dict):
            raise malformed()
        return value

    def record(self, event: str, *targets: tuple[str, str, str]) -> None:
        """Write to the system log what this caller did; a target is (id, type, display name)."""
        who = self.principal
        name = who.user.name if who.user else who.kind
        self.org.record(event, (who.id, name), targets)

    def flag(self, name: str, default: bool) -> bool:
        return self.request.query.get(name, str(default)).lower() == "true"

    def href(self, path: str) -> str:
        return self.origin + path

    def link(self, path: str, *allow: str) -> dict[str, Any]:
        found: dict[str, Any] = {"href": self.origin + path}
        return {**found, "hints": {"allow": list(allow)}} if allow else found


Operation: TypeAlias = Callable[[Call], Response]


@dataclass(frozen=True, slots=True)
class Route:
    """``template`` is a path with ``{name}`` segments; ``scope`` is the OAuth scope that it needs."""

    method: str
    template: str
    scope: str
    operation: Operation


def done() -> Response:
    return Response(204)
