"""Feature flags of a play: flipped by the simulator's own rules, over RTDS or real Envoys' admin endpoints.

A flip comes as long after the script's origin as in a simulation, where Envoys start as fast as the
calibration says: what a real process takes longer moves the origin, and the flips with it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

from simulator.calibration.costs import Calibration
from simulator.control_plane.scripted import ScriptedControlPlane
from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.envoy.main_thread import Costs
from simulator.lab.played_envoy import PlayedEnvoy, PlayedProcess
from simulator.lab.probe import get, runtime_layer
from simulator.lab.protobufs import numerator_of, share
from simulator.recording.ledger import ChangeLedger
from simulator.recording.recorder import Recorder
from simulator.scenario.envoys import envoy_settings
from simulator.scenario.happenings import happenings
from simulator.scenario.runtime_flags import RuntimeFlags
from simulator.scenario.schema import Scenario
from simulator.workload.entries import RuntimeFlagEntry
from simulator.workload.timeline import timeline
from simulator.xds.resources import Names

_LOOK_PERIOD_S: Final = 0.01
_MOST_LOOKS: Final = 200


class FlagRefused(RuntimeError):
    """An Envoy would not take the value of a flag."""


@dataclass(frozen=True, slots=True)
class Books:
    """What a play writes down with, and who does its work.

    Attributes:
        clock: Real time.
        recorder: Where flags that were seen are noted.
        ledger: Where flips are noted.
        spawn: Does something until the play ends.
        fail: Told when the play cannot go on.
    """

    clock: Clock
    recorder: Recorder
    ledger: ChangeLedger[Names]
    spawn: Callable[[Coroutine[Any, Any, None]], None]
    fail: Callable[[BaseException], None]


class AdminRuntime:
    """The runtime of one process, as its admin endpoint writes it."""

    def __init__(self, process: PlayedProcess, books: Books) -> None:
        self._process = process
        self._clock, self._recorder, self._ledger = books.clock, books.recorder, books.ledger
        self._spawn, self._fail = books.spawn, books.fail

    def write(self, layer: str, key: str, value: float, carriages: tuple[int, ...]) -> None:
        """Posts a value; the flag decides when the process shows it."""
        self._spawn(self._write(layer, key, value, carriages))

    async def _write(self, layer: str, key: str, value: float, carriages: tuple[int, ...]) -> None:
        proxy = self._process.caller.proxy
        self._ledger.on_received(carriages, proxy, self._clock.now_ns)
        path = f"/runtime_modify?{quote(key, safe='')}={quote(json.dumps(share(value)), safe='')}"
        try:
            status, body, connection = await get(self._process.admin_port, path, method="POST")
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return  # A parent whose child has taken the endpoint over, or a process that ended.
        if connection is not None:
            connection[1].close()
        if status != 200:
            self._fail(FlagRefused(f"{key}: /runtime_modify answered {status}: {body.strip()}"))
        elif await self.shows(layer, key, value):
            for carriage in carriages:
                self._ledger.on_applied(carriage, proxy, self._clock.now_ns)
                self._ledger.on_active(carriage, proxy, self._clock.now_ns)

    async def watch(self, layer: str, key: str, value: float) -> None:
        """Notes when the process shows a value that comes another way."""
        await self.shows(layer, key, value)

    async def shows(self, layer: str, key: str, value: float) -> bool:
        """Waits until the process says that the layer holds the value, and notes it; False if it does not."""
        for _ in range(_MOST_LOOKS):
            try:
                held = (await runtime_layer(self._process.admin_port, layer)).get(key)
            except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
                return False
            if held is not None and numerator_of(held) == share(value)["numerator"]:
                proxy, now_ns = self._process.caller.proxy, self._clock.now_ns
                self._recorder.state(now_ns, proxy, "runtime_flag", key, f"{value:.4%}")
                return True
            await asyncio.sleep(_LOOK_PERIOD_S)
        return False


class _Flagged:
    """A process whose flags may be written (scenario/runtime_flags.py: Flagged)."""

    def __init__(self, process: PlayedProcess, books: Books) -> None:
        self.runtime = AdminRuntime(process, books)


class Flips:
    """All flips of a play.

    Args:
        scenario: What is played.
        calibration: What a start takes.
        draws: Of the play.
        books: Of the play.
        control_plane: Serves RTDS layers.
        envoys: By number.
    """

    def __init__(
        self,
        scenario: Scenario,
        calibration: Calibration,
        draws: Draws,
        books: Books,
        control_plane: ScriptedControlPlane,
        envoys: Mapping[int, PlayedEnvoy],
    ) -> None:
        self._scenario = scenario
        self._draws = draws
        self._books = books
        self._envoys = envoys
        self._layers = {
            layer.rtds_layer.name: layer.name for layer in scenario.envoy.runtime_layers if layer.rtds_layer
        }
        self._flags = RuntimeFlags(scenario, books.clock, draws, books.ledger, control_plane, self._running)
        self._starts_ns = _nominal_start_ns(scenario, calibration, draws, books.clock)
        control_plane.on_flag_written = self._on_written

    def begin(self, origin_ns: int) -> None:
        """The origin of the script's times is known; 0 where there is none."""
        late_ns = origin_ns - self._starts_ns
        numbers = {name: proxy for proxy, name in self._books.recorder.proxy_names.items()}
        entries = happenings(self._scenario, {}, numbers.__getitem__)
        for happening in timeline(entries, self._draws, self._scenario.duration):
            if isinstance(happening.entry, RuntimeFlagEntry):
                self._flags.play(replace(happening, t_ns=max(0, happening.t_ns + late_ns)))

    def _on_written(self, resource: str, key: str, value: float) -> None:
        """A flip is on its way over RTDS: noted when a process shows it, if it ever does."""
        for flagged in itertools.chain.from_iterable(self._running().values()):
            self._books.spawn(flagged.runtime.watch(self._layers[resource], key, value))

    def _running(self) -> dict[int, list[_Flagged]]:
        return {
            proxy: [_Flagged(one, self._books) for one in envoy.processes if one.is_running]
            for proxy, envoy in self._envoys.items()
            if envoy.is_running
        }


def _nominal_start_ns(scenario: Scenario, calibration: Calibration, draws: Draws, clock: Clock) -> int:
    """From the begin of a simulation to the origin of its script."""
    settings = envoy_settings(scenario, calibration)
    if not settings.has_xds:
        return 0
    costs = Costs(settings.costs, draws, 0, clock)
    proxies, over_ns = len(scenario.mesh.proxies.names()), scenario.mesh.start.over
    last = max((draws.uniform("mesh.start", proxy) for proxy in range(proxies)), default=0.0)
    return int(last * over_ns) + costs.ns("server_construction") + costs.ns("xds_construction")
