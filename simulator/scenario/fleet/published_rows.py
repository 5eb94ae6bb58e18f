"""The rows of one replica: the proxies of the arrays that come for what it has published."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from simulator.control_plane.istiod.push_request import PushRequest
from simulator.control_plane.istiod.replica import Replica
from simulator.envoy.settled import SettledEnvoy
from simulator.fleet.parted import delivery_parts
from simulator.fleet.updates import Updates
from simulator.fleet.views import HeldViews, Views
from simulator.mesh.services import Service
from simulator.scenario.fleet.publications import Publications
from simulator.scenario.fleet.traffic import FleetTraffic


class PublishingReplica(Replica):
    """A replica that says when it has published.

    Attributes:
        on_published: Told that its PushContext is a new one.
        on_nothing_new: Told which changes it learned of without anything to publish.
    """

    on_published: Callable[[], None] | None = None
    on_nothing_new: Callable[[list[int]], None] | None = None

    def enqueue_all(self, request: PushRequest, push: int) -> None:
        """Nobody has a stream; who polls sees the new PushContext from here on."""
        super().enqueue_all(request, push)
        if self.on_published is not None:
            self.on_published()

    def _tell_nothing_new(self, service: Service, changes: list[int]) -> None:
        super()._tell_nothing_new(service, changes)
        if self.on_nothing_new is not None:
            self.on_nothing_new(changes)


class Coming(Protocol):
    """The rows as they come for what is published."""

    @property
    def next_ns(self) -> int:
        """What somebody on the clock waits for happens then or later."""

    def ahead(self, horizon_ns: int) -> bool:
        """Everything before the horizon that somebody on the clock waits for happens; whether the clock was
        told of it."""

    def before_publication(self) -> None:
        """What is published changes now."""

    def after_publication(self) -> None:
        """It has changed."""

    def work_off(self) -> None:
        """What proxies were told before now is done with, as far as it is by now."""

    @property
    def clients(self) -> NDArray[np.bool_] | None:
        """Who has come to the istiod that publishes now, by place; None for everybody."""

    def before_end(self) -> None:
        """The istiod that publishes ends now."""

    def finish(self) -> None:
        """The run is over."""


@dataclass(slots=True, eq=False)
class PublishedRows:
    """See the module.

    Attributes:
        replica: It publishes, now.
        replicas: Numbers of those that did, one after the other, it included.
        entity: The proxies, by place, ascending.
        group: Their groups.
        publications: What it publishes for them.
        updates: What they do with it.
        views: What their workers hold, where requests are sent.
    """

    replica: PublishingReplica
    entity: NDArray[np.int64]
    group: NDArray[np.int32]
    publications: Publications
    updates: Updates
    views: Views | None
    replicas: list[int] = field(default_factory=list)

    def follow(self, coming: Coming) -> None:
        """From here on the replica tells of what happens, and they come."""
        self.replicas.append(self.replica.number)
        publications, clock = self.publications, self.replica.clock

        def published() -> None:
            coming.before_publication()
            publications.publish()
            coming.after_publication()

        def came_to_nothing(changes: list[int]) -> None:
            coming.work_off()
            clients = coming.clients

            def of_group(group: int) -> NDArray[np.int64]:
                those = self.group == group
                if clients is None:
                    return np.arange(np.count_nonzero(those))
                return np.flatnonzero(clients[those])

            publications.come_to_nothing(changes, clock.now_ns, of_group)

        self.replica.on_published, self.replica.on_nothing_new = published, came_to_nothing

    def go_on_with(self, replica: PublishingReplica, coming: Coming, *, may_lag: bool) -> None:
        """The replica has ended; another one publishes from now on (see `Publications.go_on_with`)."""
        self.replica.on_published = self.replica.on_nothing_new = None
        self.replica = replica
        self.publications.go_on_with(replica, may_lag=may_lag)
        coming.after_publication()
        self.follow(coming)

    def deliveries(self, carried_by: str) -> Iterator[Mapping[str, Any]]:
        """The rows of the deliveries table."""
        groups = int(self.group.max(initial=-1)) + 1
        members = [np.flatnonzero(self.group == number) for number in range(groups)]
        return delivery_parts(self.publications.announced, self.entity, members, carried_by, self.replicas)


def rank_in_group(group: NDArray[np.int32]) -> NDArray[np.int64]:
    """Position of each proxy among those of its group."""
    rank = np.zeros(len(group), np.int64)
    for number in range(int(group.max(initial=-1)) + 1):
        places = np.flatnonzero(group == number)
        rank[places] = np.arange(len(places))
    return rank


def held_views(
    requests: FleetTraffic,
    settled: Sequence[SettledEnvoy],
    publications: Publications,
    group: NDArray[np.int32],
    end_ns: int,
) -> tuple[Views, HeldViews]:
    """What requests meet at the rows, from what they hold of the subscriptions that decide it.

    Args:
        settled: What a proxy of each group holds at the beginning.
        publications: What they are given.
        group: Their groups, by place.
        end_ns: End of the run.
    """
    subscriptions, deciding = publications.subscriptions, []
    for number, envoy in enumerate(settled):
        clusters, tables = requests.decided_by(number, envoy)
        wanted = [*(("eds", name) for name in clusters), *(("rds", name) for name in tables)]
        known = publications.by_group[number]
        deciding.append([known[key] for key in wanted if key in known])

    def number_of(number: int, contents: tuple[int, ...]) -> int:
        envoy = settled[number]
        for sub, content in zip(deciding[number], contents, strict=True):
            held = subscriptions.contents[sub][content]
            of = "hosts" if subscriptions.all[sub].type_name == "eds" else "routes"
            envoy = replace(envoy, **{of: getattr(envoy, of).updated(held)})
        return requests.view(number, envoy)

    shown = np.array([requests.view(number, envoy) for number, envoy in enumerate(settled)], np.int32)
    views = Views(shown[group], end_ns)
    return views, HeldViews(views, subscriptions.layout, deciding, number_of)
