"""Runtime layers: static, disk and admin layers are read at construction; RTDS layers block start-up.

All RTDS layers are asked for in parallel after the primary clusters and before everything else; each is
released by an update, a rejection or its fetch timeout, not by a failed connection.
Source: source/common/runtime/runtime_impl.cc.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulator.envoy.init_manager import InitManager
from simulator.envoy.providers import Providers
from simulator.xds.resource_types import RTDS
from simulator.xds.resources import NO_NAMES, Names

if TYPE_CHECKING:
    from simulator.envoy.process import Process
    from simulator.wire.contract import ConfigSource


class RuntimeLayers(Providers):
    """The RTDS layers. Unlike a route, a layer said to be removed is cleared, and nobody waits for it."""

    def _on_removed(self, names: Names) -> None:
        self.process.count_updates(self._stat, "success", names)
        self._settle(names, "removed")


class Runtime:
    """The RTDS layers of one Envoy and the init manager that waits for them."""

    def __init__(self, process: Process, source: ConfigSource) -> None:
        self._process = process
        self._layers = RuntimeLayers(process, source, RTDS, "runtime.{}.")
        self._layers.on_released(self._on_released)
        self._counted = NO_NAMES
        self._init = InitManager()

    def initialize(self, watcher: Callable[[], None]) -> None:
        """Starts the RTDS subscriptions; the watcher is told when every layer is released."""
        layers = self._process.settings.rtds_layers
        self._init.add(lambda: self._layers.require(layers), len(layers))
        self._init.initialize(watcher)

    def _on_released(self) -> None:
        new = self._layers.released.minus(self._counted)
        self._counted = self._layers.released
        if new:
            self._init.ready(len(new))
