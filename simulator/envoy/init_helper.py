"""The init helper: six states between static load and "all clusters initialized".

Source: source/common/upstream/cluster_manager_impl.cc (ClusterManagerInitHelper); rules S2 to S4, N1.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from simulator.engine.machine import Machine, bind
from simulator.envoy.clusters import ClusterBatch, ClusterSignal, ClusterState
from simulator.xds.resource_types import EDS, SDS

if TYPE_CHECKING:
    from simulator.envoy.process import Process
    from simulator.wire.contract import ConfigSource


class InitHelperState(Enum):
    """ClusterManagerInitHelper::State."""

    LOADING = "Loading"
    WAITING_FOR_PRIMARY = "WaitingForPrimaryInitializationToComplete"
    WAITING_TO_START_SECONDARY = "WaitingToStartSecondaryInitialization"
    WAITING_TO_START_CDS = "WaitingToStartCdsInitialization"
    CDS_INITIALIZED = "CdsInitialized"
    ALL_CLUSTERS_INITIALIZED = "AllClustersInitialized"


class InitHelperSignal(Enum):
    """What the init helper learns."""

    STATIC_LOADED = "static_loaded"
    PRIMARIES_INITIALIZED = "primaries_initialized"
    STATIC_SECONDARIES_INITIALIZED = "static_secondaries_initialized"
    NO_CDS = "no_cds"
    CDS_OUTCOME = "cds_outcome"
    CDS_CLUSTERS_INITIALIZED = "cds_clusters_initialized"


_S, _G = InitHelperState, InitHelperSignal
INIT_HELPER = {
    (_S.LOADING, _G.STATIC_LOADED): (_S.WAITING_FOR_PRIMARY, "maybe_finish_initialize"),
    (_S.WAITING_FOR_PRIMARY, _G.PRIMARIES_INITIALIZED): (
        _S.WAITING_TO_START_SECONDARY,
        "tell_primaries_initialized",
    ),
    (_S.WAITING_TO_START_SECONDARY, _G.STATIC_SECONDARIES_INITIALIZED): (
        _S.WAITING_TO_START_CDS,
        "start_cds",
    ),
    (_S.WAITING_TO_START_SECONDARY, _G.NO_CDS): (_S.ALL_CLUSTERS_INITIALIZED, "tell_all_initialized"),
    (_S.WAITING_TO_START_CDS, _G.CDS_OUTCOME): (_S.CDS_INITIALIZED, "maybe_finish_initialize"),
    (_S.CDS_INITIALIZED, _G.CDS_CLUSTERS_INITIALIZED): (_S.ALL_CLUSTERS_INITIALIZED, "tell_all_initialized"),
}


class InitHelper:
    """Six states between static load and "all clusters initialized": primaries first, then secondaries, twice
    (for the bootstrap's clusters, and for those of the first CDS answer)."""

    __slots__ = (
        "_machine",
        "_may_start_secondaries",
        "_primary",
        "_process",
        "_secondaries",
        "_source",
        "_start_cds",
        "_started",
        "_tell_all",
        "_tell_primaries",
    )

    def __init__(
        self,
        process: Process,
        source: ConfigSource,
        *,
        start_cds: Callable[[], None] | None,
        tell_primaries: Callable[[], None],
        tell_all: Callable[[], None],
    ) -> None:
        self._process = process
        self._source = source
        self._start_cds = start_cds
        self._tell_primaries = tell_primaries
        self._tell_all = tell_all
        self._primary = 0
        self._secondaries: dict[ClusterBatch, None] = {}
        self._started = False
        self._may_start_secondaries = False
        self._machine = Machine(_S.LOADING, _ROWS, self, InitHelper._entered)

    def _entered(self, _before: InitHelperState, after: InitHelperState) -> None:
        process = self._process
        process.enter("cluster_manager", "init", after.value)
        if after is _S.WAITING_TO_START_SECONDARY:
            process.row.t_primary_initialized_ns = process.now_ns
        elif after is _S.CDS_INITIALIZED:
            process.row.t_cds_initialized_ns = process.now_ns
        elif after is _S.ALL_CLUSTERS_INITIALIZED:
            process.row.t_clusters_initialized_ns = process.now_ns

    @property
    def is_finished(self) -> bool:
        """Whether all clusters of start-up are initialized."""
        return self._machine.state is _S.ALL_CLUSTERS_INITIALIZED

    @property
    def awaits_cds(self) -> bool:
        """Whether the first CDS outcome is still to come."""
        return self._machine.state is _S.WAITING_TO_START_CDS

    def add(self, batch: ClusterBatch) -> None:
        """A primary starts at once; a secondary waits for all primaries of its round, unless that round
        runs."""
        batch.counts_at_startup = True
        if batch.is_primary:
            self._primary += len(batch.names)
            batch.fire(ClusterSignal.INITIALIZE)
        else:
            self._secondaries[batch] = None
            if self._started:
                batch.fire(ClusterSignal.INITIALIZE)

    def track(self, part: ClusterBatch) -> None:
        """A batch was split."""
        if part.counts_at_startup and not part.is_primary:
            self._secondaries[part] = None

    def done(self, batch: ClusterBatch) -> None:
        """These clusters are initialized, or went."""
        if batch.counts_at_startup:
            self.replaced(batch)
            self.maybe_finish_initialize()

    def replaced(self, batch: ClusterBatch) -> None:
        """These make way for new objects of their names, for which is waited in their place."""
        if not batch.counts_at_startup:
            return
        batch.counts_at_startup = False
        if batch.is_primary:
            self._primary -= len(batch.names)
        else:
            self._secondaries.pop(batch, None)

    def on_static_load_complete(self) -> None:
        """Every bootstrap cluster is loaded."""
        self._machine.fire(_G.STATIC_LOADED)

    def start_initializing_secondary_clusters(self) -> None:
        """RTDS is done (or absent)."""
        self._may_start_secondaries = True
        self.maybe_finish_initialize()

    def on_cds_outcome(self) -> None:
        """The first CDS response, rejection or time-out; later ones change nothing."""
        if self._machine.state is _S.WAITING_TO_START_CDS:
            self._machine.fire(_G.CDS_OUTCOME)

    def maybe_finish_initialize(self) -> None:
        """Advances as far as the outstanding clusters allow."""
        state = self._machine.state
        if state in (_S.LOADING, _S.WAITING_TO_START_CDS, _S.ALL_CLUSTERS_INITIALIZED) or self._primary > 0:
            return
        if state is _S.WAITING_FOR_PRIMARY:
            self._machine.fire(_G.PRIMARIES_INITIALIZED)
            return
        if state is _S.WAITING_TO_START_SECONDARY and not self._may_start_secondaries:
            return
        if self._secondaries:
            self._start_secondaries()
            return
        self._started = False
        if state is _S.CDS_INITIALIZED:
            self._machine.fire(_G.CDS_CLUSTERS_INITIALIZED)
        elif self._start_cds is not None:
            self._machine.fire(_G.STATIC_SECONDARIES_INITIALIZED)
        else:
            self._machine.fire(_G.NO_CDS)

    def _start_secondaries(self) -> None:
        """All together, once, with EDS and SDS paused, so that one request carries all names (S4)."""
        if self._started:
            return
        self._started = True
        source = self._source
        source.pause(EDS)
        source.pause(SDS)
        for batch in list(self._secondaries):
            if batch.state is ClusterState.CREATED:
                batch.fire(ClusterSignal.INITIALIZE)
        source.resume(EDS)
        source.resume(SDS)

    def tell_primaries_initialized(self) -> None:
        """Stops here until told to start the secondaries."""
        self._tell_primaries()

    def start_cds(self) -> None:
        """CDS is asked only now."""
        assert self._start_cds is not None
        self._start_cds()

    def tell_all_initialized(self) -> None:
        """The server goes on to its init manager."""
        self._tell_all()


_ROWS = bind(INIT_HELPER, InitHelper)
TABLES = {"cluster_manager": (INIT_HELPER, _S.LOADING, (_S.ALL_CLUSTERS_INITIALIZED,))}
