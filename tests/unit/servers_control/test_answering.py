"""The fast encoding of answers says what the slow one says."""

import dataclasses
import functools
import inspect
import typing

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from ostiary.doors.servers.control.answering import answer, encoded
from ostiary.doors.servers.wire import admin, host, person
from ostiary.doors.servers.wire.message import decode, encode

KINDS = [
    one
    for module in (admin, host, person)
    for _, one in inspect.getmembers(module, dataclasses.is_dataclass)
    if one.__module__ == module.__name__
]
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@functools.cache
def of(kind):
    """A strategy for the values of a type of a message."""
    if dataclasses.is_dataclass(kind):
        types = typing.get_type_hints(kind)
        members = {one.name: of(types[one.name]) for one in dataclasses.fields(kind)}
        return st.builds(kind, **members)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        return st.lists(of(inner[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXT, of(inner[1]), max_size=2)
    return {
        str: TEXT,
        int: st.integers(-(2**63), 2**63 - 1),
        bool: st.booleans(),
        float: st.floats(allow_nan=False, allow_infinity=False),
    }[kind]


@pytest.mark.parametrize("kind", KINDS, ids=[one.__name__ for one in KINDS])
@pytest.mark.chaos
@settings(max_examples=examples(8, 50), deadline=None)
@given(data=st.data())
def test_every_message_comes_back_as_it_was(kind, data):
    message = data.draw(of(kind))
    assert decode(kind, encoded(message)) == decode(kind, encode(message)) == message


def test_no_answer_is_kept_on_the_way():
    for one in (answer(None), answer(host.Challenge("x", 1.0))):
        assert dict(one.headers)[b"cache-control"] == b"no-store"
