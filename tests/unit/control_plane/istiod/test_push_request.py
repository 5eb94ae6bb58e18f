"""Requests merge as Istio's do, and merging the same two gives the same object."""

from __future__ import annotations

import pytest

from simulator.control_plane.istiod.push_request import PushRequest, merge_all
from simulator.xds.resources import NO_NAMES, Names
from tests.unit.control_plane.istiod.pushes import request


def test_merging_keeps_the_older_start_and_takes_the_newer_context() -> None:
    older = request("Endpoints/ns0/a").stamped(5, (1,), "old context")
    newer = request("Endpoints/ns0/b").stamped(9, (2,), "new context")
    merged = older.merged(newer)
    assert (merged.start_ns, merged.context, merged.rounds) == (5, "new context", (1, 2))
    assert tuple(merged.keys) == ("Endpoints/ns0/a", "Endpoints/ns0/b")


def test_merging_adds_reasons_up() -> None:
    merged = request("A/n/a", config=2, endpoint=1).merged(request("A/n/a", endpoint=3))
    assert merged.reasons == {"config": 2, "endpoint": 4}


def test_a_request_merged_with_itself_counts_its_reasons_twice() -> None:
    once = request("A/n/a", config=1)
    assert once.merged(once).reasons == {"config": 2}


def test_a_request_without_a_reason_has_an_unknown_one() -> None:
    assert PushRequest().reasons == {"unknown": 1}


@pytest.mark.parametrize("forced", [(True, False), (False, True)])
def test_merging_with_a_forced_request_is_forced(forced: tuple[bool, bool]) -> None:
    older, newer = (request("Endpoints/n/a", forced=f) for f in forced)
    assert older.merged(newer).forced
    assert not older.merged(newer).only_endpoints


def test_merging_the_same_two_for_many_connections_makes_one_object() -> None:
    older, newer, other = (request(f"A/n/{name}") for name in "abc")
    assert all(older.merged(newer) is older.merged(newer) for _ in range(3))
    assert older.merged(newer).keys is older.merged(newer).keys
    assert older.merged(other) is not older.merged(newer)


def test_requests_are_compared_by_identity() -> None:
    assert request("A/n/a") != request("A/n/a")


def test_kinds_come_in_order_of_first_appearance() -> None:
    told = request("VirtualService/n/b", "Endpoints/n/a", "VirtualService/n/a")
    assert told.kinds == ("VirtualService", "Endpoints")
    assert tuple(told.keys_of("VirtualService")) == ("VirtualService/n/b", "VirtualService/n/a")
    assert told.keys_of("VirtualService") is told.keys_of("VirtualService")
    assert told.keys_of("Gateway") is NO_NAMES


def test_keys_of_a_single_kind_are_the_keys_themselves() -> None:
    keys = Names(["Endpoints/n/a", "Endpoints/n/b"])
    assert PushRequest(keys).keys_of("Endpoints") is keys


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (("Endpoints/n/a", "Endpoints/n/b"), True),
        (("Endpoints/n/a", "ServiceEntry/n/a"), False),
        (("ServiceEntry/n/Endpoints",), False),
        ((), False),
    ],
)
def test_only_endpoints_means_that_kind_and_no_other(keys: tuple[str, ...], expected: bool) -> None:
    assert request(*keys).only_endpoints is expected


def test_a_batch_merges_to_what_one_merge_after_another_gives() -> None:
    requests = [
        request("A/n/a", "B/n/b", start_ns=3, config=1).stamped(3, (1,), "first"),
        request("A/n/a", start_ns=1, forced=True, endpoint=2).stamped(4, (2,), "second"),
        request("C/n/c", start_ns=7, config=5).stamped(7, (3,), "third"),
    ]
    at_once, in_turn = merge_all(requests), requests[0].merged(requests[1]).merged(requests[2])
    assert tuple(at_once.keys) == tuple(in_turn.keys) == ("A/n/a", "B/n/b", "C/n/c")
    for attribute in ("reasons", "forced", "start_ns", "rounds", "context"):
        assert getattr(at_once, attribute) == getattr(in_turn, attribute)
    assert merge_all(requests[:1]) is requests[0]


def test_keys_shared_by_all_of_a_batch_stay_one_object() -> None:
    keys = Names(["A/n/a"])
    assert merge_all([PushRequest(keys) for _ in range(3)]).keys is keys


def test_stamping_leaves_the_request_as_it_is() -> None:
    told = request("A/n/a", config=2)
    stamped = told.stamped(8, (4,), "context")
    assert (told.start_ns, told.rounds, told.context) == (0, (), None)
    assert (stamped.start_ns, stamped.rounds, stamped.context) == (8, (4,), "context")
    assert (stamped.keys, stamped.reasons) == (told.keys, told.reasons)
