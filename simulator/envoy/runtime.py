"""Runtime layers: static, disk and admin layers are read at construction; RTDS layers block start-up.

All RTDS layers are asked for in parallel after the primary clusters and before everything else; each is
released by an update, a rejection or its fetch timeout, not by a failed connection.

A feature flag is a share of the requests: its value is that of the last layer that has the key, or what the
code says where none has it (with no layers at all: the null provider). A disk layer is read at construction
and whenever its symbolic link is swapped; what the admin endpoint set is gone with its process.
Source: source/common/runtime/runtime_impl.cc, docs/root/configuration/operations/runtime.rst.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulator.envoy.init_manager import InitManager
from simulator.envoy.providers import Providers
from simulator.mesh.configuration import RuntimeFields
from simulator.xds.resource_types import RTDS
from simulator.xds.resources import NO_NAMES, Names

if TYPE_CHECKING:
    from simulator.envoy.process import Process
    from simulator.envoy.settings import RuntimeLayerSettings
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
        self._written: dict[str, RuntimeFields] = {}
        """What disk and admin layers hold."""
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

    # --- feature flags

    def value(self, key: str) -> float | None:
        """The share of requests for which the flag is on; None where no layer has the key."""
        for layer in reversed(self._process.settings.runtime_layers):
            for known, value in reversed(self._fields(layer).values):
                if known == key:
                    return value
        return None

    def feature_enabled(self, key: str, default: float, random_value: int) -> bool:
        """Whether one request has the feature: its random number, modulo a million, is below the share."""
        value = self.value(key)
        share = default if value is None else value
        return random_value % _MILLION < round(share * _MILLION)

    def _fields(self, layer: RuntimeLayerSettings) -> RuntimeFields:
        if layer.rtds_name is None:
            return self._written.get(layer.name, RuntimeFields(layer.values))
        resource = self._layers.content.get(layer.rtds_name)
        body = None if resource is None else resource.body
        return body if isinstance(body, RuntimeFields) else RuntimeFields()

    def begin_with(self, layer: str, fields: RuntimeFields) -> None:
        """What the files of a disk layer hold when the process is constructed."""
        self._written[layer] = fields

    def write(self, layer: str, key: str, value: float, carriages: tuple[int, ...]) -> None:
        """The link of a disk layer was swapped, or a request to the admin endpoint came: all layers are read
        again on the main thread, and the snapshot is posted to the workers."""
        process = self._process

        def reload() -> None:
            if process.is_exited:
                return
            self._written[layer] = self._written.get(layer, RuntimeFields()).changed(key, value)
            for carriage in carriages:
                process.changes.on_applied(carriage, process.proxy, process.now_ns)
            process.count("runtime.load_success")
            process.publish("post_routes", list(carriages))

        process.changes.on_received(carriages, process.proxy, process.now_ns)
        process.main_thread.submit(lambda: process.costs.ns("runtime_reload"), reload)


_MILLION = 1_000_000
"""FractionalPercent's finest denominator."""
