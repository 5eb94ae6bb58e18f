"""What meshes in arrays share some of whose proxies start in the run and become rows (starts.py).

Pods that come in the run and stay are among them (newcomers.py): they are played by messages until they
have started.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.agent.secret_discovery import SecretDiscovery
from simulator.envoy.ads_mux import GrpcMux
from simulator.envoy.startup import Server
from simulator.fleet.streams import Streams
from simulator.mesh.services import Proxy
from simulator.scenario.certificate_references import has_certificates
from simulator.scenario.certificates import SdsByPodAgents, certificate_settings
from simulator.scenario.fleet.losses import who_loses
from simulator.scenario.fleet.newcomers import Newcomer, newcomers
from simulator.scenario.fleet.sidecars import Sidecars
from simulator.scenario.fleet.starts import Starts
from simulator.scenario.fleet.world import FleetWorld
from simulator.scenario.mesh_streams import Streams as StreamSources
from simulator.wire.stream import Path


class StartingFleetWorld(FleetWorld):
    """See the module."""

    _starts: Starts
    """Once there are rows."""

    @property
    @abstractmethod
    def _has_starts(self) -> bool:
        """Whether there is anybody who may become a row in the run."""

    @property
    @abstractmethod
    def _ways_to_rows(self) -> Streams:
        """The way to all rows."""

    # --- who may become a row

    @cached_property
    def _newcomers(self) -> list[Newcomer]:
        """Pods that come in the run and may become rows."""
        services = list(self._services.values())
        found = newcomers(self._timeline, self._pods_at_start, services, self._draws)
        if has_certificates(self._scenario):
            # Who renews within the run would be a row for a short time only.
            renewed_ns = certificate_settings(self._scenario).rotation_ns(1)
            found = [pod for pod in found if pod.since_ns + renewed_ns > self._scenario.duration]
        by_messages = dict.fromkeys(np.asarray(self._by_messages).tolist())
        return [pod for pod in found if pod.id not in by_messages]

    def _with_newcomers(self, sidecars: Sidecars) -> Sidecars:
        """These, and the pods to come that are like some of them."""
        if not len(sidecars.entity):
            return sidecars
        proxies, services = self._proxies, list(self._services.values())
        groups: dict[tuple[int, int], int] = {}
        for number, (class_, proxy) in enumerate(zip(sidecars.groups, sidecars.shown, strict=True)):
            groups.setdefault((class_, proxies[proxy].zone), number)
        coming, group = [], []
        for pod in self._newcomers:
            like = services.index(pod.service)
            if like in proxies.sidecars:
                number = groups.get((self._visibility.of(proxies[like]).index, pod.zone), -1)
                if number >= 0:
                    coming.append(pod.id)
                    group.append(number)
        return replace(
            sidecars,
            entity=np.concatenate([sidecars.entity, np.array(coming, np.int64)]),
            group=np.concatenate([sidecars.group, np.array(group, np.int32)]),
            replica=np.concatenate([sidecars.replica, np.full(len(coming), -1, np.int64)]),
            coming=len(coming),
        )

    # --- Envoys that start (starts.py)

    def place_envoy(self, proxy: int) -> Server:
        """A new Envoy, about to be started."""
        of = self._proxies[proxy]
        server = self._place_envoy(of, "start")
        self._traffic.begin(of, self._visibility.of(of), self._start_ns(of))
        return server

    def _place_envoy(self, proxy: Proxy, cause: str) -> Server:
        server = super()._place_envoy(proxy, cause)
        if self._is_row(proxy.id):
            if not self._has_begun:
                self._begin()
            self._starts.note(int(np.searchsorted(self._sidecars.entity, proxy.id)), server)
        return server

    def path_of(self, proxy: int) -> Path:
        """Its way to istiod."""
        assert isinstance(self._sources, StreamSources), "rows that start are pushed to"
        return self._sources.path(proxy)

    def mux_of(self, server: Server) -> GrpcMux[Any]:
        """Its stream."""
        source: object = server.source
        mux = source.others if isinstance(source, SecretDiscovery) else source
        assert isinstance(mux, GrpcMux), "a row that starts has one stream for all"
        return mux

    def is_done(self, proxy: int) -> bool:
        """Whether nothing comes to it any more but what istiod sends."""
        certificates, pod = self._certificates, self._pods.get(proxy)
        if pod is not None and not pod.is_ready:
            return False
        return not isinstance(certificates, SdsByPodAgents) or certificates.is_done(proxy)

    def requests_met(self, proxy: int) -> tuple[int | None, list[tuple[int, int]]]:
        """Since when its application sends, and what requests met there so far, as the views of rows have
        it."""
        if self._requests is None:
            return self._traffic.hand_over(proxy)[0], []
        return self._requests.met(proxy)

    def forget_envoy(self, proxy: int) -> None:
        """It is a row."""
        server = self._servers.pop(proxy)
        self._pods.pop(proxy, None)
        self._world.servers.remove(server)
        del self._alive[self._visibility.of(self._proxies[proxy]).index][proxy]
        self._hot_restarts.forget(proxy)
        self._sources.forget(proxy)

    def proxies(self) -> Sequence[int]:
        """See MeshActions."""
        if not self._has_starts:
            return super().proxies()
        here = self._starts.in_arrays(self._clock.now_ns)
        return sorted([*self._sidecars.entity[here].tolist(), *self._servers])

    def rotate_root(self) -> None:
        """See MeshActions. Rows renew no certificate within the run."""
        assert isinstance(self._certificates, SdsByPodAgents), "a new root brings certificates with it"
        groups = list(range(len(self._sidecars.groups)))
        self._announce_in_vain(self._certificates.rotate_root(self._servers, self._rows_of(groups)))

    def _rows_of(self, groups: list[int]) -> int:
        if not self._has_starts:
            return super()._rows_of(groups)
        here = self._starts.in_arrays(self._clock.now_ns)
        return int(np.isin(self._sidecars.group[here], groups).sum())

    # --- the end of the run

    def _lost(self) -> NDArray[np.int64]:
        loss = self._scenario.network.loss
        if loss == 0 or not self._has_starts:
            return super()._lost()
        sent, but = self._ways_to_rows.sent(), self._starts.by_messages
        return who_loses(self._draws, loss, self._sidecars.entity, sent, but)

    @property
    def _sends_from_ns(self) -> NDArray[np.int64] | None:
        return self._starts.send_from_ns() if self._has_starts else super()._sends_from_ns

    def _main_thread_share(self) -> float:
        if not self._has_starts:
            return super()._main_thread_share()
        lives_ns = self._starts.lives_ns(self._scenario.duration)
        lives = lives_ns > 0
        shares = self._ways_to_rows.main_thread_busy_ns[lives] / lives_ns[lives]
        return float(shares.max(initial=0.0))
