"""Plays one run by the engine that the scenario asks for, or that suits it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simulator.fleet.errors import CannotTakeFleet, RowsTouched
from simulator.recording.recorder import Recorder
from simulator.scenario.after_the_end import after_the_end
from simulator.scenario.build import build
from simulator.scenario.engine_choice import EngineChoice
from simulator.scenario.problems import Problem, ScenarioError
from simulator.scenario.schema import Scenario
from simulator.scenario.world import World

__all__ = ["played"]


def played(
    scenario: Scenario,
    seed: int,
    replication: int,
    prepare: Callable[[Recorder], object] = lambda _recorder: None,
) -> World:
    """The world at the end of the run; it says which engine ran, and why.

    What only shows in the run may be beyond the fleet engine (a response larger than the HTTP/2 window):
    `engine: auto` then plays the run again, event by event. So it is with rows whose stream breaks: they are
    played by messages then, beside those that remain.

    Args:
        scenario: What to simulate.
        seed: Seed of all draws.
        replication: Which repetition.
        prepare: Told the recorder before the run.

    Raises:
        ScenarioError: With `engine: fleet`, for such a run; it names what is beyond it.
    """
    choice: EngineChoice | None = None
    by_messages = np.empty(0, np.int64)
    while True:
        world = build(scenario, seed, replication, choice, by_messages)
        prepare(world.recorder)
        for text in after_the_end(scenario):
            world.recorder.warn(text)
        try:
            world.run()
        except RowsTouched as error:
            by_messages = np.union1d(by_messages, error.proxies)
        except CannotTakeFleet as error:
            if scenario.engine == "fleet":
                raise ScenarioError(
                    [Problem(None, None, "engine", f"the fleet engine has no {error}")]
                ) from error
            choice = EngineChoice("events", f"auto: the run came to what the fleet engine has not: {error}")
        else:
            return world
