"""Names and Resources are sets: checked against Python's own, and against what sharing them needs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.xds.resources import NO_NAMES, NO_RESOURCES, Fault, Names, Resource, Resources

texts = st.lists(st.sampled_from("abcdefgh"), max_size=8)
revisions = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 3), max_size=8)


def resources(by_name: dict[str, int]) -> Resources:
    return Resources(Resource(name, revision, body=None, size_bytes=10) for name, revision in by_name.items())


def plain(held: Resources) -> dict[str, int]:
    return {resource.name: resource.revision for resource in held}


@given(texts, texts)
def test_operations_on_names_are_those_of_ordered_sets(left: list[str], right: list[str]) -> None:
    a, b = Names(left), Names(right)
    assert list(a) == list(dict.fromkeys(left))
    assert list(a.union(b)) == list(dict.fromkeys([*left, *right]))
    assert list(a.minus(b)) == [n for n in dict.fromkeys(left) if n not in right]
    assert list(a.intersect(b)) == [n for n in dict.fromkeys(left) if n in right]
    assert list(a.where("is a vowel", lambda n: n in "aeiou")) == [
        n for n in dict.fromkeys(left) if n in "aeiou"
    ]
    assert list(a.reversed()) == list(dict.fromkeys(left))[::-1]
    assert a.equals(b) == (set(left) == set(right))
    assert (len(a), bool(a)) == (len(set(left)), bool(left))
    assert all((n in a) == (n in left) for n in "abcdefgh")


@given(revisions, revisions)
def test_operations_on_resources_are_those_of_ordered_mappings(
    left: dict[str, int], right: dict[str, int]
) -> None:
    a, b = resources(left), resources(right)
    assert plain(a.updated(b)) == {**left, **right}
    assert plain(a.without(b.names)) == {n: r for n, r in left.items() if n not in right}
    assert plain(a.only(b.names)) == {n: r for n, r in left.items() if n in right}
    assert a.size_bytes == 10 * len(left)
    assert a.total("revision", lambda r: r.revision) == sum(left.values())
    assert {key: list(names) for key, names in a.grouped("revision", lambda r: r.revision).items()} == {
        revision: [n for n, r in left.items() if r == revision] for revision in left.values()
    }
    assert list(a.collect("twice", lambda r: (r.name, r.name + "'"))) == [
        x for n in left for x in (n, n + "'")
    ]


@given(revisions, revisions)
def test_a_difference_tells_each_name_once(left: dict[str, int], right: dict[str, int]) -> None:
    found = resources(left).difference_to(resources(right))
    assert list(found.added) == [n for n in right if n not in left]
    assert list(found.changed) == [n for n in right if n in left and left[n] != right[n]]
    assert list(found.unchanged) == [n for n in right if n in left and left[n] == right[n]]
    assert set(found.removed) == set(left) - set(right)


@given(revisions, revisions)
def test_equal_operations_give_the_same_object(left: dict[str, int], right: dict[str, int]) -> None:
    a, b = resources(left), resources(right)
    for operation in ("updated", "difference_to"):
        if a and b:
            assert getattr(a, operation)(b) is getattr(a, operation)(b)
    for operation in ("only", "without"):
        assert getattr(a, operation)(b.names) is getattr(a, operation)(b.names)
    for operation in ("union", "minus", "intersect"):
        assert getattr(a.names, operation)(b.names) is getattr(a.names, operation)(b.names)


def test_operations_that_change_nothing_give_the_operand_itself() -> None:
    names, held = Names("abc"), resources({"a": 1, "b": 1})
    assert names.union(Names("cb")) is names
    assert names.minus(Names("xy")) is names
    assert names.minus(names) is NO_NAMES
    assert names.intersect(Names("cbax")) is names
    assert held.without(Names("x")) is held
    assert held.only(Names("abc")) is held
    assert held.updated(Resources([held["a"]])) is held
    assert held.without(Names("ab")) is NO_RESOURCES
    assert held.difference_to(resources({"b": 2, "a": 2})).added is NO_NAMES


def test_a_newer_set_that_states_everything_replaces_the_old_one_as_it_is() -> None:
    newer = resources({"a": 2, "b": 2, "c": 1})
    assert resources({"a": 1, "b": 1}).updated(newer) is newer


def test_the_same_resources_in_another_set_change_nothing() -> None:
    held = resources({"a": 1, "b": 1})
    assert held.updated(Resources([held["b"], held["a"]])) is held


def test_what_is_remembered_is_bounded() -> None:
    held = resources({"a": 1, "b": 1})
    for number in range(2000):
        held.without(Names(("a", f"x{number}")))
    assert len(held._memo) <= 512
    assert plain(held.without(Names("a"))) == {"b": 1}


def test_resources_are_equal_by_content_and_sets_by_identity() -> None:
    assert Resource("a", 1, None) == Resource("a", 1, None)
    assert resources({"a": 1}) != resources({"a": 1})
    assert not resources({"a": 1}).difference_to(resources({"a": 1})).changed


def test_a_revision_is_the_version_of_the_delta_protocol() -> None:
    assert Resource("a", 7, None).version == "7"


def test_invalid_resources_are_found_by_their_fault() -> None:
    held = Resources(
        [
            Resource("a", 1, None),
            Resource("b", 1, None, fault=Fault.BUILD),
            Resource("c", 1, None, fault=Fault.DECODE),
        ]
    )
    assert {fault: list(names) for fault, names in held.faulty().items()} == {
        None: ["a"],
        Fault.BUILD: ["b"],
        Fault.DECODE: ["c"],
    }


def test_a_name_that_is_not_there_has_no_resource() -> None:
    held = resources({"a": 1})
    assert held.get("b") is None
    assert "b" not in held
    with pytest.raises(KeyError):
        held["b"]
