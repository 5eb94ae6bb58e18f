"""Endpoint sets are immutable, shared, and filtered as EDS filters them; lives are facts over time."""

from __future__ import annotations

from simulator.mesh.endpoints import Endpoint, EndpointSet, Health
from simulator.mesh.lives import EndpointLives, Life


def test_a_change_makes_a_new_set_of_the_next_revision_and_leaves_the_old_one_alone() -> None:
    old = EndpointSet([Endpoint(1), Endpoint(2)])
    new = old.with_endpoint(Endpoint(2, Health.UNHEALTHY)).with_endpoint(Endpoint(3)).without(1)
    assert (old.ids, old.revision) == ((1, 2), 0)
    assert (new.ids, new.revision) == ((2, 3), 3)
    assert new.by_id[2].health is Health.UNHEALTHY


def test_what_changes_nothing_gives_the_same_set() -> None:
    endpoints = EndpointSet([Endpoint(1)])
    assert endpoints.with_endpoint(Endpoint(1)) is endpoints
    assert endpoints.without(7) is endpoints


def test_eds_never_sends_terminating_endpoints_and_others_only_where_they_are_wanted() -> None:
    endpoints = EndpointSet(Endpoint(number, health) for number, health in enumerate(Health))
    healthy, unhealthy, draining, _terminating = endpoints
    assert endpoints.sent() == (healthy,)
    assert endpoints.sent(sends_unhealthy=True) == (healthy, unhealthy)
    assert endpoints.sent(has_persistent_sessions=True) == (healthy, draining)
    assert endpoints.sent(sends_unhealthy=True) is endpoints.sent(sends_unhealthy=True)
    assert endpoints.serving_ids == (0,)
    assert endpoints.serving_ids is endpoints.serving_ids


def test_service_accounts_are_those_of_all_endpoints_each_once() -> None:
    accounts = ["b", "a", "b", "c"]
    endpoints = EndpointSet(
        Endpoint(number, service_account=account) for number, account in enumerate(accounts)
    )
    assert endpoints.service_accounts == ("b", "a", "c")


def test_a_pod_never_noted_serves_and_a_noted_one_lives_as_noted_from_that_instant() -> None:
    lives = EndpointLives()
    lives.note(5, 10, Life.TERMINATING)
    lives.note(5, 20, Life.TERMINATING)
    lives.note(5, 30, Life.GONE)
    assert [lives.at(5, t) for t in (9, 10, 29, 30)] == [
        Life.SERVING,
        Life.TERMINATING,
        Life.TERMINATING,
        Life.GONE,
    ]
    assert lives.at(6, 30) is Life.SERVING


def test_instants_lie_strictly_between_and_are_told_once() -> None:
    lives = EndpointLives()
    for pod in (1, 2):
        lives.note(pod, 10, Life.TERMINATING)
        lives.note(pod, 20 + pod, Life.GONE)
    assert lives.instants([2, 1, 9], 0, 30) == [10, 21, 22]
    assert lives.instants([1, 2], 10, 22) == [21]
