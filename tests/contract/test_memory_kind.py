"""The suite itself, and the kind that the engine's tests stand on."""

from contextlib import contextmanager

import pytest
from kind_suite import KindCase, NamedKindSuite
from memory_kind import MemoryKind, MemoryWorld

from ostiary.plan.resource import Key


class TestMemoryKind(NamedKindSuite):
    @pytest.fixture
    def case(self):
        world = MemoryWorld()
        key = Key("thing", "111122223333", "ours")
        foreign = Key("thing", "111122223333", "theirs")

        @contextmanager
        def unreadable():
            world.unreadable.add(key.scope)
            yield
            world.unreadable.clear()

        return KindCase(
            kind=MemoryKind(world),
            key=key,
            wanted={"size": 1, "members": ["ada"]},
            wanted2={"size": 2, "members": ["ada"]},
            tamper=lambda: world.rows[key]["data"].update(size=9),
            dump=lambda: {k: (row["mark"], row["data"]) for k, row in world.dump().items()},
            add_foreign=lambda: world.put(foreign, {"size": 7}),
            dump_foreign=world.foreign,
            unreadable=unreadable,
            foreign_key=foreign,
            make_foreign=lambda: world.put(foreign, {"size": 7}),
        )
