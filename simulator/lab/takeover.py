"""Hot restarts of a play: when they happen, to whom, and how far a child has taken over from its parent.

What both processes' logs tell is noted as the states of envoy/hot_restart.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.envoy.hot_restart import HotRestartState
from simulator.lab.log import Fact
from simulator.lab.played_envoy import PlayedProcess
from simulator.recording.recorder import Recorder
from simulator.scenario.happenings import happenings
from simulator.scenario.schema import Scenario
from simulator.workload.entries import HotRestartEntry
from simulator.workload.selection import chosen_proxies
from simulator.workload.timeline import Happening, timeline

_OF_THE_CHILD = {"workers_started": HotRestartState.PARENT_TOLD}
_OF_THE_PARENT = {
    "parent_drains": HotRestartState.PARENT_DRAINING,
    "parent_ends": HotRestartState.PARENT_TERMINATED,
}


def schedule(
    scenario: Scenario,
    draws: Draws,
    clock: Clock,
    started: Callable[[], list[int]],
    restart: Callable[[int], None],
    numbers: dict[str, int],
) -> None:
    """Puts the scenario's hot restarts on the agenda.

    Args:
        scenario: What is played.
        draws: Choose the Envoys, as in a simulation.
        clock: Real time.
        started: The Envoys that were started by then, by number.
        restart: Restarts one of them.
        numbers: Of the Envoys, by name.
    """

    def happen(happening: Happening, entry: HotRestartEntry) -> None:
        for proxy in chosen_proxies(entry.proxies, started(), draws, happening.label, happening.index):
            restart(proxy)

    entries = happenings(scenario, {}, numbers.__getitem__)
    for happening in timeline(entries, draws, scenario.duration):
        if isinstance(happening.entry, HotRestartEntry):
            clock.at(happening.t_ns, partial(happen, happening, happening.entry))


def note_takeover(fact: Fact, t_ns: int, process: PlayedProcess, recorder: Recorder) -> None:
    """A process's log says something: if it is of a takeover, the child's epoch has entered a state."""
    epoch = process.caller.epoch
    state = _OF_THE_CHILD.get(fact.what) if epoch else None
    if fact.what in _OF_THE_PARENT:
        state, epoch = _OF_THE_PARENT[fact.what], epoch + 1
    if state is None:
        return
    recorder.state(t_ns, process.caller.proxy, "hot_restart", f"epoch {epoch}", state.value)
    if state is HotRestartState.PARENT_TERMINATED and process.witness is not None:
        process.witness.on_stopped()


def note_abandoned(child: PlayedProcess, t_ns: int, recorder: Recorder) -> None:
    """A child exited. Its parent heard of it if the child came as far as to build its server."""
    if child.witness is not None and child.witness.row.t_bootstrapped_ns is not None:
        epoch, state = child.caller.epoch, HotRestartState.ABANDONED
        recorder.state(t_ns, child.caller.proxy, "hot_restart", f"epoch {epoch}", state.value)
