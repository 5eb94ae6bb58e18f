"""What a change of endpoints calls for, rule by rule (pilot/pkg/model/endpointshards.go)."""

from __future__ import annotations

import pytest

from simulator.control_plane.istiod.endpoint_index import EndpointIndex, PushType
from simulator.mesh.endpoints import Endpoint, EndpointSet, Health


def endpoints(*ids: int, health: Health = Health.HEALTHY, account: str = "default") -> EndpointSet:
    return EndpointSet([Endpoint(number, health, account) for number in ids])


@pytest.fixture
def index() -> EndpointIndex:
    """An index that knows service s0 with the endpoints 1 and 2, and does not send unready ones."""
    index = EndpointIndex(sends_unhealthy=False)
    index.update("s0", endpoints(1, 2))
    return index


def test_a_service_never_seen_is_a_full_push() -> None:
    index = EndpointIndex(sends_unhealthy=False)
    assert index.update("s0", endpoints(1)) is PushType.FULL
    assert index.update("s1", endpoints(2)) is PushType.FULL


def test_an_endpoint_more_or_less_is_incremental(index: EndpointIndex) -> None:
    assert index.update("s0", endpoints(1, 2, 3)) is PushType.INCREMENTAL
    assert index.update("s0", endpoints(1, 3)) is PushType.INCREMENTAL


def test_one_to_none_and_back_is_incremental_both_ways(index: EndpointIndex) -> None:
    assert index.update("s0", endpoints()) is PushType.INCREMENTAL
    assert len(index.endpoints("s0")) == 0
    assert index.update("s0", endpoints(3)) is PushType.INCREMENTAL


def test_none_is_incremental_even_for_a_service_never_seen_which_stays_new() -> None:
    index = EndpointIndex(sends_unhealthy=False)
    assert index.update("s0", endpoints()) is PushType.INCREMENTAL
    assert index.update("s0", endpoints()) is PushType.INCREMENTAL
    assert index.update("s0", endpoints(1)) is PushType.FULL


def test_the_same_again_calls_for_nothing(index: EndpointIndex) -> None:
    assert index.update("s0", endpoints(1, 2)) is PushType.NONE
    assert index.update("s0", endpoints(2, 1)) is PushType.NONE


@pytest.mark.parametrize("health", [Health.UNHEALTHY, Health.DRAINING, Health.TERMINATING])
def test_a_change_of_a_known_endpoint_is_incremental(index: EndpointIndex, health: Health) -> None:
    changed = EndpointSet([Endpoint(1, health), Endpoint(2)])
    assert index.update("s0", changed) is PushType.INCREMENTAL
    assert index.endpoints("s0") is changed


@pytest.mark.parametrize(
    ("sends_unhealthy", "expected"), [(False, PushType.NONE), (True, PushType.INCREMENTAL)]
)
def test_a_new_endpoint_that_is_not_ready_counts_only_if_such_are_sent(
    sends_unhealthy: bool, expected: PushType
) -> None:
    index = EndpointIndex(sends_unhealthy)
    index.update("s0", endpoints(1))
    grown = EndpointSet([Endpoint(1), Endpoint(2, Health.UNHEALTHY)])
    assert index.update("s0", grown) is expected
    # Kept all the same: that it turns ready later is a change of a known endpoint.
    assert index.endpoints("s0") is grown
    assert index.update("s0", endpoints(1, 2)) is PushType.INCREMENTAL


def test_other_service_accounts_are_a_full_push(index: EndpointIndex) -> None:
    both = EndpointSet([Endpoint(1), Endpoint(2), Endpoint(3, service_account="new")])
    assert index.update("s0", both) is PushType.FULL
    assert index.update("s0", endpoints(1, 2)) is PushType.FULL
    assert index.update("s0", endpoints(4, 5)) is PushType.INCREMENTAL


def test_accounts_count_as_a_set(index: EndpointIndex) -> None:
    index.update("s0", EndpointSet([Endpoint(1), Endpoint(2, service_account="b")]))
    swapped = EndpointSet([Endpoint(1, service_account="b"), Endpoint(2)])
    assert index.update("s0", swapped) is PushType.INCREMENTAL


def test_a_service_that_comes_back_with_another_account_is_a_full_push(index: EndpointIndex) -> None:
    index.update("s0", endpoints())
    assert index.update("s0", endpoints(1, account="new")) is PushType.FULL


def test_a_new_account_of_an_endpoint_that_is_not_ready_is_a_full_push(index: EndpointIndex) -> None:
    grown = EndpointSet([Endpoint(1), Endpoint(2), Endpoint(3, Health.UNHEALTHY, "new")])
    assert index.update("s0", grown) is PushType.FULL


def test_a_deleted_service_is_new_when_it_comes_back(index: EndpointIndex) -> None:
    index.delete_service("s0")
    assert len(index.endpoints("s0")) == 0
    assert index.update("s0", endpoints(1, 2)) is PushType.FULL


def test_the_value_of_a_push_type_is_the_kind_of_its_key() -> None:
    assert [kind.value for kind in PushType] == ["", "Endpoints", "ServiceEntry"]
