"""Says what owns the delay of changes, and which knob moves it: by turning each and playing again.

The scenario is played as it is and with each knob turned once (`simulator.experiment.knobs`), all under
common random numbers, so that what differs between two of them is what the knob does. Which knobs are turned
follows from where the time goes: those of every stage that takes a tenth or more of it around p50 or p99.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Final

from simulator.experiment.arguments import check_scenario
from simulator.experiment.compare import compare
from simulator.experiment.errors import ExperimentError
from simulator.experiment.knobs import turn
from simulator.experiment.progress import OnProgress
from simulator.experiment.run import run
from simulator.recording.bottlenecks import KNOBS
from simulator.results.bottleneck import Owner
from simulator.results.explanation import AS_IT_IS, Explanation
from simulator.scenario.schema import Scenario

__all__ = ["explain"]

_WORTH_A_TURN: Final = 0.1


def explain(
    scenario: Scenario,
    knobs: Sequence[str] | None = None,
    *,
    replications: int = 10,
    seed: int | None = None,
    executor: str | Executor | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: OnProgress | None = None,
) -> Explanation:
    """Finds what owns p50 and p99 of the delay until changes are active, and which knob moves it.

    Args:
        scenario: What is played.
        knobs: The keys that are turned, of `simulator.experiment.knobs.KEYS`; by default those of every stage
            that takes a tenth or more of the time around p50 or p99.
        replications: Of the scenario as it is and of every turn; paired. One alone gives no intervals.
        seed, executor, out, resume, progress: As in `sweep`; `out` receives a comparison.

    Raises:
        ExperimentError: No change concerns any proxy, or there is no knob to turn.
        ScenarioError: A turned value that the scenario cannot have.
        ExperimentStopped: As in `sweep`.
    """
    check_scenario(scenario)
    if knobs is not None:
        asked: Sequence[str] = list(dict.fromkeys(knobs))
        turns = [(key, turn(scenario, key)) for key in asked]
    owners = run(scenario, seed=seed).bottlenecks
    if not owners:
        raise ExperimentError("there is no delay to explain: no change takes time to reach any proxy")
    if knobs is None:
        turns = [(key, turn(scenario, key)) for key in _knobs_of(owners)]
    turned = [found for _, found in turns if found is not None]
    if not turned:
        stages = ", ".join(dict.fromkeys(owner.stage for owner in owners))
        raise ExperimentError(f"no knob of this scenario moves what owns the delay: {stages}")
    comparison = compare(
        {AS_IT_IS: scenario, **{told.label: changed for told, changed in turned}},
        replications=replications,
        seed=seed,
        executor=executor,
        out=out,
        resume=resume,
        progress=progress,
    )
    unturned = tuple(key for key, found in turns if found is None)
    return Explanation(tuple(owners), tuple(told for told, _ in turned), unturned, comparison)


def _knobs_of(owners: Sequence[Owner]) -> list[str]:
    """The knobs of what takes the time: of the largest shares first, the most direct of each first."""
    largest: dict[str, float] = {}
    for owner in owners:
        for stage, share in owner.shares.items():
            largest[stage] = max(largest.get(stage, 0.0), share)
    stages = sorted(
        (stage for stage in largest if largest[stage] >= _WORTH_A_TURN), key=lambda it: -largest[it]
    )
    return list(dict.fromkeys(key for stage in stages for key in KNOBS.get(stage, ())))
