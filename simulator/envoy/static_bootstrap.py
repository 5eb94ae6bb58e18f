"""A bootstrap without xDS: nothing can be subscribed (rule S1)."""

from __future__ import annotations

from simulator.calibration.ways import SHARED_STREAM
from simulator.wire.contract import ConfigConsumer
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import NO_NAMES, Names


class NoConfigSource:
    """The config source of a static Envoy."""

    is_ads = False
    has_fetch_timeout = False
    is_path = False
    way_costs = SHARED_STREAM

    def start(self) -> None:
        """Nothing to open."""

    def missing(self, _type: ResourceType, _names: Names) -> Names:
        """Nothing is looked for."""
        return NO_NAMES

    def subscribe(self, type_: ResourceType, _names: Names, _consumer: ConfigConsumer) -> None:
        """A scenario without control plane that needs one is refused by the loader."""
        raise AssertionError(f"{type_} subscribed without a control plane")

    def unsubscribe(self, type_: ResourceType, names: Names) -> None:
        """Nothing was subscribed."""

    def release_superseded(self, type_: ResourceType, names: Names, *, is_told: bool) -> None:
        """Nothing was subscribed."""

    def pause(self, type_: ResourceType) -> None:
        """Nothing is asked for."""

    def resume(self, type_: ResourceType) -> None:
        """Nothing is asked for."""

    def stop(self) -> None:
        """The process ends."""
