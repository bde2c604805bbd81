"""What lives in one AWS account: roles, users, policies, SAML providers and the credentials of its principals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

Document = dict[str, Any]  # a policy document as parsed JSON
FOREVER = float("inf")


class AwsError(Exception):
    """What a service answers instead of a result: AWS's own code, message and HTTP status.

    ``members`` are those that the service's model gives to the error beside its message.
    """

    def __init__(
        self,
        code: str,
        message: str,
        status: int = 400,
        members: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.members = members or {}
        self.code = code
        self.message = message
        self.status = status


class Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


class Shelf(Generic[T]):
    """Objects by name, ignoring case, with the past that readers still see.

    ``get``, ``in`` and iteration are the truth. ``seen`` and ``all_seen`` are what a reader meets at a time:
    a write with ``seen_from`` in the future shows the object as it was before until then. Objects on a shelf
    are replaced (``dataclasses.replace`` and ``put``), never changed in place, or the past would change too.
    """

    __slots__ = ("_now", "_past")

    def __init__(self) -> None:
        self._now: dict[str, T] = {}
        self._past: dict[str, list[tuple[float, T | None]]] = {}

    def put(self, item: T, seen_from: float = 0.0) -> T:
        self._keep_past(item.name, seen_from)
        self._now[item.name.lower()] = item
        return item

    def remove(self, name: str, seen_from: float = 0.0) -> None:
        self._keep_past(name, seen_from)
        self._now.pop(name.lower(), None)

    def _keep_past(self, name: str, seen_from: float) -> None:
        if seen_from:
            key = name.lower()
            self._past.setdefault(key, []).append((seen_from, self._now.get(key)))

    def get(self, name: str) -> T | None:
        return self._now.get(name.lower())

    def seen(self, name: str, now: float) -> T | None:
        """The object as a reader meets it at ``now``."""
        key = name.lower()
        past = self._past.get(key)
        if past:
            while past and past[0][0] <= now:
                past.pop(0)
            if past:
                return past[0][1]
            del self._past[key]
        return self._now.get(key)

    def all_seen(self, now: float) -> list[T]:
        """Every object that a reader meets at ``now``, by name."""
        if not self._past:
            return [self._now[key] for key in sorted(self._now)]
        keys = sorted({*self._now, *self._past})
        return [item for key in keys if (item := self.seen(key, now)) is not None]

    def find(self, test: Callable[[T], bool], now: float = FOREVER) -> T | None:
        """The first visible object that passes ``test``."""
        return next((item for item in self.all_seen(now) if test(item)), None)

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._now

    def __getitem__(self, name: str) -> T:
        return self._now[name.lower()]

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._now.values()))

    def __len__(self) -> int:
        return len(self._now)


@dataclass(slots=True)
class SamlProvider:
    """``metadata`` is the XML text as it was sent, ``created`` and ``valid_until`` are epoch seconds."""

    name: str
    arn: str
    metadata: str = field(repr=False)
    created: float = 0.0
    valid_until: float = 0.0
    tags: Mapping[str, str] = field(default_factory=dict)
    uuid: str = ""
    encryption_mode: str = ""


@dataclass(slots=True)
class Role:
    """``pins`` maps each role or user ARN that the trust policy names to the unique id it had when written:
    a principal that was deleted and made again under the same name is another principal to AWS.
    """

    name: str
    arn: str
    id: str
    trust: Document
    path: str = "/"
    description: str = ""
    max_session: int = 3600
    boundary: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    managed: tuple[str, ...] = ()
    inline: Mapping[str, Document] = field(default_factory=dict)
    created: float = 0.0
    last_used: float | None = None
    pins: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class AccessKey:
    """A long-lived key of an IamUser; ``user`` is "" for the account's root user."""

    id: str
    secret: str = field(repr=False)
    account_id: str
    user: str
    created: float = 0.0
    active: bool = True


@dataclass(slots=True)
class IamUser:
    name: str
    arn: str
    id: str
    path: str = "/"
    tags: Mapping[str, str] = field(default_factory=dict)
    managed: tuple[str, ...] = ()
    inline: Mapping[str, Document] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    boundary: str | None = None
    access_keys: tuple[AccessKey, ...] = ()
    login_profile: bool = False
    created: float = 0.0


@dataclass(slots=True)
class IamGroup:
    name: str
    arn: str
    id: str
    path: str = "/"
    managed: tuple[str, ...] = ()
    inline: Mapping[str, Document] = field(default_factory=dict)
    created: float = 0.0


@dataclass(slots=True)
class ManagedPolicy:
    """A customer managed policy. ``versions`` maps ``v1``… (at most five) to (document, created)."""

    name: str
    arn: str
    id: str
    versions: Mapping[str, tuple[Document, float]]
    default: str = "v1"
    last_version: int = 1
    path: str = "/"
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    created: float = 0.0

    @property
    def document(self) -> Document:
        return self.versions[self.default][0]


@dataclass(slots=True)
class Session:
    """Temporary credentials and who holds them.

    ``principal_arn`` is what GetCallerIdentity answers (``arn:…:sts::…:assumed-role/Role/session``).
    ``session_policies`` are documents that limit it (empty: no limit). ``context`` holds the condition keys
    that the sign-in fixed (``saml:…``, ``aws:…``). ``chained`` says that it was assumed by another session.
    """

    access_key: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    account_id: str
    principal_arn: str
    role_name: str
    session_name: str
    expires: float
    principal_id: str = ""  # the role's unique id, or the user's
    issued: float = 0.0
    session_policies: tuple[Document, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    transitive_tags: tuple[str, ...] = ()
    context: Mapping[str, Any] = field(default_factory=dict)
    source_identity: str = ""
    chained: bool = False
