"""What of a response was generated before: groups, clearing, tokens, and what leaves a full cache."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.control_plane.istiod.xds_cache import CacheSettings, Lookup, XdsCache
from simulator.xds.resources import Names

ALL = Names(f"c{number}" for number in range(10))


def counts(found: Lookup) -> tuple[int, int]:
    return len(found.misses), found.hits


@pytest.fixture
def cache() -> XdsCache:
    return XdsCache(CacheSettings())


def test_the_first_of_a_group_pays_and_the_others_find_it(cache: XdsCache) -> None:
    assert counts(cache.look_up("cds", "sidecar", ALL, 0)) == (10, 0)
    assert counts(cache.look_up("cds", "sidecar", ALL, 0)) == (0, 10)
    assert counts(cache.look_up("cds", "gateway", ALL, 0)) == (10, 0)
    assert cache.entries("cds") == 20


def test_what_is_missing_is_named_and_all_missing_is_the_very_set(cache: XdsCache) -> None:
    assert cache.look_up("eds", "g", ALL, 0).misses is ALL
    more = Names([*ALL, "c10", "c11"])
    assert tuple(cache.look_up("eds", "g", more, 0).misses) == ("c10", "c11")


@pytest.mark.parametrize("type_name", ["lds", "nds", "ecds"])
def test_types_without_a_cache_always_miss(cache: XdsCache, type_name: str) -> None:
    for _ in range(2):
        assert counts(cache.look_up(type_name, "g", ALL, 0)) == (10, 0)
    assert cache.entries(type_name) == 0


def test_a_cache_that_is_switched_off_always_misses() -> None:
    cache = XdsCache(CacheSettings(cds=False))
    for _ in range(2):
        assert counts(cache.look_up("cds", "g", ALL, 0)) == (10, 0)
    cache.clear("cds", ALL, 1)
    cache.clear_type("cds", 1)


def test_cleared_names_are_generated_once_more_in_each_group(cache: XdsCache) -> None:
    for group in ("a", "b"):
        cache.look_up("eds", group, ALL, 0)
    cache.clear("eds", Names(["c3", "c7", "unknown"]), 5)
    assert cache.entries("eds") == 16
    for group in ("a", "b"):
        assert tuple(cache.look_up("eds", group, ALL, 5).misses) == ("c3", "c7")
        assert counts(cache.look_up("eds", group, ALL, 5)) == (0, 10)


def test_a_smaller_set_pays_only_for_what_it_holds_of_the_cleared(cache: XdsCache) -> None:
    some = Names(["c1", "c2", "c3"])
    cache.look_up("eds", "g", ALL, 0)
    assert counts(cache.look_up("eds", "g", some, 0)) == (0, 3)
    cache.clear("eds", Names(["c3", "c7"]), 5)
    assert tuple(cache.look_up("eds", "g", some, 5).misses) == ("c3",)
    assert tuple(cache.look_up("eds", "g", ALL, 5).misses) == ("c7",)


def test_a_push_that_started_before_the_last_clearing_stores_nothing(cache: XdsCache) -> None:
    cache.clear("cds", Names(["other"]), 10)
    assert counts(cache.look_up("cds", "g", ALL, 9)) == (10, 0)
    assert counts(cache.look_up("cds", "g", ALL, 10)) == (10, 0)
    assert counts(cache.look_up("cds", "g", ALL, 9)) == (0, 10)  # reading needs no token


def test_an_old_push_that_finds_names_cleared_leaves_them_to_a_newer_one(cache: XdsCache) -> None:
    cache.look_up("cds", "g", ALL, 0)
    cache.clear("cds", Names(["c1"]), 10)
    for token_ns in (5, 5, 10):
        assert tuple(cache.look_up("cds", "g", ALL, token_ns).misses) == ("c1",)
    assert counts(cache.look_up("cds", "g", ALL, 10)) == (0, 10)


def test_a_forced_push_clears_every_type(cache: XdsCache) -> None:
    for type_name in ("cds", "eds", "rds", "sds"):
        cache.look_up(type_name, "g", ALL, 0)
    cache.clear_all(5)
    for type_name in ("cds", "eds", "rds", "sds"):
        assert cache.entries(type_name) == 0
        assert counts(cache.look_up(type_name, "g", ALL, 5)) == (10, 0)


def test_one_type_may_be_cleared_alone(cache: XdsCache) -> None:
    for type_name in ("cds", "eds"):
        cache.look_up(type_name, "g", ALL, 0)
    cache.clear_type("eds", 5)
    assert (cache.entries("cds"), cache.entries("eds")) == (10, 0)


def test_a_full_cache_lets_go_of_the_group_used_least_recently() -> None:
    cache = XdsCache(CacheSettings(size=25))
    for group in ("a", "b", "a", "c"):
        cache.look_up("cds", group, ALL, 0)
    assert cache.entries("cds") == 20
    assert counts(cache.look_up("cds", "a", ALL, 0)) == (0, 10)
    assert counts(cache.look_up("cds", "b", ALL, 0)) == (10, 0)


def test_a_group_larger_than_the_cache_is_never_found() -> None:
    cache = XdsCache(CacheSettings(size=9))
    for _ in range(3):
        assert counts(cache.look_up("cds", "g", ALL, 0)) == (10, 0)
    assert cache.entries("cds") == 0


SETS = [Names(f"c{n}" for n in range(low, high)) for low in range(4) for high in range(low, 7)]


@given(
    st.lists(
        st.tuples(st.sampled_from(["look", "clear", "all"]), st.sampled_from(SETS), st.integers(0, 2)),
        max_size=40,
    )
)
def test_the_cache_agrees_with_one_that_looks_at_every_name(steps: list[tuple[str, Names, int]]) -> None:
    cache = XdsCache(CacheSettings())
    held: set[tuple[int, str]] = set()
    cleared_ns = -(10**9)
    for t_ns, (step, names, number) in enumerate(steps):
        if step == "look":
            token_ns = t_ns - 3 * number
            missing = [name for name in names if (number, name) not in held]
            found = cache.look_up("eds", number, names, token_ns)
            assert sorted(found.misses) == missing
            assert found.hits == len(names) - len(missing)
            if token_ns >= cleared_ns:
                held |= {(number, name) for name in missing}
        elif step == "clear":
            cache.clear("eds", names, t_ns)
            held = {(group, name) for group, name in held if name not in names}
            cleared_ns = t_ns
        else:
            cache.clear_all(t_ns)
            held, cleared_ns = set(), t_ns
        assert cache.entries("eds") == len(held)
