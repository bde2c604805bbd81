"""What the engine knows about a managed object, and what a kind of object must be able to do.

A *resource* is data: a key and the wanted attributes. A *kind* is behaviour: how such objects are read
and written. Kinds live in ``ostiary.aws`` and ``ostiary.okta``, one file each; ``ostiary.connect`` binds
them to clients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeAlias, runtime_checkable

from ostiary.errors import OstiaryError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """The identity of a remote object.

    ``kind`` is the name of its kind (``iam-role``); ``scope`` what is read, paced and reported as a whole:
    a 12-digit account id, or the name of an Okta org in the estate; ``name`` the natural key inside it.
    Written ``iam-role:111122223333/Administrator``.
    """

    kind: str
    scope: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.scope}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> Key:
        kind, _, rest = text.partition(":")
        scope, _, name = rest.partition("/")
        if not (kind and scope and name):
            raise ValueError(f"not a key: {text!r}")
        return cls(kind, scope, name)


@dataclass(frozen=True, slots=True)
class Ref:
    """An identifier of another resource, known once that one exists (``Ref(app, "id")``)."""

    key: Key
    attribute: str

    def __str__(self) -> str:
        return f"(known after apply: {self.attribute} of {self.key})"


Value: TypeAlias = "bool | int | float | str | Ref | list[Value] | dict[str, Value] | None"


@dataclass(frozen=True, slots=True)
class Resource:
    """A wanted object. ``wanted`` holds JSON values and ``Ref``s; a Ref, and each key of ``after``, comes first.

    ``adopt`` names an object that exists without our mark and is to be taken over: the mark is added, the
    attributes are brought in line.
    """

    key: Key
    wanted: Mapping[str, Value]
    after: frozenset[Key] = frozenset()
    adopt: bool = False


class Owner(Enum):
    """Whose an object is, by the mark it bears."""

    OURS = "ours"  # bears this estate's mark
    FOREIGN = "foreign"  # bears no mark; never changed, never deleted
    OTHER_ESTATE = "other estate"  # another estate's mark: as foreign, and named in errors
    ELSEWHERE = (
        "owned elsewhere"  # CloudFormation, StackSet, Control Tower, owned_elsewhere pattern
    )


@dataclass(frozen=True, slots=True)
class Found:
    """An object as read. ``attributes`` has the same names and shapes as ``wanted`` (JSON only, canonical order).

    ``ids`` are what Refs may ask for (``arn``, ``id``). ``owned_by`` says who owns it when it is not ours
    (a stack's name, another estate). ``protected`` objects may not be deleted or weakened at all.
    ``raw`` is enough to write the object back as it was (the before-image); it may hold secrets' names but no secret.
    """

    key: Key
    attributes: Mapping[str, Json]
    owner: Owner
    ids: Mapping[str, str] = field(default_factory=dict)
    owned_by: str = ""
    protected: bool = False
    raw: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a read of one kind in one scope saw. Only a ``complete`` reading may lead to a deletion.

    A scope that could not be read has ``complete=False`` and the error in ``why``: *unread*, never *absent*.
    """

    kind: str
    scope: str
    found: tuple[Found, ...] = ()
    complete: bool = True
    why: OstiaryError | None = None


class Risk(Enum):
    """How a kind grades one change; everything but NONE passes ``plan/guard.py``."""

    NONE = "none"
    DETACH = "detach"  # takes access or an object away: capped per kind
    TRUST = "trust"  # rewrites who may enter: an independent admin path must remain
    CUTOVER = "cutover"


class Kind(Protocol):
    """One kind of remote object. Methods raise only ``OstiaryError``s.

    ``create`` of an object that exists: adopt it when it bears our mark (a lost answer), else ``Conflict``.
    ``update`` and ``delete`` look again just before writing and raise ``StalePlan`` if the object is not as in
    ``found`` in anything that they would overwrite. ``delete`` of an absent object succeeds.
    """

    name: str

    def read(self, scope: str, wanted: Mapping[str, Resource]) -> Reading:
        """Read all objects of this kind in ``scope`` that bear our mark, and those whose ``Key.name`` is in ``wanted``."""
        ...

    def look(self, key: Key) -> Found | None:
        """Read one object afresh; None if absent."""
        ...

    def differences(self, found: Found, wanted: Mapping[str, Json]) -> tuple[str, ...]:
        """Names of wanted attributes that differ (order of sets and JSON formatting do not count)."""
        ...

    def risk(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> Risk:
        """Grade a change: ``action`` is create, update, delete or replace."""
        ...

    def detaches(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> int:
        """How many objects or accesses the change takes away (members removed, one for a deletion): the guard caps these."""
        ...

    def create(self, key: Key, wanted: Mapping[str, Json]) -> Found: ...

    def update(self, found: Found, wanted: Mapping[str, Json]) -> Found: ...

    def delete(self, found: Found) -> None: ...

    def release(self, found: Found) -> None:
        """Take our mark off and leave the object (``destroy --keep``); the reverse of adopting."""
        ...

    def restore(self, key: Key, before: Mapping[str, Json] | None) -> None:
        """Bring one object back to a before-image (``Found.raw``); None means that it did not exist."""
        ...


@runtime_checkable
class GradesImages(Protocol):
    """A kind that knows of a before-image what going back to it takes away, as ``risk`` and ``detaches`` say of a change."""

    def grade_image(self, found: Found, image: Mapping[str, Json]) -> tuple[Risk, int]: ...
