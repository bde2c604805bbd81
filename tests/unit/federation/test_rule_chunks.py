"""Chunks of group rules: exact, small in number, and a change moves only what it must."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ostiary.doors.federation.rule_chunks import MAX_NAME, Chunk, fewest, plan_chunks, rule_name

HASH = "0123abcd"
targets = st.sets(st.integers(0, 999).map(lambda number: f"aws#a#R#{number:012}"), max_size=400)


def chunks(wanted, existing=(), source="eng"):
    return plan_chunks(HASH, source, wanted, existing)


def covered(found):
    return [name for chunk in found for name in chunk.targets]


def exact(found, wanted):
    assert sorted(covered(found)) == sorted(wanted)
    assert all(0 < len(chunk.targets) <= 100 for chunk in found)
    assert all(len(chunk.name) <= MAX_NAME for chunk in found)
    assert len({chunk.name for chunk in found}) == len(found)


@settings(deadline=None, max_examples=60)
@given(targets)
def test_first_chunks_are_exact_and_as_few_as_possible(wanted):
    found = chunks(wanted)
    exact(found, wanted)
    assert len(found) == fewest(len(wanted))
    assert chunks(wanted, found) == found, "a second plan changes nothing"


@settings(deadline=None, max_examples=60)
@given(targets.filter(bool), st.data())
def test_taking_one_away_touches_its_chunk_and_at_most_one_small_one(wanted, data):
    before = chunks(wanted)
    gone = data.draw(st.sampled_from(sorted(wanted)))
    after = chunks(wanted - {gone}, before)
    exact(after, wanted - {gone})
    dropped = set(before) - set(after)
    assert len([chunk for chunk in dropped if gone in chunk.targets]) == 1
    assert all(gone in chunk.targets or len(chunk.targets) <= 50 for chunk in dropped)
    assert len(dropped) <= 2
    assert len(set(after) - set(before)) <= 1


@settings(deadline=None, max_examples=60)
@given(targets, st.integers(1000, 1999))
def test_adding_one_touches_at_most_one_small_chunk(wanted, number):
    before = chunks(wanted)
    new = f"aws#a#R#{number:012}"
    after = chunks(wanted | {new}, before)
    exact(after, wanted | {new})
    dropped = set(before) - set(after)
    assert len(dropped) <= 1
    assert all(len(chunk.targets) <= 50 for chunk in dropped)
    assert len(set(after) - set(before)) == 1


@settings(deadline=None, max_examples=60)
@given(st.lists(targets, min_size=2, max_size=6))
def test_any_history_stays_exact_and_bounded(history):
    found = ()
    for wanted in history:
        found = chunks(wanted, found)
        exact(found, wanted)


def test_growing_by_one_keeps_the_number_of_rules_bounded():
    found, wanted = (), set()
    for number in range(260):
        wanted.add(f"g{number:03}")
        found = chunks(wanted, found)
    assert len(found) <= 2 * fewest(len(wanted))


def test_leftovers_of_an_interrupted_replacement_go():
    old, new = Chunk("old", frozenset({"a"})), Chunk("new", frozenset({"a", "b"}))
    assert chunks({"a", "b"}, [old, new]) == (new,)


def test_a_broken_rule_is_replaced_under_another_name():
    name = rule_name(HASH, "eng", {"a"})
    (found,) = chunks({"a"}, [Chunk(name, frozenset())])
    assert found.targets == {"a"}
    assert found.name != name


def test_sources_of_like_names_do_not_share_rules():
    assert rule_name(HASH, "team a", {"x"}) != rule_name(HASH, "team-a", {"x"})
    assert rule_name(HASH, "日本", {"x"}).startswith(f"ostiary {HASH} group ")
