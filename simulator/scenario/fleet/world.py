"""Joins a mesh under istiod whose many proxies are rows of arrays.

Played by messages, with an agent, a stream and an Envoy of their own, are: one sidecar of each visibility
class and zone at each replica, whose start shows what all of them subscribe and fills its caches; gateways;
proxies whose certificate is renewed within the run; those that the workload touches (`touched`); and
pods that come (`growing_world`). All others are rows (`simulator.fleet`); by pushes they lose their
streams and come back (`reconnects`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.control_plane.istiod.connection import Connection
from simulator.control_plane.istiod.deployment import Deployment
from simulator.control_plane.istiod.replica import Replica
from simulator.envoy.settings import EnvoySettings
from simulator.envoy.settled import SettledEnvoy
from simulator.fleet.deliveries import Announced
from simulator.fleet.errors import CannotTakeFleet, RowsTouched, SeveralLooked
from simulator.fleet.stream_settings import StreamSettings
from simulator.fleet.views import Views
from simulator.mesh.visibility import VisibilityClass
from simulator.recording.ledger import Change
from simulator.scenario.certificates import SdsByPodAgents
from simulator.scenario.envoys import envoy_settings
from simulator.scenario.fleet.connections import RowSession, RowStream
from simulator.scenario.fleet.join_reconnects import make_reconnects
from simulator.scenario.fleet.join_rows import JoinsRows, settled_envoy, stream_settings
from simulator.scenario.fleet.losses import who_loses
from simulator.scenario.fleet.moves import ConcerningChange
from simulator.scenario.fleet.reconnects import Reconnects
from simulator.scenario.fleet.replica import FleetReplica
from simulator.scenario.fleet.rows import ReplicaRows
from simulator.scenario.fleet.sidecars import SidecarsWorld, places
from simulator.scenario.fleet.traffic import FleetTraffic
from simulator.scenario.schema import Scenario
from simulator.scenario.sections import workload as sections
from simulator.scenario.world import World
from simulator.wire.contract import Publisher, PushSession
from simulator.wire.stream import Stream
from simulator.workload import entries as happening
from simulator.workload.contract import Pod
from simulator.xds.resources import Names


class FleetWorld(SidecarsWorld):
    """A mesh in arrays; see the module.

    Args:
        by_messages: Proxies that are no rows, for reasons that an earlier run showed.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        replication: int,
        by_messages: Sequence[int] | NDArray[np.int64] = (),
    ) -> None:
        super().__init__(scenario, seed, replication)
        self._by_messages = by_messages
        self._recorder.counts_all = False
        self._has_begun = False
        self._rows: list[ReplicaRows] = []
        """Of each replica that has any, from the beginning of the run on."""
        self._reconnects: Reconnects | None = None
        self._requests: FleetTraffic | None = None
        self._announced: list[Announced] = []

    @property
    def _is_delta(self) -> bool:
        return self._scenario.propagation.protocol == "delta"

    @property
    def _answers_differ(self) -> bool:
        """Which answer acknowledges what is then known at the end of the run only."""
        entries = self._scenario.workload
        return not self._is_delta or any(
            isinstance(e, sections.EditEntry) and e.rejected_by_envoy for e in entries
        )

    # --- replicas

    def _make_replica(self, number: int, deployment: Deployment) -> Replica:
        # One that starts in the run, or ends in it, has no rows, unless they come back; to another revision
        # nobody does who was not injected by it.
        its = self._sidecars.replica == number
        may_come = self._come_back and self.rows and number not in deployment.revisions
        if not (bool(its.any()) or may_come):
            return Replica(number, deployment, is_synced=True)
        if self._reconnects is not None:
            self._reconnects.before_change(is_behind_messages=True)
        replica = FleetReplica(number, deployment, is_synced=True)
        if self._reconnects is not None:
            self._follow_with(replica, np.zeros(self.rows, bool))
        return replica

    def _follow_with(self, replica: FleetReplica, its: NDArray[np.bool_]) -> None:
        """One more istiod that rows may connect to; these are connected now."""
        rows = self._joining.follow(replica, self._rows[-1], its)
        self._rows.append(rows)
        assert self._reconnects is not None
        self._reconnects.begin(rows)
        if self._recorder.folds and not self._answers_differ:
            rows.fold(self._recorder)

    # --- the beginning of the run

    def world(self) -> World:
        """Everything in place."""
        world = super().world()
        world.ahead = self._ahead
        world.at_end.insert(0, self._finish)
        return world

    def _ahead(self, horizon_ns: int, rank: int) -> bool:
        if not self._has_begun:
            self._begin()
        horizon = horizon_ns, rank
        reconnects = self._reconnects
        if reconnects is not None and (reconnects.puts_an_end(horizon) or reconnects.puts_a_dial(horizon)):
            return True
        if len(self._rows) == 1:
            return self._rows[0].line.advance(*horizon)
        while True:
            # No line goes beyond what the others do next: it may concern it.
            due = sorted((*rows.line.next_key(), n) for n, rows in enumerate(self._rows))
            if not due or due[0][:2] >= horizon:
                return False
            until = min(horizon, due[1][:2]) if self._goes_in_step and len(due) > 1 else horizon
            if self._rows[due[0][2]].line.advance(*until):
                return True

    @cached_property
    def _goes_in_step(self) -> bool:
        """Whether what happens at one replica may lead to something at another before the next event that is
        on the clock by then: a new pod becomes ready, a stream breaks."""
        plain = happening.EditEntry | happening.EndpointsEntry
        others = [h for h in self._timeline if not isinstance(h.entry, plain)]
        return bool(others) or self._scenario.network.loss > 0

    def _begin(self) -> None:
        """What was configured before the run shows what every row is configured with."""
        self._has_begun = True
        self._concerning: list[list[ConcerningChange]] = [[] for _ in self._sidecars.groups]
        settled = [settled_envoy(self._servers[proxy]) for proxy in self._sidecars.shown]
        self._begin_traffic()
        for number, replica in sorted(self._deployment.replicas.items()):
            if not isinstance(replica, FleetReplica):
                continue
            its = self._sidecars.replica == number
            if self._come_back and self._rows:
                self._follow_with(replica, its)
            elif self._come_back:
                self._begin_reconnects(replica, its, settled)
            else:
                of_replica = self._sidecars.entity[its], self._sidecars.group[its]
                shown = self._shown_connections()
                self._rows.append(self._joining.make(replica, *of_replica, shown, settled))

    def _begin_reconnects(
        self, replica: FleetReplica, its: NDArray[np.bool_], settled: list[SettledEnvoy]
    ) -> None:
        """Rows may connect to any istiod: they share what leads to them."""
        sidecars = self._sidecars
        shown = self._shown_connections()
        rows = self._joining.make(replica, sidecars.entity, sidecars.group, shown, settled, its)
        self._rows.append(rows)
        self._reconnects = make_reconnects(
            self._clock,
            self._deployment,
            self._draws,
            self._recorder,
            envoy_settings(self._scenario, self._calibration),
            rows,
            shown,
            [envoy.cluster_count for envoy in settled],
            self._ends_of_istiods_ns,
            self._ages_of_rows_ns,
            self._scenario.duration,
        )
        self._reconnects.begin(rows)
        self._deployment.service_watchers.append(
            partial(self._reconnects.before_change, is_behind_messages=False)
        )

    @property
    def _ages_of_rows_ns(self) -> NDArray[np.int64]:
        """When the streams that they have at the start are old enough, by place."""
        return self._ages_ns[places(self._ids, self._sidecars.entity)]

    def _shown_connections(self) -> list[Connection]:
        """By group, that of a proxy that is played by messages."""
        connections = {c.proxy: c for r in self._deployment.replicas.values() for c in r.connections}
        return [connections[proxy] for proxy in self._sidecars.shown]

    def _begin_traffic(self) -> None:
        if self._scenario.traffic:
            classes = [self._visibility.of(self._proxies[proxy]) for proxy in self._sidecars.shown]
            self._requests = FleetTraffic(self._traffic, classes)

    def _stream_settings(self, envoy: EnvoySettings) -> StreamSettings:
        return stream_settings(self._scenario, self._calibration, envoy, answers_differ=self._answers_differ)

    @cached_property
    def _joining(self) -> JoinsRows:
        envoy = envoy_settings(self._scenario, self._calibration)
        sidecars = self._sidecars
        return JoinsRows(
            self._scenario,
            self._clock,
            self._draws,
            envoy,
            self._stream_settings(envoy),
            self._concerning,
            self._requests,
            4 * (len(sidecars.others) + len(self._proxies.gateways) + sidecars.to_come + 16),
        )

    # --- what the workload does (workload/contract.py)

    def proxies(self) -> Sequence[int]:
        """See MeshActions."""
        return sorted([*self._sidecars.entity.tolist(), *self._servers])

    def stop_pod(self, pod: Pod) -> None:
        """See MeshActions."""
        self._expect_messages(pod.id)
        super().stop_pod(pod)

    def restart_proxy(self, proxy: int) -> None:
        """See MeshActions."""
        self._expect_messages(proxy)
        super().restart_proxy(proxy)

    def partition(self, proxy: int, is_on: bool) -> None:
        """See MeshActions."""
        self._expect_messages(proxy)
        super().partition(proxy, is_on)

    def slow_reader(self, proxy: int, is_on: bool) -> None:
        """See MeshActions."""
        self._expect_messages(proxy)
        super().slow_reader(proxy, is_on)

    def rotate_root(self) -> None:
        """See MeshActions. Rows renew no certificate within the run: they wait for the new root."""
        assert isinstance(self._certificates, SdsByPodAgents), "a new root brings certificates with it"
        change = self._certificates.rotate_root(self._servers, self.rows)
        self._announce_in_vain(change)

    def _announce_in_vain(self, change: Change[Names]) -> None:
        """A change of every row that comes to none of them within the run."""
        groups = tuple(range(len(self._sidecars.groups)))
        self._announced.append(Announced(change.id, change.t_changed_ns, groups))

    def _make_session(self, stream: Stream, publisher: Publisher) -> PushSession:
        of_row: object = stream
        if isinstance(of_row, RowStream):
            return RowSession(of_row, publisher)  # type: ignore[return-value]
        return super()._make_session(stream, publisher)

    def _expect_messages(self, proxy: int) -> None:
        assert not self._is_row(proxy), f"{self._proxies.name(proxy)} is touched, and nobody foresaw it"

    # --- changes

    def _record(
        self,
        kind_name: str,
        label: str,
        objects: Names,
        now_ns: int,
        concerned: list[tuple[VisibilityClass, dict[str, Names]]],
        elsewhere: int = 0,
    ) -> Change[Names]:
        if not self._has_begun:
            self._begin()
        parts = {class_.index: parts for class_, parts in concerned}
        classes = self._sidecars.groups
        groups = [n for n, class_ in enumerate(classes) if class_ in parts]
        rows = self._rows_of(groups) if groups else 0
        change = super()._record(kind_name, label, objects, now_ns, concerned, rows)
        self._announce_to_rows(change, [(n, parts[classes[n]]) for n in groups])
        return change

    def _rows_of(self, groups: list[int]) -> int:
        """How many rows there are now of these groups."""
        return int(self._group_sizes[groups].sum())

    def _announce_to_rows(self, change: Change[Names], concerned: list[tuple[int, dict[str, Names]]]) -> None:
        """A change of resources of the rows of these groups, by type."""
        if concerned:
            groups = tuple(group for group, _ in concerned)
            endpoints = next(iter(change.objects)) if change.kind == "Endpoints" else None
            self._announced.append(Announced(change.id, change.t_changed_ns, groups, endpoints))
        for group, parts in concerned:
            self._concerning[group].append(ConcerningChange(change, parts))
        if self._recorder.folds and not self._answers_differ:
            for one in self._rows:
                one.fold(self._recorder)

    @cached_property
    def _group_sizes(self) -> NDArray[np.int64]:
        """Rows by group."""
        return np.bincount(self._sidecars.group, minlength=len(self._sidecars.groups))

    # --- the end of the run

    def _finish(self) -> None:
        """The rows become tables."""
        recorder = self._recorder
        for rows in self._rows:
            rows.line.hand_on()
        touched = self._lost() if self._reconnects is None else [*self._reconnects.finish(), *self._lost()]
        if len(touched):
            raise RowsTouched(np.unique(touched))
        for rows in self._rows:
            rows.close(recorder)
            if rows.is_last:
                self._write_traffic(rows.entity, rows.group, rows.streams.views)
        if any(rows.has_pushed for rows in self._rows):
            pushes = [rows.proxy_pushes() for rows in self._rows]
            recorder.proxy_push_columns = (
                pushes[0]
                if len(pushes) == 1
                else {name: np.concatenate([columns[name] for columns in pushes]) for name in pushes[0]}
            )
        if self._announced:
            for rows in self._rows:
                rows.end()
            parts = self._delivery_parts()
            recorder.delivery_parts = lambda: chain.from_iterable(part() for part in parts)
        recorder.utilisation["main thread"] = min(1.0, self._main_thread_share())

    def _main_thread_share(self) -> float:
        """The largest share of its life that the main thread of a row was busy."""
        busy_ns = max((int(r.streams.main_thread_busy_ns.max(initial=0)) for r in self._rows), default=0)
        return busy_ns / self._scenario.duration

    def _delivery_parts(self) -> list[Callable[[], Iterator[Mapping[str, Any]]]]:
        try:
            return [rows.deliveries(self._announced) for rows in self._rows if rows.is_last]
        except SeveralLooked as error:
            # Without those that are cut off no row goes from one istiod to another.
            assert self._come_back, "two istiods looked for rows that neither lost"
            if np.isin(self._sidecars.entity, self._cut_off).all():
                raise CannotTakeFleet(str(error)) from error
            raise RowsTouched(self._cut_off) from error

    @property
    def _sends_from_ns(self) -> NDArray[np.int64] | None:
        """When the applications of rows begin to send, by place; None where all do from the start."""
        return None

    def _write_traffic(
        self, entity: NDArray[np.int64], group: NDArray[np.int32], views: Views | None
    ) -> None:
        if self._requests is not None:
            assert views is not None, "nobody kept what the workers hold"
            services = list(self._services.values())
            self._requests.write(entity, group, views, self._proxies, services, self._sends_from_ns)

    def _lost(self) -> NDArray[np.int64]:
        """Rows of whom a message was lost, and the stream with it (wire/trouble.py): they were none."""
        loss, each = self._scenario.network.loss, [rows for rows in self._rows if rows.is_last]
        if loss == 0 or not each:
            return np.empty(0, np.int64)
        entity = np.concatenate([rows.entity for rows in each])
        sent = np.concatenate([rows.streams.sent() for rows in each])
        return who_loses(self._draws, loss, entity, sent)
