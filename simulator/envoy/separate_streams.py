"""Without ADS every gRPC subscription has a mux and a stream of its own: one for CDS, one for LDS, one for
each EDS cluster, each RDS name, each secret. Nothing is batched and nothing paused across types.

Source: source/extensions/config_subscription/grpc/grpc_subscription_factory.cc; rules S3, P1, W4, W5.
"""

from __future__ import annotations

from collections.abc import Callable

from simulator.calibration.ways import OWN_STREAM
from simulator.envoy.ads_mux import MuxIdentity
from simulator.envoy.delta_mux import DeltaMux
from simulator.envoy.process import Process
from simulator.envoy.sotw_mux import SotwMux
from simulator.wire.contract import ConfigConsumer
from simulator.wire.per_name import PerName
from simulator.wire.stream import Path
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import NO_NAMES, Names


class SeparateStreams:
    """A config source that opens a stream for each subscription."""

    is_ads = False
    has_fetch_timeout = True
    is_path = False
    way_costs = OWN_STREAM

    def __init__(
        self,
        process: Process,
        path: Path,
        mux: type[SotwMux] | type[DeltaMux],
        next_stream_id: Callable[[], int],
    ) -> None:
        self._process = process
        self._path = path
        self._mux = mux
        self._next_stream_id = next_stream_id
        self._open: PerName[SotwMux | DeltaMux] = PerName()
        self._pauses: dict[ResourceType, int] = {}

    def start(self) -> None:
        """Streams open with their subscriptions."""

    def missing(self, _type: ResourceType, _names: Names) -> Names:
        """A gRPC subscription can always be created."""
        return NO_NAMES

    def subscribe(self, type_: ResourceType, names: Names, consumer: ConfigConsumer) -> None:
        """Opens a stream for each name, also where an older object still has one (a changed cluster, W4)."""
        for name in names or ("",):
            label = f"{type_.name}/{name}" if name else type_.name
            mux = self._mux(self._process, self._path, MuxIdentity(label, self._next_stream_id))
            self._open.add(type_, name, mux)
            mux.start()
            mux.subscribe(type_, Names((name,)) if name else NO_NAMES, consumer)

    def unsubscribe(self, type_: ResourceType, names: Names) -> None:
        """Ends the streams of these names. The mux says so before, except where the update of another type
        that is being applied holds requests of this one back (EDS in a CDS update, routes in an SRDS one)."""
        is_told = not self._pauses.get(type_)
        for name in names:
            for mux in self._open.take(type_, name):
                if is_told:
                    mux.unsubscribe(type_, Names((name,)))
                mux.stop()

    def release_superseded(self, type_: ResourceType, names: Names, *, is_told: bool) -> None:
        """Ends all but the newest stream of each name; the mux says so before, if it may."""
        for name in names:
            for mux in self._open.take_superseded(type_, name):
                if is_told:
                    mux.unsubscribe(type_, Names((name,)))
                mux.stop()

    def pause(self, type_: ResourceType) -> None:
        """Streams that end meanwhile end without a word; others are not held up."""
        self._pauses[type_] = self._pauses.get(type_, 0) + 1

    def resume(self, type_: ResourceType) -> None:
        """The counterpart of `pause`."""
        self._pauses[type_] -= 1

    def stop(self) -> None:
        """The process ends."""
        self._open.end_all()
