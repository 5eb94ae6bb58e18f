"""The API server tells what was written when it was written, and the slice controller writes late."""

from __future__ import annotations

import pytest

from simulator.engine.clock import MS
from simulator.engine.delays import Constant, Delay, Uniform
from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from simulator.mesh.endpoints import Endpoint, EndpointSet, Health
from simulator.mesh.kubernetes import AT_ONCE, Kubernetes, KubernetesSettings, WatchEvent
from simulator.mesh.lives import Life
from simulator.mesh.services import Service

REVIEWS = Service(0, 0, "reviews", "shop")
RATINGS = Service(1, 1, "ratings", "shop")


class Cluster:
    """A Kubernetes with two services of two pods each, and all it told."""

    def __init__(self, clock: Clock, delay: Delay = AT_ONCE) -> None:
        self.clock = clock
        self.api = Kubernetes(clock, Draws(1), KubernetesSettings(delay))
        for service in (REVIEWS, RATINGS):
            first = 10 * (service.index + 1)
            self.api.add_service(service, EndpointSet([Endpoint(first), Endpoint(first + 1)]))
        self.told: list[tuple[int, WatchEvent]] = []
        self.api.watchers.append(lambda event: self.told.append((clock.now_ns, event)))

    def at(self, t_ns: int, call: object, *arguments: object) -> None:
        assert callable(call)
        self.clock.at(t_ns, lambda: call(*arguments), band=Band.WORKLOAD)

    def rows(self) -> list[tuple[int, str, tuple[object, ...]]]:
        return [(t_ns, event.key, event.changes) for t_ns, event in self.told]


def test_a_configuration_object_is_watched_at_the_instant_it_is_written(clock: Clock) -> None:
    cluster = Cluster(clock, Constant(50 * MS))
    cluster.at(7, cluster.api.changed, "VirtualService", "shop", "vs-0", "change")
    clock.run(10)
    assert cluster.rows() == [(7, "VirtualService/shop/vs-0", ("change",))]
    assert cluster.told[0][1].stream == "config"


def test_a_ready_pod_is_known_when_its_kubelet_has_said_so(clock: Clock) -> None:
    written: list[int] = []
    for delay, expected in ((AT_ONCE, 7), (Constant(50 * MS), 7 + 50 * MS)):
        api = Kubernetes(clock, Draws(1), KubernetesSettings(kubelet_status_delay=delay))
        clock.at(clock.now_ns + 7, lambda api=api: api.write_status(11, lambda: written.append(clock.now_ns)))  # type: ignore[misc]
        begun_ns = clock.now_ns
        clock.run(clock.now_ns + 100 * MS)
        assert written.pop() - begun_ns == expected


def test_what_the_next_sync_will_write_is_told(clock: Clock) -> None:
    cluster = Cluster(clock, Constant(50 * MS))
    cluster.api.pod_deleted(REVIEWS, 11, "gone")
    assert cluster.api.unwritten(REVIEWS) == ("gone",)
    assert cluster.api.unwritten(RATINGS) == ()
    clock.run(60 * MS)
    assert cluster.api.unwritten(REVIEWS) == ()


def test_slices_say_what_happened_to_a_pod_after_the_controllers_delay(clock: Clock) -> None:
    cluster = Cluster(clock, Constant(50 * MS))
    cluster.at(5, cluster.api.pod_deleted, REVIEWS, 11, "gone")
    clock.run(50 * MS)
    assert cluster.told == []
    assert 11 in cluster.api.endpoints(REVIEWS).serving_ids
    clock.run(60 * MS)
    assert cluster.rows() == [(5 + 50 * MS, "Endpoints/shop/reviews", ("gone",))]
    event = cluster.told[0][1]
    assert event.stream == "registry"
    assert event.endpoints is cluster.api.endpoints(REVIEWS)
    assert event.endpoints.by_id[11].health is Health.TERMINATING
    assert cluster.api.endpoints(RATINGS).revision == 0


def test_what_happens_until_the_sync_is_written_by_it_and_later_things_by_the_next(clock: Clock) -> None:
    cluster = Cluster(clock, Constant(100))
    cluster.at(0, cluster.api.pod_deleted, REVIEWS, 10, "a")
    cluster.at(60, cluster.api.pod_deleted, REVIEWS, 11, "b")
    cluster.at(101, cluster.api.pod_gone, REVIEWS, 10)
    clock.run(1000)
    assert cluster.rows() == [
        (100, "Endpoints/shop/reviews", ("a", "b")),
        (201, "Endpoints/shop/reviews", ()),
    ]
    assert cluster.api.endpoints(REVIEWS).ids == (11,)


def test_services_wait_for_the_controller_each_for_itself(clock: Clock) -> None:
    cluster = Cluster(clock, Uniform(10, 1000))
    cluster.at(0, cluster.api.pod_deleted, REVIEWS, 10, "a")
    cluster.at(0, cluster.api.pod_deleted, RATINGS, 20, "b")
    clock.run(1000)
    alone = Cluster(other := Clock(), Uniform(10, 1000))
    alone.at(0, alone.api.pod_deleted, RATINGS, 20, "b")
    other.run(1000)
    assert alone.rows()[0] in cluster.rows()
    assert len({t_ns for t_ns, *_ in cluster.rows()}) == 2


def test_a_pod_that_turns_ready_is_told_once_as_a_pod_and_then_by_the_slices(clock: Clock) -> None:
    cluster = Cluster(clock, Constant(100))
    cluster.at(0, cluster.api.pod_created, REVIEWS, Endpoint(12, service_account="new", zone=1))
    cluster.at(500, cluster.api.pod_ready, REVIEWS, 12, "up")
    cluster.at(700, cluster.api.pod_unready, REVIEWS, 12, "down")
    cluster.at(900, cluster.api.pod_ready, REVIEWS, 12, "up again")
    clock.run(2000)
    assert [(t_ns, event.kind, event.pod, event.changes) for t_ns, event in cluster.told] == [
        (100, "Endpoints", None, ()),
        (500, "Pod", 12, ()),
        (600, "Endpoints", None, ("up",)),
        (800, "Endpoints", None, ("down",)),
        (1000, "Endpoints", None, ("up again",)),
    ]
    healths = [event.endpoints.by_id[12].health for _, event in cluster.told if event.endpoints]
    assert healths == [Health.UNHEALTHY, Health.HEALTHY, Health.UNHEALTHY, Health.HEALTHY]
    assert cluster.api.endpoints(REVIEWS).by_id[12] == Endpoint(12, Health.HEALTHY, "new", 1)


def test_a_pod_ready_from_the_start_is_no_new_pod(clock: Clock) -> None:
    cluster = Cluster(clock)
    cluster.at(1, cluster.api.pod_unready, REVIEWS, 10)
    cluster.at(2, cluster.api.pod_ready, REVIEWS, 10)
    clock.run(3)
    assert [event.kind for _, event in cluster.told] == ["Endpoints", "Endpoints"]


def test_the_world_does_not_wait_for_the_slices(clock: Clock) -> None:
    cluster = Cluster(clock, Constant(10_000))
    cluster.at(0, cluster.api.pod_created, REVIEWS, Endpoint(12))
    cluster.at(100, cluster.api.pod_ready, REVIEWS, 12)
    cluster.at(200, cluster.api.pod_deleted, REVIEWS, 12)
    cluster.at(300, cluster.api.pod_stopped_serving, 12)
    clock.run(400)
    lives = [cluster.api.lives.at(12, t_ns) for t_ns in (0, 99, 100, 200, 300)]
    assert lives == [Life.GONE, Life.GONE, Life.SERVING, Life.TERMINATING, Life.GONE]


def test_a_pod_deleted_before_it_was_ready_never_serves(clock: Clock) -> None:
    cluster = Cluster(clock)
    cluster.at(0, cluster.api.pod_created, REVIEWS, Endpoint(12))
    cluster.at(1, cluster.api.pod_deleted, REVIEWS, 12)
    clock.run(2)
    assert cluster.api.lives.at(12, 1) is Life.GONE


@pytest.mark.parametrize("delay_ns", [0, 7])
def test_a_change_is_told_even_if_the_slices_say_what_they_said(clock: Clock, delay_ns: int) -> None:
    cluster = Cluster(clock, Constant(delay_ns))
    cluster.at(1, cluster.api.pod_ready, REVIEWS, 10, "nothing new")
    clock.run(100)
    assert cluster.rows() == [(1 + delay_ns, "Endpoints/shop/reviews", ("nothing new",))]


def test_an_address_without_a_pod_of_the_model_comes_and_goes(clock: Clock) -> None:
    cluster = Cluster(clock)
    cluster.at(1, cluster.api.endpoint_added, REVIEWS, Endpoint(99), "in")
    cluster.at(2, cluster.api.pod_gone, REVIEWS, 99, "out")
    clock.run(3)
    assert [len(event.endpoints) for _, event in cluster.told if event.endpoints is not None] == [3, 2]
    assert cluster.api.lives.at(99, 1) is Life.SERVING
    assert cluster.api.lives.at(99, 2) is Life.GONE
