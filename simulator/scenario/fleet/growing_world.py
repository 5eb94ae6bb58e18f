"""Joins a mesh under istiod whose many proxies are rows of arrays, and which gets pods in the run.

These are played by messages until they have started, and are rows then, as proxies of meshes that start
(starts.py). As they connect to any istiod, rows share what leads to them.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from simulator.envoy.settled import SettledEnvoy
from simulator.fleet.streams import NEVER, Streams
from simulator.scenario.fleet.moves import Moves
from simulator.scenario.fleet.replica import FleetReplica
from simulator.scenario.fleet.sidecars import Sidecars
from simulator.scenario.fleet.starting_world import StartingFleetWorld
from simulator.scenario.fleet.starts import SETTLED, TO_COME, Starts, StartTimes
from simulator.scenario.mesh_parts import BEFORE_NS


class GrowingFleetWorld(StartingFleetWorld):
    """A mesh in arrays that gets pods; see the module. Where none of them becomes a row it is any other."""

    @cached_property
    def _sidecars(self) -> Sidecars:
        return self._with_newcomers(super()._sidecars)

    @property
    def _has_starts(self) -> bool:
        return self._sidecars.coming > 0

    @property
    def _ways_to_rows(self) -> Streams:
        return self._rows[0].streams

    @cached_property
    def _come_back(self) -> bool:
        """Whether rows may connect to any istiod."""
        return bool(self._newcomers) or super()._come_back

    @property
    def _cut_off(self) -> NDArray[np.int64]:
        return np.concatenate([super()._cut_off, np.array([pod.id for pod in self._newcomers], np.int64)])

    @property
    def _ages_of_rows_ns(self) -> NDArray[np.int64]:
        ages_ns = super()._ages_of_rows_ns
        return np.concatenate([ages_ns, np.full(self._sidecars.coming, NEVER, np.int64)])

    def _begin_reconnects(
        self, replica: FleetReplica, its: NDArray[np.bool_], settled: list[SettledEnvoy]
    ) -> None:
        super()._begin_reconnects(replica, its, settled)
        if self._has_starts:
            self._begin_starts()
            replica.starts = self._starts

    def _begin_starts(self) -> None:
        """Pods to come stand beside the rows."""
        sidecars, reconnects = self._sidecars, self._reconnects
        assert reconnects is not None, "newcomers connect to any istiod"
        started_ns, phase = np.full(self.rows, BEFORE_NS, np.int64), np.full(self.rows, SETTLED, np.int8)
        started_ns[self.rows_of_start :], phase[self.rows_of_start :] = NEVER, TO_COME
        moves = self._ways_to_rows.moving
        assert isinstance(moves, Moves), "rows of streams move as Envoys do"
        self._starts = reconnects.starts = Starts(
            self._clock,
            self._deployment,
            self._ledger,
            self,
            self._ways_to_rows,
            moves,
            reconnects.redials,
            StartTimes(started_ns, started_ns),
            phase,
            sidecars.entity,
            sidecars.group,
            self._concerning,
            self._rows,
        )
        self._starts.reconnects = reconnects
        groups = self._rows[0].making.groups
        self._starts.subscribed = {number: group.subscribed for number, group in enumerate(groups)}

    def _follow_with(self, replica: FleetReplica, its: NDArray[np.bool_]) -> None:
        super()._follow_with(replica, its)
        if self._reconnects is not None:
            replica.starts = self._reconnects.starts
