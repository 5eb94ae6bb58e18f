"""Flips of feature flags: by a file that each pod's kubelet swaps, by RTDS, or by the admin endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from simulator.control_plane.scripted import RUNTIME_FLAG, ScriptedControlPlane
from simulator.engine.delays import draw_ns
from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from simulator.envoy.startup import Server
from simulator.mesh.configuration import RuntimeFields
from simulator.recording.ledger import ChangeLedger
from simulator.scenario.schema import RuntimeLayer, Scenario
from simulator.workload.entries import RuntimeFlagEntry
from simulator.workload.timeline import Happening
from simulator.xds.resources import Names

_TYPE = "runtime"
"""What a flip changes where it does not travel by RTDS."""


class WritableRuntime(Protocol):
    """The runtime of a process."""

    def write(self, layer: str, key: str, value: float, carriages: tuple[int, ...]) -> None:
        """A disk layer, or that of the admin endpoint, gets another value."""


class Flagged(Protocol):
    """A process whose flags are flipped: a simulated one, or a real one that the laboratory plays."""

    @property
    def runtime(self) -> WritableRuntime:
        """Its runtime."""


class RuntimeFlags:
    """All flips of one run.

    Args:
        scenario: Its layers.
        clock: Time.
        draws: Phases of kubelets, times of calls.
        ledger: Each flip is a change that concerns every Envoy alive.
        control_plane: Serves RTDS layers.
        running: The processes of each proxy.
    """

    def __init__(
        self,
        scenario: Scenario,
        clock: Clock,
        draws: Draws,
        ledger: ChangeLedger[Names],
        control_plane: ScriptedControlPlane,
        running: Callable[[], Mapping[int, Sequence[Flagged]]],
    ) -> None:
        self._layers = {layer.name: layer for layer in scenario.envoy.runtime_layers}
        self._writable = [layer.name for layer in self._layers.values() if layer.static_layer is None]
        self._clock = clock
        self._draws = draws
        self._ledger = ledger
        self._control_plane = control_plane
        self._running = running
        self._files: dict[tuple[int, str], RuntimeFields] = {}
        """What stands on the disk of each pod."""

    def begin(self, server: Server) -> None:
        """A process is constructed: it reads its disk layers."""
        for name in self._layers:
            fields = self._files.get((server.process.proxy, name))
            if fields is not None:
                server.runtime.begin_with(name, fields)

    def play(self, happening: Happening) -> None:
        """Puts a flip on the agenda."""
        self._clock.at(happening.t_ns, lambda: self._flip(happening), band=Band.WORKLOAD)

    def _flip(self, happening: Happening) -> None:
        entry = happening.entry
        assert isinstance(entry, RuntimeFlagEntry)
        layer = self._layers[entry.layer or self._writable[-1]]
        if layer.rtds_layer is not None:
            self._control_plane.write_runtime(layer.rtds_layer.name, entry.key, entry.value)
            return
        key = Names((f"{layer.name}/{entry.key}",))
        proxies, now_ns = sorted(self._running()), self._clock.now_ns
        self._ledger.announce_parts(RUNTIME_FLAG, entry.key, key, now_ns, [(proxies, {_TYPE: key})])
        delay_ns = 0
        for proxy in proxies:
            if layer.disk_layer is not None:
                delay_ns = self._until_sync_ns(proxy, layer.disk_layer.sync_period)
            else:
                call = f"{happening.label}.admin"
                delay_ns += draw_ns(entry.admin_call, self._draws, call, proxy, happening.index)
            write = self._writer(proxy, layer, entry, key)
            self._clock.after(delay_ns, write, band=Band.WORKLOAD, entity=proxy)

    def _until_sync_ns(self, proxy: int, period_ns: int) -> int:
        """Each kubelet has its own phase; the period is taken as even."""
        phase_ns = int(self._draws.uniform("kubelet.sync", proxy) * period_ns)
        return (phase_ns - self._clock.now_ns) % period_ns

    def _writer(
        self, proxy: int, layer: RuntimeLayer, entry: RuntimeFlagEntry, key: Names
    ) -> Callable[[], None]:
        is_file = layer.disk_layer is not None

        def write() -> None:
            if is_file:
                before = self._files.get((proxy, layer.name), RuntimeFields())
                self._files[proxy, layer.name] = before.changed(entry.key, entry.value)
            for server in self._running().get(proxy, []):
                carried_by = "file" if is_file else "request"
                carriages = self._ledger.carry(proxy, _TYPE, key, self._clock.now_ns, carried_by)
                server.runtime.write(layer.name, entry.key, entry.value, carriages)

        return write
